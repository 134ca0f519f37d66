"""Interpolation and sampling. n: elements of the output."""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts, per_output, times
from cnnstat.rules.pooling import not_of_images

_WEIGHTED = "the products and sums of the neighbours; the weights are the same for every channel"


def antialiased(call: OpCall) -> str:
    """`".antialiased"` where it is, which some tools do not count."""
    return ".antialiased" if call.op.endswith("_aa") else ""


def nearest_variant(call: OpCall) -> str:
    """`".exact"`, `".1d"` or `".3d"`: some tools count the plain kind over images alone."""
    return (".exact" if "exact" in call.op else "") + not_of_images(call)


def _register(ops: str, name: str, neighbours: int, doc: str) -> None:
    count = per_output(adds=neighbours - 1, muls=neighbours)
    count.__doc__ = doc
    counts(
        *(f"aten.{op}" for op in ops.split()),
        family="resize",
        formula=f"{neighbours}n products, {neighbours - 1}n additions",
        source=_WEIGHTED,
        name=name,
        variant=antialiased,
    )(count)


_register("upsample_linear1d", "upsample_linear", 2, "Between two neighbours.")
_register(
    "upsample_bilinear2d _upsample_bilinear2d_aa",
    "upsample_bilinear",
    4,
    "Between four neighbours; antialiasing, which takes more of them to shrink, is not counted apart.",
)
_register(
    "upsample_bicubic2d _upsample_bicubic2d_aa",
    "upsample_bicubic",
    16,
    "Among sixteen neighbours; antialiasing is not counted apart.",
)
_register("upsample_trilinear3d", "upsample_trilinear", 8, "Among eight neighbours.")


@counts(
    *(f"aten.upsample_nearest{n}d" for n in (1, 2, 3)),
    *(f"aten._upsample_nearest_exact{n}d" for n in (1, 2, 3)),
    family="resize",
    formula="0",
    source="a copy of the nearest element",
    variant=nearest_variant,
)
def upsample_nearest(call: OpCall) -> Work:
    """No arithmetic on the elements."""
    return Work()


@counts(
    "aten.grid_sampler",
    "aten.grid_sampler_2d",
    "aten.grid_sampler_3d",
    "aten._grid_sampler_2d_cpu_fallback",
    "aten.cudnn_grid_sampler",
    family="resize",
    formula="2^d·n products, (2^d − 1)·n additions; nearest: 0; bicubic: 16n and 15n",
    source="Jaderberg et al. 2015, Spatial Transformer Networks (arXiv 1506.02025), equation 5",
)
def grid_sample(call: OpCall) -> Work:
    """Bilinear (0), nearest (1) or bicubic (2) by `interpolation_mode`, in d dimensions."""
    mode = call.get("interpolation_mode", 0)
    neighbours = {0: 2 ** (len(call.output.shape) - 2), 1: 0, 2: 16}[mode]
    if not neighbours:
        return Work()
    return times(call.output.numel, Work(adds=neighbours - 1, muls=neighbours))


@counts(
    "aten.upsample_linear1d_backward",
    "aten.upsample_bilinear2d_backward",
    "aten._upsample_bilinear2d_aa_backward",
    "aten.upsample_bicubic2d_backward",
    "aten._upsample_bicubic2d_aa_backward",
    "aten.upsample_trilinear3d_backward",
    family="resize",
    formula="a product and an addition for each neighbour of each element of dy",
    source="the transpose of the interpolation",
)
def upsample_backward(call: OpCall) -> Work:
    """dy goes back to the neighbours it came from."""
    kinds = {"bicubic": 16, "trilinear": 8, "bilinear": 4, "linear1d": 2}
    neighbours = next(count for kind, count in kinds.items() if kind in call.op)
    return times(call.inputs[0].numel, Work(adds=neighbours, muls=neighbours))


@counts(
    *(f"aten.upsample_nearest{n}d_backward" for n in (1, 2, 3)),
    *(f"aten._upsample_nearest_exact{n}d_backward" for n in (1, 2, 3)),
    family="resize",
    formula="one addition for each element of dy",
    source="dy is added where it was copied from",
)
def upsample_nearest_backward(call: OpCall) -> Work:
    """A sum of the copies' gradients."""
    return Work(adds=call.inputs[0].numel)


@counts(
    "aten.grid_sampler_2d_backward",
    "aten.grid_sampler_3d_backward",
    family="resize",
    formula="3·2^d·n products and additions",
    source="gradients of the input and of the d coordinates",
)
def grid_sample_backward(call: OpCall) -> Work:
    """dy goes to the neighbours, and their differences to the grid."""
    neighbours = 2 ** (len(call.inputs[0].shape) - 2)
    return times(call.inputs[0].numel, Work(adds=3 * neighbours, muls=3 * neighbours))
