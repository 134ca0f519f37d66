"""What torch's own `torch.utils.flop_counter.FlopCounterMode` counts."""

from __future__ import annotations

from cnnstat.conventions.base import Convention, Remark, Weights
from cnnstat.conventions.remarks import ATTENTION, BACKWARD, MHA
from cnnstat.conventions.words import TWO, by_ops, of_rules, real_convolutions
from cnnstat.record import OpCall
from cnnstat.report import Layer


def _product(call: OpCall) -> int:
    """FlopCounterMode has formulas for products of matrices, and none for those by a vector."""
    left, right = call.inputs[1:3] if "add" in call.op else call.inputs[:2]
    return 0 if len(right.shape) == 1 else 2 * call.output.numel * left.shape[-1]


def _not_projected(layer: Layer) -> bool:
    """Whether oneDNN has a kernel for the recurrent layer."""
    return not any(name.startswith("weight_hr") for name in layer.weights)


CONVENTION = Convention(
    name="flop-counter",
    title="torch FLOPs",
    unit="FLOPs",
    tool="torch",
    versions="torch.utils.flop_counter of torch 2.13.0",
    includes="twice the MACs, as FlopCounterMode sums them over the operations that run",
    misses="the number of tensors on meta; elsewhere it prints less where it has no formula for "
    "the kernel that runs",
    rules={
        **of_rules("linear attention recurrent convolution_backward", TWO),
        "convolution": Weights(macs=2, call=lambda call: 2 * real_convolutions(call)),
        **of_rules("matmul addmm", Weights(macs=2, call=_product)),
    },
    remarks=(
        Remark(
            "on the CPU fused attention counts nothing: there is no formula for its kernel there",
            rules=ATTENTION,
        ),
        Remark(
            "without gradients nn.MultiheadAttention counts nothing where it is one "
            "kernel, which has no formula: self-attention mostly is",
            layers=(MHA,),
        ),
        Remark(
            "on the CPU an LSTM counts nothing, being one kernel without a formula",
            rules=("recurrent", "mkldnn_rnn_layer"),
            call=by_ops("aten.lstm", "aten.mkldnn_rnn_layer"),
            layer=_not_projected,
        ),
        Remark(
            "on a GPU recurrent layers count nothing: there is no formula for cuDNN's kernel",
            rules=("recurrent", "mkldnn_rnn_layer"),
        ),
        Remark(
            "with a backward pass the tool counts the products that its kernels run",
            report=BACKWARD.report,
        ),
    ),
)
