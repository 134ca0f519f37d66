"""What single convolutions took beyond their tensors, under torch's memory profiler.

Sequences of allocations of torch 2.13 with AVX-512: a 1×1 convolution of 24 to 64 channels on two images of
32×32 takes 262,144 (its input in 32 channels), 8,192 (its weight), 524,288 (its output in blocks), gives the
first two back, and takes 524,288 for the output as it lies.
"""

import pytest

from cnnstat.memory.temporaries import temporaries
from cnnstat.record import OpCall, TensorSpec


def convolution(
    channels: int,
    out: int,
    kernel: int,
    *,
    groups: int = 1,
    batch: int = 2,
    size: int = 32,
    stride: int = 1,
) -> OpCall:
    args = {
        "input": TensorSpec((batch, channels, size, size)),
        "weight": TensorSpec((out, channels // groups, kernel, kernel)),
        "stride": (stride, stride),
        "groups": groups,
    }
    side = size // stride
    return OpCall(0, "aten.convolution", "", args, (TensorSpec((batch, out, side, side)),))


@pytest.mark.parametrize(
    ("call", "nbytes"),
    [
        # Either input, weight and output in blocks less the output, or the output in blocks.
        (convolution(24, 64, 1), max(262_144 + 8_192, 524_288)),
        (convolution(64, 24, 1), 524_288 + 8_192 + 262_144 - 196_608),
        (convolution(58, 58, 3, groups=58), 524_288 + 2_304 + 524_288 - 475_136),
        (convolution(24, 40, 3), max(262_144 + 55_296 + 393_216 - 327_680, 393_216)),
        # A first convolution reads its three channels as they lie.
        (convolution(3, 64, 7, size=224, stride=2), 2 * 64 * 112 * 112 * 4),
    ],
)
def test_as_measured(call: OpCall, nbytes: int) -> None:
    assert temporaries(call) == nbytes


def test_a_small_image_is_unrolled() -> None:
    """One image of 16·14·14 elements: 16·3·3 rows of 14·14 patches."""
    assert temporaries(convolution(16, 16, 3, batch=1, size=14)) == 16 * 9 * 14 * 14 * 4
    assert temporaries(convolution(16, 16, 1, batch=1, size=14)) == 0


def test_channels_last_depthwise_backward() -> None:
    """96 channels, 7×7: the gradient of the weight takes 4,816,896 bytes, each channel padded to 16 × 16."""
    image, weight = TensorSpec((2, 96, 32, 32), channels_last=True), TensorSpec((96, 1, 7, 7))
    args = {"grad_output": image, "input": image, "weight": weight, "groups": 96}
    args["output_mask"] = (True, True, False)
    call = OpCall(0, "aten.convolution_backward", "", args, (image, weight))
    assert temporaries(call) == 96 * 16 * 16 * 49 * 4 + 96 * 49 * 4
    assert 96 * 16 * 16 * 49 * 4 == 4_816_896


def test_other_operations_take_nothing() -> None:
    assert (
        temporaries(OpCall(0, "aten.add", "", {"self": TensorSpec((2, 3))}, (TensorSpec((2, 3)),)))
        == 0
    )
