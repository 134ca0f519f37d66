"""What torchinfo counts: parameters, not operations."""

from __future__ import annotations

from cnnstat.conventions.base import Convention, Remark, Uses, tied_parameters
from cnnstat.conventions.remarks import MHA, RECURRENT, TRAINING, calls_not_seen
from cnnstat.report import Layer


def _tied_not_seen(layer: Layer) -> bool:
    return layer.calls > 0 and len(layer.tied_to) != len(list(tied_parameters(layer)))


def _of_several_outputs(layer: Layer) -> bool:
    known = (*RECURRENT, MHA)  # their first output is what counts
    return bool(layer.weights) and len(layer.outputs) > 1 and layer.type not in known


def _pruned(layer: Layer) -> bool:
    return any(name.endswith("_orig") for name in layer.weights)


CONVENTION = Convention(
    name="torchinfo",
    title="torchinfo mult-adds",
    unit="MACs",
    tool="torchinfo",
    versions="torchinfo 1.8.0",
    includes="parameters times their uses: a convolution's output positions, a recurrent "
    "layer's steps, for other layers the batch",
    misses="a linear layer over many tokens counts for one of them; no attention, nor "
    "anything else without parameters of its own",
    parameters=(
        Uses("positions", ("weight", "bias"), layers="*Conv*"),
        Uses("samples", ("weight", "bias")),
        Uses("steps", ("*weight*", "*bias*")),
    ),
    remarks=(
        Remark(
            "layers called several times count here as in their first call, where their "
            "operations do not show the others",
            layer=calls_not_seen,
        ),
        Remark(
            "tied parameters count in torchinfo in each layer that holds them, and here where "
            "the operations of the layer show them",
            layer=_tied_not_seen,
        ),
        Remark(
            "layers that put out several tensors count here by the first; of a dictionary "
            "torchinfo takes the last",
            layer=_of_several_outputs,
        ),
        Remark(
            "pruned weights count in torchinfo by the ones in their masks, and here in full",
            layer=_pruned,
        ),
        TRAINING,
    ),
)
