"""Lin et al. 2013; pytorchcv's network for CIFAR; the file in Caffe's Model Zoo."""

from tests.measured import analyze


def test_cifar10():
    report = analyze("zoo:nin_cifar10")
    # pytorchcv's nin_cifar10.
    assert report.totals.params == 966_986
    # 32, 16 and 8 wide: weights of the three blocks by hand.
    blocks = {
        32: 192 * 75 + 192 * 160 + 160 * 96,
        16: 192 * 96 * 25 + 2 * 192 * 192,
        8: 192 * 192 * 9 + 192 * 192 + 192 * 10,
    }
    assert report.totals.macs == sum(n * n * weights for n, weights in blocks.items())
    assert report.uncounted == ()


def test_imagenet():
    report = analyze("zoo:nin_imagenet")
    # The Model Zoo's file: 29 MB of 2^20 bytes.
    assert round(report.totals.params * 4 / 2**20) == 29
    blocks = {
        54: 96 * 363 + 2 * 96 * 96,
        27: 256 * 2400 + 2 * 256 * 256,
        13: 384 * 2304 + 2 * 384 * 384,
        6: 1024 * 3456 + 1024 * 1024 + 1024 * 1000,
    }
    assert report.totals.macs == sum(n * n * weights for n, weights in blocks.items())
    biases = 3 * (96 + 256 + 384) + 2 * 1024 + 1000
    assert report.totals.params == sum(blocks.values()) + biases == 7_595_176
    assert report.uncounted == ()
