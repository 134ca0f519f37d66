"""A rule's formula, with the numbers put in, comes to what the rule counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import cnnstat
from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Report, Work
from cnnstat.rules import rule_for
from cnnstat.rules.derivation import QUANTITIES, Derivation, Letter, complete, evaluate
from tests.measured import analyze

SMALL = "resnet18 mobilenet_v3_small shufflenet_v2_x0_5 squeezenet1_1 vit_b_16 swin_t".split()


def disagreements(report: Report) -> Iterator[tuple[str, str, str, int]]:
    for layer in report.layers:
        for tally in layer.tallies:
            for call in tally.ops:
                rule = rule_for(call.op)
                assert rule is not None
                work, derivation = rule.count(call), rule.derivation(call)
                for quantity in QUANTITIES:
                    formula = derivation.formulas.get(quantity, "0")
                    counted = getattr(work, quantity)
                    if derivation.value(formula) != counted:
                        yield layer.path, call.op, formula, counted


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_every_operation_of_real_networks(name: str, backward: bool) -> None:
    assert list(disagreements(analyze(name, backward=backward))) == []


@pytest.mark.slow
@pytest.mark.parametrize("source", ["torchvision"])
def test_every_operation_of_every_network(source: str) -> None:
    from cnnstat.sources.base import list_models

    for model in list_models("", source):
        assert list(disagreements(analyze(f"{source}:{model.name}"))) == []


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Conv1d(4, 6, 3, stride=2), (2, 4, 17)),
        (nn.Conv1d(4, 6, 3), (4, 17)),  # without a batch
        (nn.Conv3d(4, 8, (1, 2, 3), groups=2), (2, 4, 5, 6, 7)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (2, 4, 5, 6)),
        (nn.ConvTranspose1d(4, 6, 3), (2, 4, 9)),
        (nn.Linear(5, 7), (5,)),
        (nn.Linear(5, 7, bias=False), (2, 3, 5)),
        (nn.LSTM(5, 7, num_layers=2, bidirectional=True, proj_size=3), (4, 2, 5)),
        (nn.GRU(5, 7), (4, 2, 5)),
        (nn.LayerNorm((3, 5), elementwise_affine=False), (2, 3, 5)),
        (nn.AvgPool2d(3), (1, 2, 9, 9)),
        (nn.MaxPool3d(2), (1, 2, 4, 4, 4)),
        (nn.AdaptiveAvgPool2d(3), (1, 2, 7, 8)),
        (nn.TransformerEncoderLayer(8, 2, 16), (5, 2, 8)),
    ],
)
def test_every_operation_of_single_layers(net: nn.Module, shape: tuple[int, ...]) -> None:
    report = cnnstat.analyze(net, shape)
    assert report.totals.flops
    assert list(disagreements(report)) == []


def test_a_convolution_by_hand() -> None:
    # A 7×7 convolution of 3 into 64 channels at 112×112 positions: 64·3·49·12544.
    call = OpCall(
        0,
        "aten.conv2d",
        "conv1",
        {
            "input": TensorSpec((1, 3, 224, 224)),
            "weight": TensorSpec((64, 3, 7, 7)),
            "bias": TensorSpec((64,)),
            "stride": (2, 2),
        },
        (TensorSpec((1, 64, 112, 112)),),
    )
    rule = rule_for("aten.conv2d")
    assert rule is not None
    derivation = rule.derivation(call)
    assert derivation.formulas == {
        "macs": "N·K·(C/g)·kh·kw·oh·ow",
        "adds": "N·K·oh·ow",
        "activations": "N·K·oh·ow",
    }
    assert derivation.numbers(derivation.formulas["macs"]) == "1·64·(3/1)·7·7·112·112"
    assert derivation.value(derivation.formulas["macs"]) == 118_013_952
    assert derivation.value(derivation.weights["weight"]) == 9_408
    assert [letter.symbol for letter in derivation.letters] == "N K C g kh kw oh ow".split()


def test_what_no_rule_derives_is_a_multiple_of_the_elements() -> None:
    call = OpCall(0, "x.y", "", {"self": TensorSpec((2, 5))}, outputs=(TensorSpec((2, 3)),))
    work = Work(adds=12, muls=10, compares=4, special=7)  # 2·6, 10, 10 − 6, and nothing of these
    derivation = complete(None, call, work)
    assert derivation.formulas == {
        "adds": "2·written",
        "muls": "read",
        "compares": "read − written",
        "special": "7",
    }
    assert derivation.values == {"written": 6, "read": 10}


@given(st.lists(st.integers(1, 10**6), min_size=4, max_size=4))
def test_formulas_are_calculated_exactly(numbers: list[int]) -> None:
    a, b, c, d = numbers
    values = {"a": a, "b": b, "kh": c, "d": d}
    assert evaluate("a·(b + kh) − d", values) == a * (b + c) - d
    assert evaluate("a·b·(kh/kh)·3", values) == a * b * 3


def test_a_fraction_is_no_count() -> None:
    with pytest.raises(ArithmeticError, match="no whole number"):
        evaluate("a/b", {"a": 3, "b": 2})
    with pytest.raises(ValueError, match="no formula"):
        evaluate("a ** b", {"a": 3, "b": 2})


def test_only_the_letters_of_a_formula_are_shown() -> None:
    derivation = Derivation({"macs": "K·kh"}, tuple(Letter(s, 2, "") for s in ("K", "k", "kh")))
    assert [letter.symbol for letter in derivation.used(["K·kh"])] == ["K", "kh"]
    assert derivation.numbers("K·kh + 10") == "2·2 + 10"
