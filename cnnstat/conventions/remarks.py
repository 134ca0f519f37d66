"""What is not exact of more than one tool: remarks that their conventions share."""

from __future__ import annotations

from cnnstat.conventions.base import Remark, outputs_of_calls
from cnnstat.record import OpCall
from cnnstat.report import Layer, Report

RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")

ATTENTION = ("attention", "multi_head_attention", "transformer_encoder_layer")

MHA = "MultiheadAttention"


def without_batch(call: OpCall) -> bool:
    """Whether the first argument has a size less than the weight."""
    return len(call.inputs[0].shape) < len(call.inputs[1].shape)


def not_padded_steps(layer: Layer) -> bool:
    """Whether a recurrent layer is fed anything but steps and batch, or a cell anything but a batch."""
    return bool(layer.inputs) and len(layer.inputs[0]) != (2 if layer.type.endswith("Cell") else 3)


def calls_not_seen(layer: Layer) -> bool:
    """Whether the outputs of its calls beyond the first are not known."""
    return bool(layer.weights) and not outputs_of_calls(layer)[1]


def held_by_several(report: Report) -> bool:
    """Whether a module of the network has several names."""
    return any(note.kind == "shared" for note in report.notes)


BACKWARD = Remark(
    "the backward pass is in this number, and the tool counts forward alone",
    report=lambda report: "backward" in report.meta.get("phases", ()),
)

TRAINING = Remark(
    "the tool runs the network in evaluation mode, and this is a record of training mode",
    report=lambda report: report.meta.get("mode") == "train",
)

SHARED = Remark(
    "modules under several names count here once, and in the tool once for each module that holds them",
    report=held_by_several,
)

STEPS = Remark(
    "recurrent layers fed packed sequences, or one without a batch: the tool takes the first two sizes of "
    "the input for batch and steps",
    layers=RECURRENT,
    layer=not_padded_steps,
)

TIED_CELLS = Remark(
    "recurrent layers whose weights are those of another layer count here what they compute, and in the "
    "tool operations of their cells too",
    layers=RECURRENT,
    layer=lambda layer: bool(layer.tied_to),
)

NO_BATCH = Remark(
    "convolutions without a batch: the tool takes the channels for a batch",
    rules=("convolution",),
    call=without_batch,
)

SAME_NAMES = Remark(
    "the tool knows classes of torch, not timm's of the same names (LayerNorm, GroupNorm, Linear, GELU, "
    "PReLU), which count nothing there and as torch's here",
    layers=("LayerNorm", "GroupNorm", "Linear", "GELU", "PReLU"),
    report=lambda report: report.subject.get("source") == "timm",
)

AREA = Remark(
    "adaptive average pooling by a function: where it is F.interpolate by area, that counts in the tool too",
    rules=("adaptive_avg_pool*",),
    outside=("AdaptiveAvgPool?d",),
    call=lambda call: any(size != 1 for size in call.output.shape[2:]),
)

SOFTMAX = Remark(
    "softmax: x.softmax() and torch.softmax() count nothing in the tool, and here as F.softmax does",
    rules=("softmax",),
    outside=("Softmax", "Softmax2d", MHA),
)
