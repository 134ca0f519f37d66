"""Badrinarayanan et al. 2015; Paszke et al. 2016 (hardware requirements); torchvision's VGG-16."""

from tests.measured import analyze


def test_the_encoder_is_vgg16():
    ours = analyze("zoo:segnet", (1, 3, 224, 224))
    vgg = analyze("tv:vgg16_bn", (1, 3, 224, 224))
    assert ours.subtree("encoder").macs == vgg.subtree("features").macs
    assert ours.subtree("encoder").params == vgg.subtree("features").params


def test_the_decoder_doubles_what_was_halved():
    report = analyze("zoo:segnet")
    # 360 is halved five times with a remainder, and comes back.
    sizes = [(22, 40), (45, 80), (90, 160), (180, 320), (360, 640)]
    for stage, size in enumerate(sizes):
        assert report.layer(f"decoder.{stage}").outputs[0][2:] == size
        assert report.layer(f"encoder.{4 - stage}").outputs[0][2:] == size
    assert report.layer("head").outputs[0] == (1, 19, 360, 640)


def test_published_cost():
    report = analyze("zoo:segnet")
    totals = report.totals
    assert totals.params == 29_453_971  # pytorchcv's segnet_cityscapes
    # ENet's table: 29.46 M, from 21 classes on (577 parameters each), and 56.2 MB with 16 bits each.
    assert round((totals.params + 2 * 577) / 1e6, 2) == 29.46
    assert round(2 * totals.params / 2**20, 1) == 56.2
    # 286.03 GFLOPs: two a multiply–add, one a bias, two a norm, one a ReLU, four an output of pooling, and
    # one an output of unpooling. The last convolution has no norm and no ReLU, and 11×20 is unpooled to
    # 22×40 and not to the 45×80 that was pooled last but one.
    outputs = totals.activations
    normed = outputs - 19 * 360 * 640
    pooled = [64 * 180 * 320, 128 * 90 * 160, 256 * 45 * 80, 512 * 22 * 40, 512 * 11 * 20]
    unpooled = [512 * 22 * 40, 512 * 45 * 80, 256 * 90 * 160, 128 * 180 * 320, 64 * 360 * 640]
    flops = 2 * totals.macs + outputs + 3 * normed + 4 * sum(pooled) + sum(unpooled)
    assert round(flops / 1e9, 2) == 286.03
