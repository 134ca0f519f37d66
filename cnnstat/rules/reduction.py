"""Sums, means, extremes and other reductions. n: elements read; m: elements of the result."""

from __future__ import annotations

import math

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work
from cnnstat.rules.base import counts, tensor, times

_PAIRWISE = "to reduce k elements to one takes k − 1 steps"


def _steps(call: OpCall) -> int:
    return max(call.inputs[0].numel - call.output.numel, 0)


@counts(
    *("aten." + op for op in ["sum", "nansum", "cumsum", "cumsum_", "trace", "logcumsumexp"]),
    family="reduction",
    formula="n − m additions; running sums: n",
    source=_PAIRWISE,
)
def sums(call: OpCall) -> Work:
    """Σ x."""
    running = "cum" in call.op
    return Work(adds=call.output.numel if running else _steps(call))


@counts(
    "aten.mean",
    "aten.nanmean",
    family="reduction",
    formula="n − m additions and m divisions",
    source=_PAIRWISE,
)
def mean(call: OpCall) -> Work:
    """Σ x / k."""
    return Work(adds=_steps(call), special=call.output.numel)


@counts(
    *("aten." + op for op in ["prod", "cumprod", "cumprod_"]),
    family="reduction",
    formula="n − m products; running products: n",
    source=_PAIRWISE,
)
def products(call: OpCall) -> Work:
    """Π x."""
    running = "cum" in call.op
    return Work(muls=call.output.numel if running else _steps(call))


@counts(
    *(
        "aten." + op
        for op in [
            "max",
            "min",
            "amax",
            "amin",
            "argmax",
            "argmin",
            "aminmax",
            "any",
            "all",
            "cummax",
            "cummin",
            "median",
            "nanmedian",
            "kthvalue",
            "mode",
            "count_nonzero",
            "_is_any_true",
            "_is_all_true",
        ]
    ),
    family="reduction",
    formula="n − m comparisons; running extremes: n",
    source=_PAIRWISE,
)
def extremes(call: OpCall) -> Work:
    """The largest, the smallest, where it is, whether there is one."""
    running = "cum" in call.op
    return Work(compares=call.output.numel if running else _steps(call))


@counts(
    *("aten." + op for op in ["var", "std", "var_mean", "std_mean"]),
    family="reduction",
    formula="3n additions, n products, m divisions and, for std, m roots",
    source="the mean, the differences, their squares and the sum",
)
def variance(call: OpCall) -> Work:
    """Σ (x − mean)² / (k − 1)."""
    n, m = call.inputs[0].numel, call.output.numel
    return Work(adds=3 * n, muls=n, special=2 * m if "std" in call.op else m)


@counts(
    *(
        "aten." + op
        for op in ["norm", "linalg_vector_norm", "frobenius_norm", "_weight_norm_interface"]
    ),
    family="reduction",
    formula="n products, n additions, m roots; the 1-norm and maximum norm: 2n steps",
    source="√Σ x²",
)
def norm(call: OpCall) -> Work:
    """Length of each vector."""
    n = call.inputs[0].numel
    m = call.outputs[-1].numel
    return Work(adds=n, muls=n, special=m)


@counts(
    "aten.logsumexp",
    family="reduction",
    formula="2n additions, n comparisons, n + m functions",
    source="maximum, difference, exponential and sum, then the logarithm",
)
def logsumexp(call: OpCall) -> Work:
    """log Σ e^x."""
    n = call.inputs[0].numel
    return Work(adds=2 * n, compares=n, special=n + call.output.numel)


@counts(
    *("aten." + op for op in ["topk", "sort", "argsort", "msort"]),
    *("aten." + op for op in ["_unique", "_unique2", "unique_dim", "unique_consecutive"]),
    family="reduction",
    formula="n·⌈log2 k⌉ comparisons for rows of k elements",
    source="Knuth, The Art of Computer Programming 3, section 5.3.1: sorting by comparison",
)
def sort(call: OpCall) -> Work:
    """An estimate: how many comparisons are made depends on the data."""
    x = call.inputs[0]
    if "unique" in call.op:
        row = x.numel
    else:
        row = x.shape[call.get("dim", 0 if "msort" in call.op else -1)] if x.shape else 1
    return Work(compares=x.numel * max(row - 1, 0).bit_length())


@counts(
    "aten.searchsorted",
    "aten.bucketize",
    "aten.histc",
    family="reduction",
    formula="⌈log2(k + 1)⌉ comparisons for each of n values to find its place among k; histc: k bins",
    source="Knuth, The Art of Computer Programming 3, section 6.2.1: binary search has k + 1 outcomes",
)
def search(call: OpCall) -> Work:
    """Where values belong in a sorted row."""
    value = call.args.get("self")  # a plain number is one value
    n = value.numel if isinstance(value, TensorSpec) else 1
    if call.op == "aten.histc":
        return Work(compares=n * (call.output.numel - 1).bit_length(), adds=n)
    places = tensor(call, "sorted_sequence", "boundaries").shape[-1] + 1
    return Work(compares=n * (places - 1).bit_length())


_ALL_OF_THE_FIRST = frozenset(
    "aten." + op
    for op in [
        "bincount",
        "col2im",
        "embedding_dense_backward",
        "segment_reduce",
        "unfold_backward",
    ]
)


@counts(
    *(
        f"aten.{op}{form}"
        for op in ["index_add", "scatter_add", "scatter_reduce", "index_reduce"]
        for form in ("", "_")
    ),
    "aten.segment_reduce",
    "aten.bincount",
    "aten.embedding_dense_backward",
    "aten.embedding_bag",
    "aten._embedding_bag",
    "aten._embedding_bag_forward_only",
    "aten._index_put_impl_",
    "aten.col2im",
    "aten.unfold_backward",
    family="reduction",
    formula="one addition for each element that is added somewhere",
    source="a sum of scattered elements",
)
def scatter_add(call: OpCall) -> Work:
    """Adds elements to places that an index or a window names; `col2im` is `nn.Fold`."""
    if "embedding_bag" in call.op:
        rows, width = call.inputs[1].numel, call.inputs[0].shape[-1]
        return Work(adds=rows * width)
    if call.op in _ALL_OF_THE_FIRST:
        return Work(adds=call.inputs[0].numel)
    source = call.get("source") or call.get("src") or call.get("values") or call.inputs[-1]
    return Work(adds=getattr(source, "numel", call.inputs[-1].numel))


@counts(
    *("aten._fft_" + op for op in ["r2c", "c2r", "c2c"]),
    family="reduction",
    formula="5·N·log2 N a transform of length N: half products, half additions; real: half of that",
    source="Cooley & Tukey 1965; the customary count of a radix-2 transform",
    estimated=True,
    of_reals=True,
)
def fft(call: OpCall) -> Work:
    """Fourier transforms over `dim`, whatever the factors of N."""
    full = max((*call.inputs[:1], call.output), key=lambda spec: spec.numel)
    length = 1
    for dim in call.args["dim"]:
        length *= full.shape[dim]
    operations = 5 * full.numel * math.log2(length) if length else 0
    if not call.op.endswith("c2c"):
        operations /= 2
    pairs = round(operations / 2)
    return times(pairs, Work(adds=1, muls=1))


@counts(
    *("aten." + op for op in ["nll_loss_forward", "nll_loss2d_forward", "mse_loss", "l1_loss"]),
    *("aten." + op for op in ["binary_cross_entropy", "smooth_l1_loss", "huber_loss", "kl_div"]),
    "aten.binary_cross_entropy_with_logits",
    family="reduction",
    formula="2n additions, n products",
    source="a difference, its square or product, and the sum; logarithms are not counted apart",
)
def loss(call: OpCall) -> Work:
    """A loss over all elements: an estimate, small beside any network."""
    return times(call.inputs[0].numel, Work(adds=2, muls=1))


@counts(
    *("aten." + op for op in ["nll_loss_backward", "nll_loss2d_backward", "mse_loss_backward"]),
    *("aten." + op for op in ["smooth_l1_loss_backward", "huber_loss_backward"]),
    "aten.binary_cross_entropy_backward",
    family="reduction",
    formula="n additions, 2n products",
    source="a difference, times its factor and dy",
)
def loss_backward(call: OpCall) -> Work:
    """The gradient of a loss: an estimate, small beside any network."""
    return times(call.output.numel, Work(adds=1, muls=2))


@counts(
    "aten.dist",
    family="reduction",
    formula="2n additions, n products, one root",
    source="√Σ (x − y)²",
)
def dist(call: OpCall) -> Work:
    """Distance of two tensors."""
    n = max(spec.numel for spec in call.inputs)
    return Work(adds=2 * n, muls=n, special=1)
