"""What the CPU backend's convolutions take beside the tensors of the model, while they run.

It belongs to the backend and not to the model: with plain (NCHW) tensors oneDNN lays out weights, input
and output anew, in blocks of 16 channels, through torch's own allocator; where torch does not take
oneDNN, the input is unrolled to a matrix of patches. Found by running single convolutions under torch's
memory profiler (torch 2.13, oneDNN 3.12, AVX-512; a processor with shorter vectors has blocks of 8), and
checked on whole networks in `tests/memory/test_cpu_peaks.py`.
"""

from __future__ import annotations

import math

from cnnstat.record import OpCall, TensorSpec

_BLOCK = 16  # channels: the floats of one AVX-512 register
_PLAIN_INPUT = 4  # channels up to which a first convolution reads its input as it lies
_SMALL = 20480  # elements of an input that is not worth laying out anew


def temporaries(call: OpCall) -> int:
    """Bytes that operation `call` takes at its worst moment beside what is alive after it."""
    if call.op == "aten.convolution":
        x: TensorSpec = call.args["input"]
        w: TensorSpec = call.args["weight"]
        y = call.output
        if not _onednn(call, x, w):
            return _patches(call, x, w, y)
        if x.channels_last:
            return w.nbytes
        laid_out = _blocked_input(x, w) + _blocked_weight(w, call) + _blocked(y) - y.nbytes
        return max(laid_out, _blocked(y))
    if call.op == "aten.convolution_backward":
        return _backward(call, call.args["grad_output"], call.args["input"], call.args["weight"])
    return 0


def _backward(call: OpCall, dy: TensorSpec, x: TensorSpec, w: TensorSpec) -> int:
    if not _onednn(call, x, w):
        return 2 * _patches(call, x, w, dy)
    wants: tuple[bool, ...] = call.args["output_mask"]
    dx, dw = x.nbytes * wants[0], w.nbytes * wants[1]
    blocked_weight = _blocked_weight(w, call)
    if x.channels_last or dy.channels_last:
        return blocked_weight + _padded_depthwise(call, w) if wants[1] else w.nbytes
    moments = [0]
    if wants[0]:
        moments += [_blocked(dy) + blocked_weight + _blocked(x), dx + _blocked(x)]
    if wants[1]:
        moments += [dx + _blocked_input(x, w) + _blocked(dy) + blocked_weight]
        moments += [dx + dw + blocked_weight]
    return max(0, max(moments) - dx - dw)


def _onednn(call: OpCall, x: TensorSpec, w: TensorSpec) -> bool:
    """Whether torch hands the convolution to oneDNN (`ConvParams::use_mkldnn` in ATen's Convolution.cpp)."""
    kernel = w.shape[2:]
    return bool(
        call.get("groups", 1) > 1
        or (len(kernel) > 1 and kernel[-1] > 3 and kernel[-2] > 3)
        or x.shape[0] > 1
        or x.numel > _SMALL
    )


def _up(channels: int) -> int:
    return -(-channels // _BLOCK) * _BLOCK


def _blocked(image: TensorSpec) -> int:
    """Bytes of an image (N, C, …) in blocks of channels."""
    return image.nbytes // image.shape[1] * _up(image.shape[1]) if image.shape[1] else 0


def _blocked_input(x: TensorSpec, w: TensorSpec) -> int:
    plain = x.shape[1] <= _PLAIN_INPUT and math.prod(w.shape[2:]) > 1
    return 0 if plain else _blocked(x)


def _blocked_weight(w: TensorSpec, call: OpCall) -> int:
    """Bytes of a weight (out, in, …) in blocks of both; a depthwise one has blocks of its groups."""
    taps = math.prod(w.shape[2:]) * w.itemsize
    if w.shape[1] == 1 and call.get("groups", 1) > 1:
        return _up(w.shape[0]) * taps
    return _up(w.shape[0]) * (w.shape[1] if w.shape[1] <= _PLAIN_INPUT else _up(w.shape[1])) * taps


def _padded_depthwise(call: OpCall, w: TensorSpec) -> int:
    """Bytes that the gradient of a depthwise weight takes where channels lie innermost: oneDNN then pads
    each group to a block in and a block out."""
    groups: int = call.get("groups", 1)
    if groups == 1:
        return 0
    return (
        groups * _up(w.shape[0] // groups) * _up(w.shape[1]) * math.prod(w.shape[2:]) * w.itemsize
    )


def _patches(call: OpCall, x: TensorSpec, w: TensorSpec, y: TensorSpec) -> int:
    """Bytes of the input unrolled to patches; a 1×1 convolution of stride 1 reads the input itself."""
    if math.prod(w.shape[2:]) == 1 and set(call.get("stride", (1,))) == {1}:
        return 0
    return x.shape[0] * math.prod(w.shape[1:]) * math.prod(y.shape[2:]) * x.itemsize
