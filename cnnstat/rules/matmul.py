"""Linear layers and matrix products.

Letters: m×k times k×n; b a batch of them. Every output element is a sum of k products.
"""

from __future__ import annotations

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work
from cnnstat.rules.base import counts, elements, tensor
from cnnstat.rules.derivation import Derivation, Letter, sizes

_ADDED = tuple(
    f"aten.{name}"
    for name in "addmm addmm_ addmv addmv_ baddbmm baddbmm_ _addmm_activation".split()
)
_PRODUCT = "each output element is a dot product of length k"


def _derive_linear(call: OpCall) -> Derivation:
    x, y = tensor(call, "input", "self").shape, call.output
    width = y.shape[-1] if y.shape else 1
    named = (
        Letter(
            "R", y.numel // max(width, 1), f"rows: output {sizes(y.shape)} without its last size"
        ),
        Letter("K", width, f"output features: output {sizes(y.shape)}"),
        Letter("C", x[-1], f"input features: input {sizes(x)}"),
    )
    formulas = {"macs": "R·K·C", "activations": "R·K"}
    if call.get("bias"):
        formulas["adds"] = "R·K"
    return Derivation(formulas, named, {"weight": "K·C", "bias": "K"})


def _derive_product(call: OpCall) -> Derivation:
    left = tensor(call, "mat1", "mat", "batch1") if call.op in _ADDED else call.inputs[0]
    y = call.output
    inner = Letter("k", left.shape[-1], f"length of each dot product: {sizes(left.shape)}")
    named: tuple[Letter, ...]
    if len(y.shape) < 2 or len(left.shape) < 2:
        named = (Letter("y", y.numel, f"elements put out: {sizes(y.shape)}"), inner)
        out = "y"
    else:
        out = "b·m·n" if len(y.shape) > 2 else "m·n"
        named = (
            *(
                [Letter("b", elements(y.shape[:-2]), f"batch: {sizes(y.shape)}")]
                if "b" in out
                else []
            ),
            Letter("m", y.shape[-2], f"rows put out: {sizes(y.shape)}"),
            Letter("n", y.shape[-1], f"columns put out: {sizes(y.shape)}"),
            inner,
        )
    formulas = {"macs": f"{out}·k", "activations": out}
    if call.op in _ADDED:
        formulas["adds"] = out
    return Derivation(formulas, named)


@counts(
    "aten.linear",
    "aten.mkldnn_linear",
    "aten._weight_int8pack_mm",
    family="linear",
    formula="rows·K·C MACs; bias: one addition an output element",
    source=_PRODUCT,
    derive=_derive_linear,
)
def linear(call: OpCall) -> Work:
    """y = x·Wᵀ + b over any number of leading dimensions."""
    y = call.output
    bias = y.numel if call.get("bias") else 0
    macs = y.numel * tensor(call, "input", "self").shape[-1]
    return Work(macs=macs, adds=bias, activations=y.numel)


@counts(
    "aten.matmul",
    "aten.mm",
    "aten.bmm",
    "aten.mv",
    "aten.dot",
    "aten.vdot",
    "aten.inner",
    "aten._int_mm",
    "aten._scaled_mm",
    family="matmul",
    formula="b·m·n·k MACs",
    source=_PRODUCT,
    derive=_derive_product,
)
def matmul(call: OpCall) -> Work:
    """A product of matrices, vectors or batches of them, broadcast or not."""
    y = call.output
    return Work(macs=y.numel * call.inputs[0].shape[-1], activations=y.numel)


@counts(
    *_ADDED,
    family="matmul",
    formula="b·m·n·k MACs and one addition an output element",
    source=_PRODUCT,
    derive=_derive_product,
)
def addmm(call: OpCall) -> Work:
    """self + a·b: how a linear layer with a bias runs under autograd."""
    y = call.output
    left = tensor(call, "mat1", "mat", "batch1")
    return Work(macs=y.numel * left.shape[-1], adds=y.numel, activations=y.numel)


@counts(
    "aten._sparse_addmm",
    "aten._sparse_mm",
    "aten.hspmm",
    "aten.smm",
    "aten.sspaddmm",
    "aten.sparse_sampled_addmm",
    family="matmul",
    formula="s·n MACs for s elements held and n columns of the other matrix; one addition each where added",
    source=_PRODUCT + ", of which only those of elements held are formed",
)
def sparse_product(call: OpCall) -> Work:
    """A sparse matrix by a dense one: `cnnstat.rules.sparse` counts it, as the other products of one."""
    raise ValueError("no tensor is sparse")


@counts(
    "aten.addbmm",
    "aten.addbmm_",
    family="matmul",
    formula="b·m·n·k MACs and one addition an output element",
    source=_PRODUCT + ", summed over the batch",
)
def addbmm(call: OpCall) -> Work:
    """self + Σ over the batch of a·b."""
    y, left = call.output, tensor(call, "batch1")
    macs = y.numel * left.shape[0] * left.shape[-1]
    return Work(macs=macs, adds=y.numel, activations=y.numel)


@counts(
    "aten._grouped_mm",
    "aten._scaled_grouped_mm",
    family="matmul",
    formula="rows·n·k MACs over all groups, or groups·m·n·k where each has its own rows",
    source=_PRODUCT,
)
def grouped_mm(call: OpCall) -> Work:
    """Rows sorted by group, each group with a matrix of its own (mixture of experts)."""
    a, b = call.inputs[0].shape, call.inputs[1].shape
    shared = len(a) == 2 and len(b) == 2  # the groups divide the contraction (m, k)·(k, n)
    macs = a[0] * a[1] * b[1] if shared else call.output.numel * a[-1]
    return Work(macs=macs, activations=call.output.numel)


@counts(
    "aten._weight_int4pack_mm",
    "aten._weight_int4pack_mm_for_cpu",
    family="linear",
    formula="rows·K·C MACs",
    source=_PRODUCT,
)
def int4_linear(call: OpCall) -> Work:
    """A linear layer over packed four-bit weights; C is read from the input."""
    y = call.output
    return Work(macs=y.numel * call.inputs[0].shape[-1], activations=y.numel)


@counts(
    "quantized.linear",
    "quantized.linear_relu",
    "quantized.linear_dynamic",
    "quantized.linear_relu_dynamic",
    family="linear",
    formula="rows·K·C MACs of integers; bias: one addition an output element",
    source=_PRODUCT,
)
def quantized_linear(call: OpCall) -> Work:
    """The bias is inside the packed parameters, which the record unpacks."""
    y = call.output
    packed = next((v for v in call.args.values() if isinstance(v, tuple)), ())
    bias = y.numel if len(packed) > 1 and packed[1] is not None else 0
    relu = y.numel if "relu" in call.op else 0
    macs = y.numel * call.inputs[0].shape[-1]
    return Work(macs=macs, adds=bias, compares=relu, activations=y.numel)


@counts(
    "aten.bilinear",
    "aten._trilinear",
    family="linear",
    formula="rows·K·(C1·C2 + C2) MACs; bias: one addition an output element",
    source="x1ᵀ·W first, C1·C2 products for each of K outputs, then a dot product of length C2",
)
def bilinear(call: OpCall) -> Work:
    """y_k = x1ᵀ·W_k·x2 + b_k, `nn.Bilinear`; under autograd, `_trilinear` of three tensors."""
    if call.op == "aten._trilinear":
        return _trilinear(call)
    y = call.output
    w = tensor(call, "weight").shape
    bias = y.numel if call.get("bias") else 0
    return Work(macs=y.numel * (w[1] * w[2] + w[2]), adds=bias, activations=y.numel)


def _trilinear(call: OpCall) -> Work:
    weight = call.args["i2"]
    assert isinstance(weight, TensorSpec)
    c1, c2 = weight.shape[-2:]
    y = call.output
    return Work(macs=y.numel * (c1 * c2 + c2), activations=y.numel)


@counts(
    "aten.cdist",
    "aten._cdist_forward",
    "aten._euclidean_dist",
    family="matmul",
    formula="b·m·n·k MACs, and one addition and one root an output element",
    source="|x − y|² = |x|² + |y|² − 2·x·y",
)
def cdist(call: OpCall) -> Work:
    """Distances between all pairs of rows."""
    y, k = call.output, call.inputs[0].shape[-1]
    return Work(macs=y.numel * k, adds=y.numel, special=y.numel, activations=y.numel)
