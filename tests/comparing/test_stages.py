from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.comparing.stages import NOWHERE, Axes, Stage, stage_parts, stage_rows
from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Layer, Report, Tally, Uncounted, Work
from tests.reports import REPORTS, conv, linear, module, report

Shape = tuple[int, ...]


def of_input(made: Report, *shape: int) -> Report:
    inputs = [{"name": "x", "shape": list(shape), "dtype": "float32"}]
    return replace(made, meta={**made.meta, "inputs": inputs})


def norm(path: str, shape: Shape, channels: int, rule: str) -> Layer:
    layer = module(path, "Norm", rule, shape, shape, 2 * channels, Work(muls=math.prod(shape)))
    return replace(layer, weights={"weight": (channels,), "bias": (channels,)})


def dense(path: str, into: Shape, out: Shape) -> Layer:
    layer = linear(path, into, out, rows=math.prod(into[1:-1]))
    return replace(layer, weights={"weight": (out[-1], into[-1]), "bias": (out[-1],)})


def act(path: str, shape: Shape) -> Layer:
    return module(path, "GELU", "activation", shape, shape, 0, Work(special=math.prod(shape)))


ROOT = module("", "Net", "container", (1, 3, 32, 32), (1, 10))


def labels(*layers: Layer, into: Shape = (1, 3, 32, 32)) -> dict[str, str]:
    made = of_input(report("net", ROOT, *layers), *into)
    return {path: stage.label for path, stage in Axes(made).layers().items() if path}


def test_images_with_the_channels_first() -> None:
    assert labels(
        conv("a", "standard", (1, 3, 32, 32), (1, 8, 16, 16), 3),
        act("b", (1, 8, 16, 16)),
        module("pool", "AdaptiveAvgPool2d", "pooling", (1, 8, 16, 16), (1, 8, 1, 1)),
        linear("head", (1, 8), (1, 10)),
    ) == {"a": "16×16", "b": "16×16", "pool": "1×1", "head": "no spatial size"}


def test_images_with_the_channels_last_are_known_by_their_weights() -> None:
    # 12×16 with 16 channels: neither square nor unlike the channels, so only weights can tell.
    shape = (1, 12, 16, 16)
    assert labels(norm("norm", shape, 16, "layer_norm"), act("act", shape)) == {
        "norm": "12×16",
        "act": "12×16",
    }
    wide = (1, 14, 14, 64)
    assert labels(dense("fc", (1, 14, 14, 16), wide), act("act", wide))["act"] == "14×14"
    assert labels(act("act", wide))["act"] == "14×14"  # square, and not as wide as deep


def test_a_layer_norm_over_the_first_axis_is_channels_first() -> None:
    assert labels(norm("norm", (1, 24, 14, 14), 24, "layer_norm")) == {"norm": "14×14"}


def test_tokens_are_those_of_one_sample() -> None:
    tokens, sequence_first = (2, 17, 24), (17, 2, 24)
    found = labels(
        conv("patches", "standard", (2, 3, 32, 32), (2, 24, 4, 4), 8),
        norm("norm", tokens, 24, "layer_norm"),
        act("act", tokens),
        norm("other", sequence_first, 24, "layer_norm"),
        into=(2, 3, 32, 32),
    )
    assert found == {
        "patches": "4×4",
        "norm": "17 tokens",
        "act": "17 tokens",
        "other": "17 tokens",
    }


def test_as_many_tokens_as_an_image_has_pixels_are_that_image() -> None:
    found = labels(
        conv("patches", "standard", (1, 3, 32, 32), (1, 24, 8, 8), 4),
        dense("tokens", (1, 64, 24), (1, 64, 24)),
        dense("windows", (4, 16, 24), (4, 16, 24)),
    )
    assert set(found.values()) == {"8×8"}


def test_attention_weights_are_no_image() -> None:
    tokens = (1, 17, 24)
    found = labels(
        replace(norm("attn", tokens, 24, "layer_norm"), tallies=()),
        module("attn.drop", "Dropout", "dropout", (1, 3, 17, 17), (1, 3, 17, 17)),
    )
    assert found["attn.drop"] == "17 tokens"


def test_heads_and_windows_are_told_from_images() -> None:
    found = labels(
        conv("stem", "standard", (1, 3, 32, 32), (1, 24, 8, 8), 4),
        norm("windows", (1, 4, 16, 24), 24, "layer_norm"),  # four windows of 4×4
        norm("tokens", (1, 17, 24), 24, "layer_norm"),
        norm("heads", (1, 3, 17, 8), 8, "layer_norm"),
        module("block", "Block", "container", (1, 24, 8, 8), (1, 24, 8, 8)),
        module("block.softmax", "Softmax", "activation", (4, 3, 16, 16), (4, 3, 16, 16)),
    )
    assert found == {
        **dict.fromkeys(("stem", "windows", "block", "block.softmax"), "8×8"),
        **dict.fromkeys(("tokens", "heads"), "17 tokens"),
    }


def test_video_and_sound() -> None:
    layer = module(
        "video",
        "Conv3d",
        "standard",
        (1, 3, 8, 32, 32),
        (1, 8, 4, 16, 16),
        attrs={"kernel": [3] * 3},
    )
    assert labels(layer) == {"video": "4×16×16"}
    layer = module("sound", "Conv1d", "standard", (1, 1, 800), (1, 8, 400), attrs={"kernel": [3]})
    assert labels(layer) == {"sound": "length 400"}


def test_what_put_out_nothing_is_where_the_module_above_is() -> None:
    block = module("block", "Block", "container", (1, 8, 16, 16), (1, 8, 16, 16))
    held = module("block.never", "Linear", "never-called", params=30, calls=0)
    assert labels(block, held)["block.never"] == "16×16"


def call(*out: int) -> OpCall:
    return OpCall(0, "aten.relu", "", {}, (TensorSpec(out),))


def test_work_in_the_forward_of_the_root_is_where_its_operations_are() -> None:
    images = Tally("relu", "activation", 1, Work(compares=50), ops=(call(1, 8, 16, 16),))
    mixed_ops = (call(1, 8, 16, 16), call(1, 8, 4, 4))
    mixed = Tally("pool", "pooling", 2, Work(adds=7), ops=mixed_ops)
    root = replace(ROOT, tallies=(images, mixed), params=5, quoted=3)
    parts = stage_parts(report("functional", root))
    assert parts[Stage((16, 16))].totals.flops == 50
    assert parts[NOWHERE].totals.flops == 7  # what cannot be told apart is nowhere
    assert parts[NOWHERE].totals.params == 5
    assert sum(part.totals.quoted for part in parts.values()) == 3


def test_stages_of_two_networks_are_matched_by_size_from_the_largest() -> None:
    one = report(
        "one",
        ROOT,
        conv("a", "standard", (1, 3, 32, 32), (1, 4, 16, 16), 3),
        conv("squeeze", "pointwise", (1, 4, 1, 1), (1, 4, 1, 1), 1),
        conv("b", "standard", (1, 4, 16, 16), (1, 4, 8, 8), 3),
    )
    two = report(
        "two",
        ROOT,
        conv("x", "standard", (1, 3, 32, 32), (1, 2, 32, 32), 3),
        conv("y", "standard", (1, 2, 32, 32), (1, 2, 8, 8), 3),
        linear("head", (1, 2), (1, 10)),
    )
    rows = stage_rows([one, two])
    assert [row.stage.label for row in rows] == ["32×32", "16×16", "8×8", "1×1", "no spatial size"]
    macs = [[part.totals.macs for part in row.parts] for row in rows]
    # 4·27·256, 4·4·1, 4·36·64 and 2·27·1024, 2·18·64, 2·10
    assert macs == [[0, 55296], [27648, 0], [9216, 2304], [16, 0], [0, 20]]
    assert [part.present for part in rows[0].parts] == [False, True]
    assert [part.stride for part in rows[2].parts] == [4, 4]
    assert [part.layers for part in rows[3].parts] == [1, 0]


def test_operations_without_a_rule_are_counted_at_their_stage() -> None:
    parts = stage_parts(REPORTS["unknown"]())
    assert parts[Stage((32, 32))].uncounted == 4


@pytest.mark.parametrize("name", REPORTS)
def test_stages_add_up_to_the_totals(name: str) -> None:
    made = REPORTS[name]()
    adds_up(made)


def adds_up(made: Report) -> None:
    parts = stage_parts(made).values()
    for field in ("params", "macs", "flops", "activations", "param_bytes"):
        whole = getattr(made.totals, field)
        assert sum(getattr(part.totals, field) for part in parts) == whole
    assert sum(part.uncounted for part in parts) == sum(gap.count for gap in made.uncounted)


SIZES = st.integers(1, 9)


@st.composite
def networks(draw: Any) -> Report:
    layers = []
    for n in range(draw(st.integers(0, 8))):
        shape = tuple(draw(st.lists(SIZES, min_size=0, max_size=5)))
        ops = tuple(
            call(*draw(st.lists(SIZES, max_size=4))) for _ in range(draw(st.integers(0, 2)))
        )
        tally = Tally("relu", "activation", len(ops), Work(draw(SIZES), draw(SIZES)), ops=ops)
        path = draw(st.sampled_from(["", "a.", "a.b."])) + str(n)
        made = Layer(path, "T", "activation", outputs=(shape,) if shape else ())
        layers.append(replace(made, params=draw(SIZES), tallies=(tally,)))
    gaps = (Uncounted("x", layers[0].path, 2),) if layers else ()
    return report("random", ROOT, *layers, uncounted=gaps)


@given(networks())
def test_stages_of_random_networks_add_up_too(made: Report) -> None:
    adds_up(made)


def test_real_networks() -> None:
    from tests.measured import analyze

    def found(name: str) -> dict[str, int]:
        made = analyze(name)
        adds_up(made)
        return {stage.label: part.totals.macs for stage, part in stage_parts(made).items()}

    # One of 3136·96·(4·4·3), four attentions and two feed-forward layers at each of four sizes.
    swin = found("swin_t")
    assert set(swin) == {"56×56", "28×28", "14×14", "7×7", "1×1", "no spatial size"}
    vit = found("vit_b_16")
    assert vit["14×14"] == 196 * 768 * 3 * 16 * 16
    assert vit["197 tokens"] == sum(vit.values()) - vit["14×14"] - 768 * 1000
    resnet = found("resnet50")
    assert resnet["112×112"] == 112 * 112 * 64 * 3 * 49
    assert resnet["no spatial size"] == 2048 * 1000
    twice = analyze("vit_b_16", batch=2)
    assert Stage((197,), "tokens") in stage_parts(twice)
