"""Rastegari et al. 2016: figure 4a, equations 6 and 11; the AlexNet and ResNet-18 they start from."""

import pytest
import torch
from torch.nn import functional as F

from cnnstat.zoo.binary import BinaryConv2d
from tests.measured import analyze

# AlexNet without groups, layer by layer with biases: 62,378,344 in all.
ALEXNET = {
    "conv1": 34_944,
    "conv2": 614_656,
    "conv3": 885_120,
    "conv4": 1_327_488,
    "conv5": 884_992,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}


@pytest.mark.parametrize("name", ["alexnet_bwn", "alexnet_xnor"])
def test_alexnet_is_the_one_without_groups(name):
    report = analyze(f"zoo:{name}")
    for path, params in ALEXNET.items():
        convs = [x for x in report.layers if x.path.startswith(path) and "Conv2d" in x.type]
        assert [x.params for x in convs] == [params]
        # The first and the last layer keep full precision.
        binary = convs[0].type == "BinaryConv2d"
        assert binary == (path not in ("conv1", "fc8"))
    weights = sum(x.params for x in report.layers if "Conv2d" in x.type)
    assert weights == 62_378_344
    # Figure 4a, in MiB: 475 MB of doubles, 7.4 MB of bits.
    assert int(8 * weights / 2**20) == 475
    assert round(weights / 8 / 2**20, 1) == 7.4
    theirs = analyze("zoo:alexnet_2012?groups=1").totals
    assert theirs.params == weights
    assert report.totals.macs == theirs.macs


@pytest.mark.parametrize("name", ["resnet18_bwn", "resnet18_xnor"])
def test_resnet18_is_torchvisions(name):
    ours, theirs = analyze(f"zoo:{name}"), analyze("tv:resnet18")
    assert ours.totals.macs == theirs.totals.macs
    # Batch norm stands before a convolution in the XNOR-Net: for each first convolution of a stage and each
    # projection c/2 channels in place of c, and the last norm besides; two numbers a channel.
    moved = 512 - 2 * (64 + 128 + 256) if name == "resnet18_xnor" else 0
    assert ours.totals.params == theirs.totals.params + 2 * moved
    binary = [x for x in ours.layers if x.type == "BinaryConv2d"]
    # All but the first convolution: 16 in blocks and 3 projections.
    assert len(binary) == 19


def test_resnet18_of_figure_4a():
    # 1.5 MB of bits, in decimal MB.
    params = analyze("zoo:resnet18_bwn").totals.params
    assert round(params / 8 / 1e6, 1) == 1.5


def reference(x, weight, stride, padding):
    """The full-precision weights and input, binarised by the paper's equations."""
    alpha = weight.abs().mean((1, 2, 3))[:, None, None]
    binary_weight = F.conv2d(x, weight.sign(), None, stride, padding) * alpha
    # Equation 11: K is the mean of |x| over the channels, convolved with k, whose elements are 1/(w·h).
    kernel = torch.full((1, 1, *weight.shape[2:]), 1 / weight[0, 0].numel())
    k = F.conv2d(x.abs().mean(1, keepdim=True), kernel, None, stride, padding)
    return binary_weight, F.conv2d(x.sign(), weight.sign(), None, stride, padding) * alpha * k


@pytest.mark.parametrize("binary_input", [False, True])
def test_equations(binary_input, monkeypatch):
    torch.manual_seed(0)
    weight = torch.randn(8, 6, 3, 3)
    monkeypatch.setattr(
        torch.nn.Conv2d, "reset_parameters", lambda conv: conv.weight.data.copy_(weight)
    )
    conv = BinaryConv2d(6, 8, 3, 2, 1, bias=False, binary_input=binary_input)
    x = torch.randn(2, 6, 9, 9)
    torch.testing.assert_close(conv(x), reference(x, weight, 2, 1)[binary_input])
    assert set(conv.weight.unique().tolist()) == {-1.0, 1.0}
    assert [name for name, _ in conv.named_parameters()] == ["weight"]
