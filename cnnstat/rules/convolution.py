"""Convolutions of any dimension: standard, depthwise, grouped, dilated, transposed, deformable.

Letters: N batch, C channels in, K channels out, g groups, k kernel positions, o output positions, i input
positions.
"""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts, elements, tensor, times
from cnnstat.rules.derivation import Derivation, Letter, sizes
from cnnstat.shapes import TRANSPOSED, conv_macs, is_transposed

_KERNEL = {1: ("k",), 2: ("kh", "kw"), 3: ("kd", "kh", "kw")}
_POSITIONS = {1: ("",), 2: ("h", "w"), 3: ("d", "h", "w")}
_DIMENSION = {"": "length", "d": "depth", "h": "height", "w": "width"}


def letters(
    x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], groups: int, transposed: bool
) -> tuple[Letter, ...]:
    """N, K, C, g, the kernel and the positions at which it is used, from the shapes."""
    dims = len(w) - 2
    (k, c) = (w[1] * groups, w[0]) if transposed else (w[0], w[1] * groups)
    weight, at = f"weight {sizes(w)}", "i" if transposed else "o"
    where = f"input {sizes(x)}" if transposed else f"output {sizes(y)}"
    batched = len(y) == dims + 2
    return (
        Letter("N", y[0] if batched else 1, "batch" if batched else "one sample without a batch"),
        Letter("K", k, f"output channels: output {sizes(y)}"),
        Letter("C", c, f"input channels: input {sizes(x)}"),
        Letter("g", groups, "groups"),
        *(
            Letter(symbol, size, f"kernel: {weight}")
            for symbol, size in zip(_KERNEL[dims], w[2:], strict=True)
        ),
        *(
            Letter(at + axis, size, f"{_DIMENSION[axis]} of the {where}")
            for axis, size in zip(_POSITIONS[dims], (x if transposed else y)[-dims:], strict=True)
        ),
    )


def _formulas(dims: int, transposed: bool) -> tuple[str, str, str]:
    """MACs, elements put out by a convolution that is not transposed, elements of the weight."""
    kernel = "·".join(_KERNEL[dims])
    at = "·".join(("i" if transposed else "o") + axis for axis in _POSITIONS[dims])
    if transposed:
        return f"N·C·(K/g)·{kernel}·{at}", "", f"C·(K/g)·{kernel}"
    return f"N·K·(C/g)·{kernel}·{at}", f"N·K·{at}", f"K·(C/g)·{kernel}"


def derive(call: OpCall) -> Derivation:
    """`N·K·(C/g)·kh·kw·oh·ow` for an image; transposed, `N·C·(K/g)·kh·kw·ih·iw`."""
    x, w, y = tensor(call, "input").shape, tensor(call, "weight").shape, call.output.shape
    transposed = is_transposed(call)
    macs, out, weight = _formulas(len(w) - 2, transposed)
    formulas = {"macs": macs}
    if out:
        formulas["activations"] = out
        if call.get("bias"):
            formulas["adds"] = out
    return Derivation(
        formulas,
        letters(x, w, y, int(call.get("groups", 1)), transposed),
        {"weight": weight, "bias": "K"},
    )


@counts(
    "aten.convolution",
    "aten._convolution",
    "aten.cudnn_convolution",
    "aten.mkldnn_convolution",
    "aten.convolution_overrideable",
    *(f"aten.conv{n}d" for n in (1, 2, 3)),
    *TRANSPOSED,
    family="convolution",
    formula="N·K·(C/g)·k·o MACs; transposed: N·C·(K/g)·k·i; bias: one addition an output element",
    source="Howard et al. 2017, MobileNets (arXiv 1704.04861), section 3.1, with groups",
    derive=derive,
)
def convolution(call: OpCall) -> Work:
    """Each output element is a sum over (C/g)·k products; transposed, each input element is spread."""
    x, w, y = tensor(call, "input").shape, tensor(call, "weight").shape, call.output
    macs = conv_macs(x, w, y.shape, is_transposed(call))
    bias = y.numel if call.get("bias") else 0
    return Work(macs=macs, adds=bias, activations=y.numel)


def _derive_deformable(call: OpCall) -> Derivation:
    x, w, y = tensor(call, "input").shape, tensor(call, "weight").shape, call.output.shape
    macs, out, weight = _formulas(len(w) - 2, transposed=False)
    samples = macs.replace("K·(C/g)", "C")
    formulas = {
        "macs": macs,
        "adds": f"{out} + 3·{samples}",
        "muls": f"{5 if call.get('use_mask') else 4}·{samples}",
        "activations": out,
    }
    # The weight says how many input channels a group has; their number says how many groups.
    return Derivation(
        formulas, letters(x, w, y, x[1] // w[1], transposed=False), {"weight": weight, "bias": "K"}
    )


@counts(
    "torchvision.deform_conv2d",
    family="convolution",
    formula="N·K·(C/g)·k·o MACs + N·C·k·o bilinear samples of 4 products and 3 additions",
    source="Dai et al. 2017, Deformable Convolutional Networks (arXiv 1703.06211), equations 2 and 3",
    derive=_derive_deformable,
)
def deformable_convolution(call: OpCall) -> Work:
    """A convolution over bilinearly sampled positions; with a mask, one more product a sample."""
    x, w, y = tensor(call, "input").shape, tensor(call, "weight").shape, call.output
    samples = x[0] * x[1] * elements(w[2:]) * elements(y.shape[2:])
    masked = 1 if call.get("use_mask") else 0
    sampling = times(samples, Work(adds=3, muls=4 + masked))
    macs = conv_macs(x, w, y.shape, transposed=False)
    return Work(macs=macs, adds=y.numel, activations=y.numel) + sampling


def _derive_backward(call: OpCall) -> Derivation:
    dy, x = tensor(call, "grad_output").shape, tensor(call, "input").shape
    w, transposed = tensor(call, "weight").shape, is_transposed(call)
    macs, _, _ = _formulas(len(w) - 2, transposed)
    asked = sum(call.get("output_mask", (True, True, True))[:2])
    named = letters(x, w, dy, int(call.get("groups", 1)), transposed)
    gradients = Letter("p", asked, "gradients asked for, of the input and of the weight")
    return Derivation({"macs": f"p·{macs}"}, (gradients, *named))


@counts(
    "aten.convolution_backward",
    family="convolution",
    formula="forward MACs for the input's gradient and again for the weight's; bias: a sum over dy",
    source="every product w·x of the forward pass gives one w·dy and one x·dy",
    derive=_derive_backward,
)
def convolution_backward(call: OpCall) -> Work:
    """Only the gradients that `output_mask` asks for; groups divide both alike."""
    dy, x = tensor(call, "grad_output"), tensor(call, "input").shape
    w = tensor(call, "weight").shape
    forward = conv_macs(x, w, dy.shape, is_transposed(call))
    to_input, to_weight, to_bias = call.get("output_mask", (True, True, True))
    activations = sum(spec.numel for spec in call.outputs[: to_input + to_weight])
    return Work(
        macs=forward * (to_input + to_weight),
        adds=dy.numel if to_bias else 0,
        activations=activations,
    )


@counts(
    *(
        f"quantized.conv{n}d{kind}"
        for n in (1, 2, 3)
        for kind in ("", "_relu", "_add", "_add_relu", "_dynamic")
    ),
    *(f"quantized.conv_transpose{n}d{kind}" for n in (1, 2, 3) for kind in ("", "_dynamic")),
    family="convolution",
    formula="N·K·(C/g)·k·o MACs of integers; transposed: N·C·(K/g)·k·i; bias: one addition an output element",
    source="as convolution",
)
def quantized_convolution(call: OpCall) -> Work:
    """The weight is inside the packed parameters, which the record unpacks."""
    packed = next(value for value in call.args.values() if isinstance(value, tuple) and value)
    w, y = packed[0].shape, call.output
    macs = conv_macs(call.inputs[0].shape, w, y.shape, is_transposed(call))
    relu = y.numel if call.op.endswith("relu") else 0
    bias = y.numel if len(packed) > 1 and packed[1] is not None else 0
    return Work(macs=macs, adds=bias, compares=relu, activations=y.numel)
