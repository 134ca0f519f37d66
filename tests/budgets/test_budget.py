from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.budgets.baseline import Entry
from cnnstat.budgets.budget import evaluate
from cnnstat.budgets.limits import METRICS, Limit, Place
from cnnstat.budgets.slack import proposal
from cnnstat.report import Layer, Report, Work
from tests.reports import conv, linear, module, normal, report, unknown


def test_exactly_the_limit_passes_and_one_more_does_not() -> None:
    params = normal().totals.params
    assert not evaluate(normal(), {"params": params}).failed
    result = evaluate(normal(), {"params": params - 1})
    assert result.status == "exceeded"
    (finding,) = result.exceeded
    assert finding.measured - finding.broken[0].allowed == 1
    assert f"params over by 1 ({params:,} > {params - 1:,})" in result.explain()[0]


def test_the_verdict_does_not_round() -> None:
    # A number that no float holds.
    huge = 2**60 + 1
    net = report("net", module("", "Net", "linear", work=Work(macs=huge)))
    assert evaluate(net, {"macs": huge}).status == "passed"
    assert evaluate(net, {"macs": huge - 1}).status == "exceeded"


def test_limits_as_people_write_them() -> None:
    # 0.5 M MACs and 1 k parameters are less than it has.
    result = evaluate(normal(), {"macs": "0.5 M", "params": "1 k", "flops": "1 G"})
    assert [finding.metric.name for finding in result.exceeded] == ["params", "macs"]
    with pytest.raises(ValueError, match="unknown metric 'beauty'"):
        evaluate(normal(), {"beauty": 1})


def test_a_limit_says_where_it_stands() -> None:
    limit = Limit.of("params", "1 k", Place("pyproject.toml", 31))
    assert evaluate(normal(), [limit]).explain()[0].endswith("max.params 1 k at pyproject.toml:31")


def test_without_a_baseline_the_heaviest_layers_are_named() -> None:
    result = evaluate(normal(), {"macs": 1})
    heaviest = max(normal().layers, key=lambda layer: layer.macs)
    assert f"heaviest in MACs: {heaviest.path}" in "\n".join(result.explain())


# Operations without a rule


def test_operations_without_a_rule_leave_nobody_to_tell() -> None:
    result = evaluate(unknown(), {"macs": "1 T", "params": "1 T"})
    assert (result.status, result.failed) == ("unknown", True)
    assert "4 operations have no rule" in result.reason
    assert "mylib.fused ×3 in body.fused" in result.reason
    assert "mylib.mix ×1 in (root)" in result.reason
    assert 'uncounted = ["mylib.fused", "mylib.mix"]' in result.hint
    assert {f.metric.name: f.at_least for f in result.findings} == {"macs": True, "params": False}


def test_all_of_them_must_be_allowed_by_name() -> None:
    limits = {"macs": "1 T"}
    assert evaluate(unknown(), limits, uncounted=["mylib.fused"]).status == "unknown"
    assert evaluate(unknown(), limits, uncounted=["mylib.*"]).status == "unknown"
    result = evaluate(unknown(), limits, uncounted=["mylib.fused", "mylib.mix", "other.op"])
    assert result.status == "passed"
    assert "without a rule, as allowed: mylib.fused ×3" in result.notes


def test_what_is_exceeded_already_is_said_all_the_same() -> None:
    result = evaluate(unknown(), {"macs": 1})
    assert result.status == "unknown"
    assert "MACs over by at least" in "\n".join(result.explain())


def test_off_is_not_looked_at() -> None:
    assert evaluate(normal(), {"params": 1}, level="off").status == "off"
    assert evaluate(normal(), {"params": 1}, level="warn").failed


# Against a baseline


def net(*layers: Layer, **meta: Any) -> Report:
    made = report("net", module("", "Net", "container", (1, 3, 8, 8), (1, 10)), *layers)
    return replace(made, meta={**made.meta, **meta})


STEM = conv("stem", "standard", (1, 3, 8, 8), (1, 8, 8, 8), 3)  # 8·3·9 = 216 parameters
WIDE = conv("stem", "standard", (1, 3, 8, 8), (1, 16, 8, 8), 3)  # 432
HEAD = linear("head", (1, 8), (1, 10))  # 8·10 + 10 = 90
EXTRA = linear("extra", (1, 10), (1, 10))  # 110


def test_growth_is_held_against_the_baseline() -> None:
    baseline = Entry.of(net(STEM, HEAD))
    assert baseline.numbers["params"] == 306
    grown = net(WIDE, HEAD)
    assert evaluate(net(STEM, HEAD), growth={"params": "0%"}, baseline=baseline).status == "passed"
    for allowed, status in [("0%", "exceeded"), ("+216", "passed"), ("+215", "exceeded")]:
        result = evaluate(grown, growth={"params": allowed}, baseline=baseline)
        assert result.status == status
    assert "params over by 1 (522 > 521): growth.params +215" in result.explain()
    assert result.findings[0].change == "+216 (+70.6 %)"


def test_growth_without_a_baseline_is_no_pass() -> None:
    growth = {"params": "0%", "macs": "1%", "flops": "+1"}
    result = evaluate(net(STEM), growth=growth, name="a")
    assert result.status == "unknown"
    assert result.lack == (
        "cannot tell: growth.params, growth.macs and growth.flops cannot be held: the baseline has no "
        "entry for a",
        "run `cnnstat check --update` and commit the file",
    )
    result = evaluate(net(STEM), growth=growth, missing_baseline="pass", name="a")
    assert (result.status, result.unheld) == ("passed", tuple(f"growth.{n}" for n in growth))
    assert result.notes[0].startswith('missing_baseline="pass": growth.params, growth.macs and ')


def test_what_is_exceeded_is_said_also_where_growth_cannot_be_told() -> None:
    result = evaluate(net(STEM), {"params": 215}, growth={"params": "0%"})
    assert result.status == "unknown"
    assert "params over by 1 (216 > 215): max.params 215" in result.explain()


def test_a_number_that_the_baseline_does_not_have_is_no_pass() -> None:
    baseline = Entry.of(net(STEM))
    growth = {"moved-bytes": "0%"}
    result = evaluate(net(WIDE), growth=growth, baseline=baseline, name="a")
    assert result.status == "unknown"
    assert (
        result.reason == "growth.moved-bytes cannot be held: the baseline of a has no moved bytes"
    )
    result = evaluate(
        net(WIDE), growth=growth, baseline=baseline, missing_baseline="pass", name="a"
    )
    assert (result.status, result.unheld) == ("passed", ("growth.moved-bytes",))


@pytest.mark.parametrize(
    ("what", "before"), [("input", "x=1x3x64x64"), ("mode", "train"), ("passes", "backward")]
)
def test_work_in_other_circumstances_may_hide_growth(what: str, before: str) -> None:
    entry = Entry.of(net(WIDE))
    entry = replace(entry, circumstances={**entry.circumstances, what: before})
    now = entry.circumstances | {what: Entry.of(net(STEM)).circumstances[what]}
    # Fewer MACs, and nobody knows whether the network or its input became smaller.
    result = evaluate(net(STEM), growth={"macs": "0%"}, baseline=entry, name="a")
    assert result.status == "unknown"
    assert (
        f"the baseline of a has another {what}, {before} → {now[what]}, which may hide growth"
        in result.reason
    )
    # Nor does anybody where a report does not say.
    silent = replace(net(STEM), meta={})
    assert evaluate(silent, growth={"macs": "0%"}, baseline=entry).status == "unknown"
    # Parameters do not depend on any of it, and what is over its bound is over it.
    assert evaluate(net(STEM), growth={"params": "0%"}, baseline=entry).status == "passed"
    assert evaluate(net(WIDE, STEM), growth={"macs": "0%"}, baseline=entry).status == "exceeded"


def test_the_layer_that_did_it_is_named_with_before_and_after() -> None:
    result = evaluate(net(WIDE, HEAD), {"params": 306}, baseline=Entry.of(net(STEM, HEAD)))
    text = "\n".join(result.explain())
    assert "largest change: stem +216 params (216 → 432" in text
    assert "head" not in text


def test_added_and_vanished_layers_are_visible_even_where_nothing_fails() -> None:
    before, after = net(STEM, EXTRA, HEAD), net(STEM, HEAD)
    result = evaluate(after, {"params": "1 M"}, baseline=Entry.of(before))
    assert result.status == "passed"
    assert "gone: extra (Linear)" in result.explain()
    result = evaluate(before, {"params": "1 M"}, baseline=Entry.of(after))
    assert "layers since the baseline: 1 added" in result.explain()
    assert "largest change: extra +110 params (0 → 110; added: Linear" in "\n".join(
        result.explain()
    )


def test_what_went_the_other_way_is_not_the_largest_change() -> None:
    # stem loses 216 parameters, and two layers bring 150 each: 84 more.
    new = [linear(name, (1, 14), (1, 10)) for name in ("one", "two")]
    result = evaluate(net(STEM, *new), {"params": 1}, baseline=Entry.of(net(WIDE)))
    lines = [line for line in result.explain() if line.startswith(("largest", "then"))]
    assert [line.split(" params")[0] for line in lines] == [
        "largest change: one +150",
        "then: two +150",
        "then: stem -216",
    ]


def test_another_version_is_the_likely_cause_of_a_change_and_of_nothing_else() -> None:
    baseline = Entry.of(net(STEM, torch="2.13.0+cpu"))
    changed = evaluate(net(WIDE, torch="2.14.0"), {"params": 1}, baseline=baseline)
    assert any(
        "torch 2.13.0 → 2.14.0 since the baseline: the likely cause" in n for n in changed.notes
    )
    for same in (net(STEM, torch="2.14.0"), net(STEM, torch="2.13.0+cu130")):
        assert evaluate(same, {"params": 1}, baseline=baseline).notes == ()


def test_other_circumstances_are_said() -> None:
    baseline = Entry.of(net(STEM, mode="train"))
    result = evaluate(net(STEM), {"params": 1}, baseline=baseline)
    assert result.notes == ("mode is eval, and was train when the baseline was made",)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"mode": "train"}, "mode train → eval"),
        ({"phases": ["forward", "backward"]}, "passes forward, backward → forward"),
        ({"inputs": [{"shape": [2, 3, 8, 8]}]}, "input 2x3x8x8 → x=1x3x32x32"),
        ({"engine": "cpu"}, "engine cpu → meta"),
        ({"timm": "1.0.15"}, "timm 1.0.15 → 1.0.31"),
        ({"source_package": "mylib 1.0"}, "mylib 1.0 → 1.1"),
        ({"torch": "2.6.0", "engine": "fake"}, "engine fake → meta, torch 2.6.0 → 2.13.0"),
    ],
    ids=str,
)
def test_whatever_changed_is_the_likely_cause_of_a_number_that_moved(
    changed: dict[str, Any], named: str
) -> None:
    now = {"timm": "1.0.31", "source_package": "mylib 1.1"}
    entry = Entry.of(net(STEM, **{**now, **changed}))
    cause = f"{named} since the baseline: the likely cause, where the model itself did not change"
    assert cause in evaluate(net(WIDE, **now), {"macs": 1}, baseline=entry).notes
    # Of a number that stayed nothing is the cause; and no mode or input moves a parameter.
    assert cause not in evaluate(net(STEM, **now), {"macs": 1}, baseline=entry).notes


def test_another_model_under_the_same_name_is_named_as_the_cause() -> None:
    entry = replace(Entry.of(net(STEM)), circumstances={"model": "zoo:little"})
    (note,) = evaluate(net(WIDE), {"macs": 1}, baseline=entry).notes
    assert note == "model zoo:little → zoo:net since the baseline: the likely cause"


# Far below a limit


@pytest.mark.parametrize(
    ("limit", "note"),
    [
        ("0.32 k", ""),  # 216 parameters: two thirds are 213.3
        ("324", ""),
        ("325", 'params is 33 % below its limit (lower it: max.params = "230" at net.toml:7)'),
        ("1 M", 'params is 99 % below its limit (lower it: max.params = "230" at net.toml:7)'),
    ],
)
def test_a_limit_far_above_what_is_measured_is_said_and_fails_nothing(
    limit: str, note: str
) -> None:
    rule = Limit.of("params", limit, Place("net.toml", 7))
    result = evaluate(net(STEM), [rule])
    assert (result.status, result.notes) == ("passed", (note,) if note else ())


@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_that_cannot_be_lowered_with_any_room_stays(limit: int) -> None:
    single = net(module("one", "Scale", "elementwise", params=1))
    assert evaluate(single, {"params": limit}).notes == ()


def test_a_limit_of_the_command_line_is_lowered_there() -> None:
    rule = Limit.of("macs", "1 G", option="--max-macs")
    # 8·64 outputs of 27 products each: 13,824.
    (note,) = evaluate(net(STEM), [rule]).notes
    assert note == "macs is 99 % below its limit (lower it: --max-macs 15k)"


def test_what_is_partly_unknown_is_near_no_limit_and_far_from_none() -> None:
    allowed = ["mylib.fused", "mylib.mix"]
    notes = evaluate(unknown(), {"macs": "1 T"}, uncounted=allowed).notes
    assert not any("lower it" in note for note in notes)


@given(measured=st.integers(0, 10**12), unit=st.sampled_from(["params", "param-bytes", "roofline"]))
def test_what_is_proposed_is_a_limit_that_holds_with_a_little_room(
    measured: int, unit: str
) -> None:
    metric = METRICS[unit]
    text = proposal(metric.unit, measured)
    value = metric.parse(text)
    assert measured + measured // 20 <= value <= measured + measured // 3 + 1
    assert sum(letter.isdigit() for letter in text) <= 5


def test_quotes_of_two_conventions_are_not_compared() -> None:
    (quoted,) = evaluate(net(STEM), {"quoted": "1 M"}).check.metrics
    baseline = Entry.of(net(STEM), [quoted])
    other = replace(net(STEM), convention="fvcore")
    result = evaluate(other, growth={"quoted": "0%"}, baseline=baseline)
    assert result.findings[0].before is None
    assert evaluate(net(STEM), growth={"quoted": "0%"}, baseline=baseline).findings[0].before


def test_a_baseline_that_quotes_another_convention_is_named_as_that() -> None:
    (quoted,) = evaluate(net(STEM), {"quoted": "1 M"}).check.metrics
    baseline = Entry.of(net(STEM, torch="2.13.0"), [quoted])
    doubled = replace(STEM, quoted=2 * STEM.quoted)
    other = replace(net(doubled, torch="2.14.0"), convention="fvcore")
    result = evaluate(other, growth={"quoted": "0%"}, baseline=baseline, name="a")
    assert (result.status, result.reason) == (
        "unknown",
        "growth.quoted cannot be held: the baseline of a has quoted of another convention, macs, which "
        "cannot be compared with fvcore",
    )
    # A version is to blame for nothing here, and no layer moved.
    assert result.notes == (
        "convention macs → fvcore since the baseline: the likely cause, where the model itself did not "
        "change",
    )
    assert result.changes == ()


def test_what_is_exceeded_where_nothing_moved_names_the_heaviest_layers() -> None:
    same = evaluate(net(STEM, HEAD), {"params": 1}, baseline=Entry.of(net(STEM, HEAD)))
    assert same.movement == ("heaviest in params: stem 216 (70.6 %), head 90 (29.4 %)",)
    # The baseline knows nothing of the bytes that are moved.
    moving = net(module("mover", "Mover", "linear", work=Work(moved=64)))
    lacking = evaluate(moving, {"moved-bytes": 1}, baseline=Entry.of(moving))
    assert lacking.findings[0].before is None
    assert lacking.movement == ("heaviest in moved bytes: mover 64 B (100.0 %)",)


def test_each_metric_names_the_layers_that_explain_it() -> None:
    # Other channels, and as many activations as before.
    narrow = conv("stem", "standard", (1, 1, 8, 8), (1, 8, 8, 8), 3)  # 72 parameters
    limits = {"params": 1, "activations": 1}
    result = evaluate(net(STEM), limits, baseline=Entry.of(net(narrow)))
    first, second, _ = result.movement
    assert first.startswith("largest change: stem +144 params")
    assert second == "heaviest in activations: stem 512 (100.0 %)"
    assert evaluate(net(STEM), {"params": 216}, baseline=Entry.of(net(STEM))).movement == ()


def test_operations_are_allowed_in_either_spelling() -> None:
    allowed = ["mylib::fused", "mylib.mix"]
    result = evaluate(unknown(), {"macs": "1 T"}, uncounted=allowed)
    assert result.status == "passed"
    assert "without a rule, as allowed: mylib.fused ×3" in result.notes
    assert evaluate(unknown(), {"macs": "1 T"}, uncounted=["mylib:fused"]).status == "unknown"
