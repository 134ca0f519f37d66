"""What fvcore counts, as timm's published figures have it."""

from __future__ import annotations

from cnnstat.conventions.base import Convention, Remark, Weights
from cnnstat.conventions.remarks import ATTENTION, BACKWARD, MHA
from cnnstat.conventions.words import (
    MAC,
    READ,
    READ_TWICE,
    by_ops,
    of_rules,
    product,
    real_convolutions,
)
from cnnstat.record import OpCall


def _convolution(call: OpCall) -> int:
    """fvcore has no handle for a convolution whose padding is a word."""
    if isinstance(call.get("padding"), str):
        return 0
    return real_convolutions(call)


def _addmm(call: OpCall) -> int:
    """It has none for baddbmm and addmv either."""
    return call.output.numel * call.inputs[1].shape[-1] if call.op == "aten.addmm" else 0


def _of_four_digits(call: OpCall) -> bool:
    """Whether an einsum of that size is not what NumPy prints of it."""
    if call.op != "aten.bmm":
        return False
    flops = 2 * call.output.numel * call.inputs[0].shape[-1]
    return int(float(f"{flops + 1:.3e}")) // 2 != flops // 2


CONVENTION = Convention(
    name="fvcore",
    title="fvcore flops",
    unit="mixed",
    tool="fvcore",
    versions="fvcore 0.1.5.post20221221",
    includes="MACs, batch norm 2 an element, layer and group norm 5, adaptive average "
    "pooling 1, bilinear resizing 4; attention as matrix products, as timm publishes in "
    "infer_gmacs",
    misses="not what fvcore itself prints where attention is fused: it sees nothing of it; no "
    "biases, activations, max pooling, recurrent layers or einsum without a sum",
    rules={
        **of_rules("linear attention", MAC),
        "convolution": Weights(macs=1, call=_convolution),
        "matmul": Weights(macs=1, call=product("aten.matmul", "aten.mm", "aten.bmm")),
        "addmm": Weights(macs=1, call=_addmm),
        "batch_norm": READ_TWICE,
        "batch_norm.plain": READ,
        "batch_norm.batch": Weights(read=5),
        "batch_norm.batch.plain": Weights(read=4),
        **of_rules("layer_norm group_norm instance_norm", Weights(read=5)),
        **of_rules("layer_norm.plain group_norm.plain instance_norm.plain", Weights(read=4)),
        "adaptive_avg_pool": READ,
        "upsample_nearest": Weights(written=1),
        "upsample_bilinear": Weights(written=4),
        "grid_sample": Weights(written=4),
    },
    remarks=(
        Remark(
            "fused attention: this is the number of timm's table, with its products counted; "
            "fvcore itself prints less, without them",
            rules=ATTENTION,
        ),
        Remark(
            "einsum: fvcore reads its count out of a text that has four digits of it, where "
            "torch.bmm, which runs the same, counts as here",
            rules=("matmul",),
            outside=(MHA,),
            call=_of_four_digits,
        ),
        Remark(
            "tensordot, chain_matmul and inner count nothing in fvcore, where torch.mm, which runs "
            "the same, counts as here",
            rules=("matmul",),
            call=by_ops("aten.mm"),
        ),
        BACKWARD,
    ),
)
