"""A cross-check in every format: rows that add up, sentences, and what is shown when."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from io import StringIO

import pytest

from cnnstat.opinions.base import (
    ATTRIBUTION,
    CONVENTION,
    COUNTED_AS_ZERO,
    ERROR,
    UNEXPLAINED,
    Check,
    CrossCheck,
    Difference,
    LayerCheck,
    Opinion,
)
from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.crosscheck import crosscheck_document, verdict
from cnnstat.report import Layer, Report, Tally, Uncounted, Work

FVCORE = Opinion("fvcore", "fvcore.nn.FlopCountAnalysis", "fvcore 0.1.5", "fvcore flops", 1, 0)
TORCH = Opinion("flop-counter", "FlopCounterMode", "torch 2", "FLOPs", 2, 0)


def layer(path: str, ours: int, *reasons: tuple[str, str, int], per_mac: int = 1) -> LayerCheck:
    differences = tuple(
        Difference(path, kind, op, amount, f"because of {op}") for kind, op, amount in reasons
    )
    theirs = per_mac * ours + sum(amount for _, _, amount in reasons)
    return LayerCheck(path, "Conv2d", ours, theirs, differences)


EVERY = Check(
    FVCORE,
    (
        layer("conv", 1_000_000),
        layer("norm", 0, (CONVENTION, "batch_norm", 20_000)),
        layer("att", 500_000, (COUNTED_AS_ZERO, "sdpa", -500_000)),
        layer("same", 300_000, (ERROR, "_convolution_mode", -300_000)),
        layer("", 0, (ATTRIBUTION, "linear", 700)),
        layer("hook", 700, (ATTRIBUTION, "linear", -700)),
        layer("odd", 42, (UNEXPLAINED, "matmul", 1)),
    ),
)
FINE = Check(TORCH, tuple(layer(x.path, x.ours, per_mac=2) for x in EVERY.layers if x.ours))


def crosscheck(*checks: Check) -> CrossCheck:
    tally = Tally("convolution", "standard", 1, Work(macs=1_800_742))
    layers = (Layer(path="", type="Net", kind="container", tallies=(tally,)),)
    subject = {"name": "net", "spec": "net", "source": "file", "type": "Net"}
    return CrossCheck(Report(subject, "macs", layers, meta={"torch": "2.13"}), checks)


def draw(check: CrossCheck, format: str, width: int | None = None, **options: bool) -> str:
    view = View(width=width, all=options.get("all", False))
    document = crosscheck_document(check, view, layers=options.get("layers", False))
    return renderer(format).draw(document, view)


def numbers(text: str) -> list[int]:
    return [whole(n) for n in re.findall(r"[+−]?\d[\d,]*\d|\d", text)]


def whole(text: str) -> int:
    return int(text.replace(",", "").replace("−", "-"))


def test_the_steps_add_up() -> None:
    lines = draw(crosscheck(EVERY), "table").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("MACs of cnnstat"))
    last = next(n for n, line in enumerate(lines) if re.match(r"fvcore  ", line))
    column = lines[first - 2].index("fvcore flops") + len("fvcore flops")
    amounts = [
        whole(line[:column].split()[-1])
        for line in lines[first:last]
        if line[:column].strip() and "─" not in line
    ]
    assert sum(amounts) == EVERY.theirs == numbers(lines[last][:column])[-1]
    assert amounts[0] == EVERY.ours


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("layers", [False, True])
def test_nothing_is_wider_than_the_terminal(width: int, layers: bool) -> None:
    text = draw(crosscheck(EVERY, FINE), "table", width, layers=layers)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_every_kind(format: str) -> None:
    text = draw(crosscheck(EVERY), format, layers=True)
    for kind in ("convention", "counted as zero", "error", "attribution", "unexplained"):
        assert kind in text


def test_the_verdict_in_one_sentence() -> None:
    assert verdict(FINE) == "flop-counter agrees: all 1,800,742 MACs × 2; nothing unexplained."
    assert verdict(EVERY) == (
        "fvcore disagrees in 1 layer: both count 1,000,742 of cnnstat's 1,800,742 MACs (55.6 %); "
        "20,000 more by its convention; 500,000 counted as zero; −300,000 by its errors; "
        "1 operation counted in another layer; +1 unexplained."
    )
    failed = Check(Opinion("fvcore", "", "", "", 1, failure="RuntimeError: no"))
    assert verdict(failed) == "fvcore gives no opinion: RuntimeError: no"


def test_too_much_does_not_hide_too_little() -> None:
    check = Check(FVCORE, (layer("a", 9, (ERROR, "x", 5)), layer("b", 9, (ERROR, "x", -5))))
    assert verdict(check) == (
        "fvcore differs for known reasons: both count 13 of cnnstat's 18 MACs (72.2 %); "
        "+5 and −5 by its errors; nothing unexplained."
    )


def test_what_was_left_out_is_not_agreed() -> None:
    assert EVERY.agreed == 1_000_742  # without attention and the padded convolution
    assert FINE.agreed == 2 * FINE.ours


def test_layers_are_those_that_differ_beyond_convention() -> None:
    text = draw(crosscheck(EVERY), "table", layers=True)
    rows = text[text.index("layers, cnnstat") :]
    assert re.search(r"^att .*−500,000 +counted as zero", rows, re.MULTILINE)
    assert not re.search(r"^conv ", rows, re.MULTILINE)
    assert re.search(r"^2 other layers .*1,000,000 +1,020,000 +\+20,000", rows, re.MULTILINE)
    assert "--all" in rows
    every = draw(crosscheck(EVERY), "table", all=True)
    assert re.search(r"^conv +Conv2d +1,000,000 +1,000,000 +0", every, re.MULTILINE)
    assert "other layers" not in every


def test_without_layers_there_is_one_table_an_engine() -> None:
    assert "layers, cnnstat" not in draw(crosscheck(EVERY), "table")


def test_many_reasons_are_cut_unless_all_are_asked_for() -> None:
    many = Check(FVCORE, tuple(layer(f"l{n}", 1, (UNEXPLAINED, f"op{n}", 1)) for n in range(30)))
    text = draw(crosscheck(many), "table")
    assert "… and 18 reasons more" in text and "every reason: --all" in text
    assert "--all" not in draw(crosscheck(many), "markdown", layers=True)
    assert "--all" not in draw(crosscheck(many), "latex", layers=True).replace("-{}-", "--")
    assert "because of op29" in draw(crosscheck(many), "table", all=True)


def test_where_nothing_differs_a_sentence_says_so() -> None:
    text = draw(crosscheck(FINE), "table", layers=True)
    assert "every layer agrees\n" in text
    assert "other layers" not in text and "layers, cnnstat" not in text
    norm = Check(FVCORE, (*FINE.layers[:1], layer("norm", 0, (CONVENTION, "batch_norm", 20_000))))
    text = draw(crosscheck(norm), "table", layers=True)
    assert "every layer agrees, or differs by convention alone" in text
    assert "layers, cnnstat" in draw(crosscheck(FINE), "table", all=True)
    empty = crosscheck(Check(FVCORE))
    assert "no layer counts anything" in draw(empty, "table", all=True)


def test_a_total_that_is_no_more_than_a_lower_bound_is_marked_everywhere() -> None:
    fused = LayerCheck("fused", "Fused", 0, 0, uncounted=("lib.fused\x1b[1m",))
    check = crosscheck(Check(FVCORE, (layer("conv", 1_800_742), fused)))
    gap = Uncounted("lib.fused\x1b[1m", "fused", 1)
    check = replace(check, report=replace(check.report, uncounted=(gap,)))
    assert not check.agrees
    text = draw(check, "table", layers=True)
    assert verdict(check.checks[0]) == (
        "fvcore cannot confirm it: all ≥ 1,800,742 MACs; cnnstat itself has no rule for "
        "lib.fused\\x1b[1m, so its own total is a lower bound."
    )
    assert verdict(check.checks[0]) in text
    assert re.search(r"^MACs of cnnstat +1 +≥ 1,800,742 +–", text, re.MULTILINE)
    assert re.search(r"^fused +Fused +≥ 0 +0 +\? +uncounted", text, re.MULTILINE)
    assert re.search(r"^total +≥ 1,800,742 +1,800,742 +\?", text, re.MULTILINE)
    assert "1 operation has no rule (lib.fused\\x1b[1m ×1)" in text
    assert "nothing unexplained" not in text
    for line in text.splitlines():
        assert (
            "1,800,742" not in line or "≥ 1,800,742" in line or line.startswith(("fvcore", "1 o"))
        )
    partly = Check(FVCORE, (layer("att", 9, (COUNTED_AS_ZERO, "sdpa", -9)), fused))
    assert "both count 0 of cnnstat's ≥ 9 MACs; 9 counted as zero" in verdict(partly)


def test_labels_in_latex_hold_no_results() -> None:
    text = draw(crosscheck(EVERY, FINE), "latex", layers=True)
    labels = re.findall(r"\\label\{tab:net-file-net-?(.*)\}", text)
    assert labels == ["fvcore", "fvcore-layers", "flop-counter"]


def test_json_is_the_document() -> None:
    document = json.loads(draw(crosscheck(EVERY, FINE), "json"))
    assert document == json.loads(json.dumps(crosscheck(EVERY, FINE).to_dict()))
    assert [opinion["agrees"] for opinion in document["opinions"]] == [False, True]
    assert not document["agrees"]


def test_csv_has_a_row_for_each_difference_and_integers() -> None:
    rows = list(csv.DictReader(StringIO(draw(crosscheck(EVERY), "csv"))))
    assert len(rows) == 7
    assert {row["path"]: int(row["amount"]) for row in rows}["att"] == -500_000
    assert sum(int(row["theirs"]) for row in rows) == EVERY.theirs


def test_an_engine_that_failed_is_one_line() -> None:
    failed = Check(
        Opinion(
            "fvcore", "fvcore", "fvcore 0", "fvcore flops", 1, failure="RuntimeError: no \x1b[1m"
        )
    )
    text = draw(crosscheck(failed), "table")
    (line,) = [line for line in text.splitlines() if "gives no opinion" in line]
    assert line == "fvcore gives no opinion: RuntimeError: no \\x1b[1m"
    assert not crosscheck(failed).agrees
