"""Pooling. k: positions of the window; n: elements of the output."""

from __future__ import annotations

from collections.abc import Sequence

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import Derive, counts, elements, times
from cnnstat.rules.derivation import Derivation, Letter, sizes

_DIMS = (1, 2, 3)


def not_of_images(call: OpCall) -> str:
    """`".1d"` or `".3d"` where it is not over images: some tools count those alone."""
    dims = _dims(call)
    return "" if dims == 2 else f".{dims}d"


def _window(call: OpCall, dims: int) -> int:
    size: Sequence[int] = call.args["kernel_size"]
    return elements(tuple(size)) if len(size) == dims else size[0] ** dims


def _dims(call: OpCall) -> int:
    return next(n for n in _DIMS if f"{n}d" in call.op)


def _derive(quantity: str, **others: str) -> Derive:
    def derive(call: OpCall) -> Derivation:
        n, k = call.output, _window(call, _dims(call))
        named = (
            Letter("n", n.numel, f"elements put out: {sizes(n.shape)}"),
            Letter("k", k, "positions of the window"),
        )
        return Derivation({quantity: "n·(k − 1)", **others}, named)

    return derive


@counts(
    *(f"aten.max_pool{n}d" for n in _DIMS),
    *(f"aten.max_pool{n}d_with_indices" for n in _DIMS),
    "aten.mkldnn_max_pool2d",
    "aten.quantized_max_pool2d",
    family="pooling",
    formula="n·(k − 1) comparisons",
    source="the largest of k takes k − 1 comparisons",
    derive=_derive("compares"),
)
def max_pool(call: OpCall) -> Work:
    """Windows that reach into the padding count in full."""
    return Work(compares=call.output.numel * (_window(call, _dims(call)) - 1))


@counts(
    *(f"aten.avg_pool{n}d" for n in _DIMS),
    family="pooling",
    formula="n·(k − 1) additions and n divisions",
    source="the mean of k takes k − 1 additions and a division",
    derive=_derive("adds", special="n"),
)
def avg_pool(call: OpCall) -> Work:
    """Windows that reach into the padding count in full."""
    n = call.output.numel
    return Work(adds=n * (_window(call, _dims(call)) - 1), special=n)


def _pooled(call: OpCall) -> int:
    """Elements that all adaptive windows read: bins may overlap where sizes do not divide."""
    dims = _dims(call)
    x, y = call.inputs[0].shape, call.output.shape
    total = elements(y[:-dims])
    for size, bins in zip(x[-dims:], y[-dims:], strict=True):
        total *= sum(-(-(i + 1) * size // bins) - i * size // bins for i in range(bins))
    return total


@counts(
    *(f"aten.adaptive_avg_pool{n}d" for n in _DIMS),
    *(f"aten._adaptive_avg_pool{n}d" for n in (2, 3)),
    family="pooling",
    formula="one addition for each element read but the first of its window, and n divisions",
    source="bin i of b over s elements reads ⌊i·s/b⌋ up to ⌈(i + 1)·s/b⌉",
    variant=not_of_images,
)
def adaptive_avg_pool(call: OpCall) -> Work:
    """Windows as torch lays them."""
    n = call.output.numel
    return Work(adds=_pooled(call) - n, special=n)


@counts(
    *(f"aten.adaptive_max_pool{n}d" for n in _DIMS),
    family="pooling",
    formula="one comparison for each element read but the first of its window",
    source="bin i of b over s elements reads ⌊i·s/b⌋ up to ⌈(i + 1)·s/b⌉",
)
def adaptive_max_pool(call: OpCall) -> Work:
    """Windows as torch lays them."""
    return Work(compares=_pooled(call) - call.output.numel)


@counts(
    "aten.fractional_max_pool2d",
    "aten.fractional_max_pool3d",
    family="pooling",
    formula="n·(k − 1) comparisons",
    source="the largest of k takes k − 1 comparisons",
)
def fractional_max_pool(call: OpCall) -> Work:
    """As max pooling; the windows lie at random places."""
    return Work(compares=call.output.numel * (_window(call, _dims(call)) - 1))


@counts(
    *(f"aten.max_pool{n}d_with_indices_backward" for n in (2, 3)),
    *(f"aten.adaptive_max_pool{n}d_backward" for n in (2, 3)),
    *(f"aten.fractional_max_pool{n}d_backward" for n in (2, 3)),
    family="pooling",
    formula="one addition for each element of dy",
    source="dy goes to the largest element of its window",
)
def max_pool_backward(call: OpCall) -> Work:
    """A scatter of the gradient."""
    return Work(adds=call.inputs[0].numel)


@counts(
    *(f"aten.avg_pool{n}d_backward" for n in (2, 3)),
    *(f"aten._adaptive_avg_pool{n}d_backward" for n in (2, 3)),
    family="pooling",
    formula="one addition for each element of dx, one division for each of dy",
    source="dy/k goes to each element of its window",
)
def avg_pool_backward(call: OpCall) -> Work:
    """A scatter of the divided gradient; overlapping windows are counted once."""
    return Work(adds=call.output.numel, special=call.inputs[0].numel)


@counts(
    "torchvision.roi_align",
    "torchvision.ps_roi_align",
    family="pooling",
    formula="n·s bilinear samples of 4 products and 3 additions, s − 1 additions, one division",
    source="He et al. 2017, Mask R-CNN (arXiv 1703.06870), section 3: s samples a bin",
)
def roi_align(call: OpCall) -> Work:
    """s is the square of the sampling ratio; where it is adaptive it depends on the data: 4 is taken."""
    ratio = int(call.get("sampling_ratio", -1))
    samples = ratio * ratio if ratio > 0 else 4
    n = call.output.numel
    return times(n, Work(adds=4 * samples - 1, muls=4 * samples, special=1))


@counts(
    "torchvision.roi_pool",
    "torchvision.ps_roi_pool",
    family="pooling",
    formula="one comparison an output element",
    source="Girshick 2015, Fast R-CNN (arXiv 1504.08083), section 2.1",
)
def roi_pool(call: OpCall) -> Work:
    """A lower bound: how many elements a bin reads depends on its box."""
    return Work(compares=call.output.numel)


@counts(
    "torchvision.nms",
    family="comparison",
    formula="N·(N − 1)/2 overlaps of 4 comparisons, 5 additions, 2 products, 1 division",
    source="each box against each box of a higher score: an upper bound",
)
def nms(call: OpCall) -> Work:
    """Non-maximum suppression; how many pairs are really compared depends on the data."""
    n = call.inputs[0].shape[0]
    return times(n * (n - 1) // 2, Work(adds=5, muls=2, compares=4, special=1))
