"""The classification, on reports and opinions written by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from cnnstat.opinions.base import Check, Opinion
from cnnstat.opinions.differences import compare
from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Layer, Report, Tally, Uncounted, Work

Shape = tuple[int, ...]


def call(op: str, output: Shape, **args: Any) -> OpCall:
    """Tuples among the arguments are the shapes of tensors."""
    described = {n: TensorSpec(v) if isinstance(v, tuple) else v for n, v in args.items()}
    return OpCall(0, op, "", described, (TensorSpec(output),))


def layer(path: str, macs: int, *calls: OpCall, rule: str = "matmul") -> Layer:
    tally = Tally(rule, "matmul", len(calls), Work(macs=macs), ops=calls)
    return Layer(path=path, type="Net", kind="matmul", tallies=(tally,) if calls else ())


def report(*layers: Layer, **fields: Any) -> Report:
    return Report({"name": "net"}, "macs", layers, **fields)


def fvcore(counts: dict[str, dict[str, int]], **fields: Any) -> Opinion:
    total = sum(sum(amounts.values()) for amounts in counts.values())
    return Opinion(
        "fvcore",
        "fvcore",
        "fvcore 0",
        "fvcore flops",
        1,
        **{"total": total, "counts": counts, **fields},
    )


def flop_counter(counts: dict[str, dict[str, int]], **fields: Any) -> Opinion:
    return replace(fvcore(counts, **fields), engine="flop-counter", unit="FLOPs", per_mac=2)


def kinds(check: Check) -> list[tuple[str, str, int]]:
    return [(reason.kind, reason.op, reason.amount) for reason in check.reasons]


def adds_up(check: Check) -> bool:
    return check.theirs == check.opinion.total and all(
        item.theirs
        == check.opinion.per_mac * item.ours + sum(part.amount for part in item.differences)
        for item in check.layers
    )


LINEAR = call("aten.linear", (4, 6), input=(4, 5), weight=(6, 5))  # 4·6·5 = 120
NORM = call("aten.layer_norm", (4, 6), input=(4, 6), normalized_shape=(6,), weight=(6,))
SDPA = call(
    "aten.scaled_dot_product_attention", (1, 7, 8), query=(1, 7, 8), key=(1, 7, 8), value=(1, 7, 8)
)  # 7·7·(8 + 8) = 784


def test_equal_numbers_need_no_reason() -> None:
    check = compare(report(layer("fc", 120, LINEAR)), fvcore({"fc": {"linear": 120}}))
    assert check.agrees
    assert check.agreed == check.ours == 120
    assert kinds(check) == []


def test_a_convention_is_its_rule_applied_to_what_was_recorded() -> None:
    norm = layer("norm", 0, NORM, rule="layer_norm")
    check = compare(report(norm), fvcore({"norm": {"layer_norm": 5 * 24}}))
    assert kinds(check) == [("convention", "layer_norm", 120)]
    assert check.agrees
    assert adds_up(check)


def test_a_convention_that_gives_another_number_is_unexplained() -> None:
    norm = layer("norm", 0, NORM, rule="layer_norm")
    check = compare(report(norm), fvcore({"norm": {"layer_norm": 4 * 24}}))
    assert ("unexplained", "layer_norm", -24) in kinds(check)
    assert not check.agrees
    assert adds_up(check)


def test_an_operation_without_a_formula_is_counted_as_zero() -> None:
    unknown = {"": {"aten::scaled_dot_product_attention": 1, "aten::gelu": 3}}
    check = compare(report(layer("", 784, SDPA)), fvcore({}, unknown=unknown))
    assert kinds(check) == [("counted as zero", "scaled_dot_product_attention", -784)]
    assert check.agrees
    assert check.agreed == 0


def test_a_missing_operation_that_the_engine_did_not_meet_is_unexplained() -> None:
    check = compare(report(layer("", 784, SDPA)), fvcore({}, unknown={"": {"aten::gelu": 3}}))
    assert kinds(check) == [("unexplained", "scaled_dot_product_attention", -784)]


def test_flop_counter_leaves_out_what_it_has_no_formula_for() -> None:
    mv = call("aten.mv", (4,), self=(4, 5), vec=(5,))  # 20 MACs are 40 of its FLOPs
    ours = report(layer("", 140, LINEAR, call("aten.matmul", (4,), self=(4, 5), other=(5,))))
    check = compare(ours, flop_counter({"": {"addmm": 240}}, unknown_calls={"": (mv,)}))
    assert kinds(check) == [("counted as zero", "mv", -40)]
    assert check.agreed == 240
    assert adds_up(check)


def test_a_broadcast_product_is_an_error_of_exactly_that_size() -> None:
    # (4, 5) times eight matrices (5, 6) is 8·4·5·6 = 960; 4·5·6 = 120 leaves the eight out
    product = call("aten.matmul", (8, 4, 6), self=(4, 5), other=(8, 5, 6))
    check = compare(report(layer("", 960, product)), fvcore({"": {"matmul": 120}}))
    assert kinds(check) == [("error", "matmul", -840)]
    other = compare(report(layer("", 960, product)), fvcore({"": {"matmul": 121}}))
    assert ("unexplained", "matmul", 1) in kinds(other)


def test_a_convolution_whose_padding_is_a_word() -> None:
    # 8 output channels, 3·4·4 inputs each, at 16·16 positions
    conv = call(
        "aten.conv2d", (1, 8, 16, 16), input=(1, 3, 16, 16), weight=(8, 3, 4, 4), padding="same"
    )
    macs = 8 * 48 * 256
    ours = report(layer("0", macs, conv, rule="convolution"))
    check = compare(ours, fvcore({}, unknown={"0": {"aten::_convolution_mode": 1}}))
    assert kinds(check) == [("error", "_convolution_mode", -macs)]
    assert check.agrees


@pytest.mark.parametrize(("theirs", "kind"), [(466_100, "error"), (466_090, "unexplained")])
def test_an_einsum_is_read_with_four_digits(theirs: int, kind: str) -> None:
    # 3·17·19 · 13 · 37 = 466,089; 2·466,089 + 1 = 932,179 prints as 9.322e+05
    product = call("aten.bmm", (1, 969, 37), self=(1, 969, 13), mat2=(1, 13, 37))
    check = compare(report(layer("", 466_089, product)), fvcore({"": {"einsum": theirs}}))
    assert [reason.kind for reason in check.reasons] == [kind]


def test_the_same_operation_in_another_layer_pairs_up() -> None:
    ours = report(layer("", 0), layer("a", 120, LINEAR), layer("b", 0))
    check = compare(ours, fvcore({"": {"linear": 120}}))
    assert kinds(check) == [("attribution", "linear", 0)]
    assert [(item.path, item.amount) for item in check.differences] == [("", 120), ("a", -120)]
    assert check.agreed == 120
    assert adds_up(check)


def test_amounts_that_are_no_whole_operation_do_not_pair_up() -> None:
    ours = report(layer("a", 120, LINEAR), layer("b", 120, LINEAR))
    check = compare(ours, fvcore({"a": {"linear": 119}, "b": {"linear": 121}}))
    assert [item.kind for item in check.differences] == ["unexplained", "unexplained"]


def test_two_layers_that_could_have_it_explain_nothing() -> None:
    ours = report(layer("a", 120, LINEAR), layer("b", 0), layer("c", 0))
    check = compare(ours, fvcore({"b": {"linear": 120}, "c": {"linear": 120}}))
    assert not check.agrees


def test_an_operation_inside_one_that_is_not_looked_into() -> None:
    unknown = {"": {"prim::PythonOp.Scale": 1}}
    check = compare(report(layer("", 120, LINEAR)), fvcore({}, unknown=unknown))
    assert kinds(check) == [("counted as zero", "prim::PythonOp.Scale", -120)]


def test_one_more_than_all_reasons_is_unexplained_with_both_numbers() -> None:
    check = compare(report(layer("fc", 120, LINEAR)), fvcore({"fc": {"linear": 121}}))
    (item,) = check.unexplained
    assert (item.path, item.amount) == ("fc", 1)
    assert "121" in item.text and "120" in item.text


def test_a_layer_that_cnnstat_does_not_know_is_unexplained() -> None:
    check = compare(report(layer("fc", 0)), fvcore({"gc": {"linear": 120}}))
    assert kinds(check) == [("unexplained", "linear", 120)]


def test_a_total_that_is_not_the_sum_of_its_layers_is_unexplained() -> None:
    opinion = fvcore({"fc": {"linear": 120}}, total=130)
    check = compare(report(layer("", 0), layer("fc", 120, LINEAR)), opinion)
    assert [(item.path, item.amount) for item in check.unexplained] == [("", 10)]
    assert "130" in check.unexplained[0].text
    assert adds_up(check)


def test_what_cnnstat_has_no_rule_for_is_no_agreement_where_they_count_it() -> None:
    gap = Uncounted("lib.fused", "fc", 1)
    ours = report(layer("fc", 120, LINEAR), uncounted=(gap,))
    check = compare(ours, fvcore({"fc": {"linear": 120, "fused": 50}}))
    assert [(item.kind, item.amount) for item in check.differences] == [("unexplained", 50)]
    assert "cnnstat has no rule for lib.fused" in check.unexplained[0].text
    equal = compare(ours, fvcore({"fc": {"linear": 120}}))
    assert equal.explained and not equal.agrees
    assert equal.uncounted == ("lib.fused",)
    # Also where nobody counts anything in that layer.
    gap = Uncounted("lib.fused", "odd", 1)
    alone = compare(report(layer("odd", 0), uncounted=(gap,)), fvcore({}))
    assert [item.uncounted for item in alone.layers] == [("lib.fused",)]
    assert not alone.agrees


def test_two_layers_of_one_path_are_not_mistaken_for_one() -> None:
    # A module called "a.b" beside the child b of a: the record gives both all operations of that path.
    ours = report(layer("a.b", 240, LINEAR, LINEAR), layer("a.b", 240, LINEAR, LINEAR))
    check = compare(ours, fvcore({"a.b": {"linear": 240}}))
    assert check.ours == ours.totals.macs == 480
    (item,) = check.unexplained
    assert (item.path, item.amount) == ("a.b", -240)
    assert item.text == (
        "fvcore counts 240 in a.b, where its rules applied to cnnstat's record give 480; "
        "2 layers are called a.b, and cannot be told apart"
    )
    assert adds_up(check)


def test_an_engine_that_failed_gives_no_agreement() -> None:
    check = compare(report(layer("fc", 120, LINEAR)), fvcore({}, failure="RuntimeError: no"))
    assert not check.agrees
    assert check.layers == ()


def test_every_row_adds_up() -> None:
    ours = report(
        layer("fc", 240, LINEAR, LINEAR),
        layer("att", 784, SDPA),
        layer("n", 0, NORM, rule="layer_norm"),
    )
    opinion = fvcore(
        {"fc": {"linear": 241}, "n": {"layer_norm": 120}},
        unknown={"att": {"aten::scaled_dot_product_attention": 1}},
    )
    check = compare(ours, opinion)
    assert adds_up(check)
    assert check.theirs == check.ours + sum(reason.amount for reason in check.reasons)
    assert check.ours == math.prod([4, 6, 5]) * 2 + 784
