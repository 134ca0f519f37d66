"""Where operations stand, on records by hand."""

from __future__ import annotations

from cnnstat.classify import classify
from cnnstat.dataflow import standing
from cnnstat.record import ModuleInfo, OpCall, ParamInfo, TensorSpec, Trace

X = TensorSpec((1, 3, 8, 8), storage=0)


def image(channels: int, storage: int) -> TensorSpec:
    return TensorSpec((1, channels, 8, 8), storage=storage)


def conv(index: int, x: TensorSpec, y: TensorSpec, weight: int, groups: int = 1) -> OpCall:
    w = TensorSpec((y.shape[1], x.shape[1] // groups, 1, 1), storage=weight)
    args = {"input": x, "weight": w, "groups": groups}
    return OpCall(index, "aten.conv2d", "", args, (y,))


def roles(*ops: OpCall, outputs: tuple[TensorSpec, ...]) -> dict[int, tuple[str, ...]]:
    trace = Trace(ops=ops, modules=(ModuleInfo("", "Net", calls=1),), inputs=(X,), outputs=outputs)
    return {index: found for index, (_, found) in standing(trace, classify(trace)).items()}


def test_the_first_and_the_last_have_given_channels() -> None:
    a, b, c = image(8, 1), image(8, 2), image(5, 3)
    ops = conv(0, X, a, 10), conv(1, a, b, 11), conv(2, b, c, 12)
    assert roles(*ops, outputs=(c,)) == {0: ("input",), 2: ("output",)}


def test_channels_pass_through_what_leaves_them_as_they_are() -> None:
    x, a, b = image(3, 1), image(8, 2), image(8, 3)
    ops = (
        OpCall(0, "aten.relu", "", {"self": X}, (x,)),
        conv(1, x, a, 10),
        OpCall(2, "aten.relu", "", {"self": a}, (b,)),
    )
    # What the network puts out has given channels, so what reads it stands on given ones.
    assert roles(*ops, outputs=(b,)) == {0: ("input",), 1: ("input", "output"), 2: ("input",)}


def test_a_depthwise_convolution_makes_no_channels() -> None:
    a, b, c = image(3, 1), image(8, 2), image(8, 3)
    ops = conv(0, X, a, 10, groups=3), conv(1, a, b, 11), conv(2, b, c, 12, groups=8)
    # The last is depthwise: its channels are those that the one before puts out.
    assert roles(*ops, outputs=(c,)) == {0: ("input",), 1: ("input", "output"), 2: ("input",)}


def test_where_given_and_chosen_channels_meet() -> None:
    a, b, c = image(3, 1), image(3, 2), image(5, 3)
    ops = (
        conv(0, X, a, 10),
        OpCall(1, "aten.add", "", {"self": X, "other": a}, (b,)),
        conv(2, b, c, 11),
    )
    assert roles(*ops, outputs=(c,)) == {0: ("input",), 1: ("mixed",), 2: ("mixed", "output")}


def test_parameters_by_their_names() -> None:
    weight = ParamInfo("weight", (8, 3, 1, 1), storage=10)
    a = image(8, 1)
    trace = Trace(
        ops=(conv(0, X, a, 10),),
        modules=(ModuleInfo("", "Net"), ModuleInfo("stem", "Conv2d", params=(weight,))),
        inputs=(X,),
        outputs=(a,),
    )
    assert standing(trace, classify(trace))[0][0] == (("weight", "stem.weight"),)


def test_without_storages_nothing_is_said() -> None:
    x, y = TensorSpec((1, 3, 8, 8)), TensorSpec((1, 8, 8, 8))
    call = OpCall(0, "aten.conv2d", "", {"input": x, "weight": TensorSpec((8, 3, 1, 1))}, (y,))
    trace = Trace(ops=(call,), modules=(ModuleInfo("", "Net"),), inputs=(x,), outputs=(y,))
    assert standing(trace, classify(trace)) == {}
