"""What version 0.1.0 wrote is read by this one, with the same numbers. Nothing here imports torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnstat.budgets.baseline import Baseline, read_baseline
from cnnstat.budgets.budget import evaluate_check
from cnnstat.budgets.config import read_config
from cnnstat.budgets.config_file import read_table
from cnnstat.budgets.limits import Check
from cnnstat.comparing.comparison import compare
from cnnstat.devices.reading import devices_in_config, devices_in_file
from cnnstat.errors import ReportError
from cnnstat.report import Report
from tests.cli.conftest import Run

SAMPLES = Path(__file__).parents[1] / "data" / "written_by_0_1_0"
REPORTS = sorted(path.name for path in SAMPLES.glob("report*.json"))
NOT_REPORTS = {
    "comparison.json": "a comparison",
    "check.json": "the result of a check",
    "explanation.json": "an explanation",
    "what_if.json": "a what-if",
    "crosscheck.json": "a cross-check",
    "memory.json": "an estimate of memory",
    "fit.json": "the result of cnnstat fit",
    "devices.json": "a list of devices",
}

# By hand: the stem 3·8·9 + 8 = 224; a block 72 + 16, squeeze-and-excitation 18 + 24, the grouped convolution
# 8·4·9 = 288, the linear layers 27 + 32; the head 72, the tail's bias 8, what is unused 20.
PARAMS = 224 + 2 * (72 + 16 + 42 + 288 + 59) + 72 + 8 + 20
# On two images: the stem 2·8·8·8·27; a block of s×s 2·8·s·s·9, 64, 2·8·(s/2)²·36 and 96; head and tail.
MACS = 27648 + (9216 + 64 + 9216 + 96) + (2304 + 64 + 2304 + 96) + 2 * 128
OF_PLAIN = 224 + 90


def document(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


def saved(name: str) -> Report:
    return Report.from_json((SAMPLES / name).read_bytes())


def within(part: Any, whole: Any) -> bool:
    """Whether all that a document says is said by another, which may say more."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and within(part[key], whole[key]) for key in part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return type(part) is type(whole) and bool(part == whole)


def test_every_shape_that_a_report_had_is_here() -> None:
    """With and without memory, estimates, operations, gaps, gradients, and another convention."""
    reports = {name: saved(name) for name in REPORTS}
    assert {name for name, report in reports.items() if report.has_memory} == {"report_memory.json"}
    assert {name for name, report in reports.items() if report.extra} == {"report_extra.json"}
    assert {n for n, r in reports.items() if not r.complete} == {"report_uncounted.json"}
    assert {n for n, r in reports.items() if "backward" in r.meta["phases"]} == {
        "report_backward.json"
    }
    assert {n for n, r in reports.items() if r.convention == "fvcore"} == {"report_fvcore.json"}
    assert {
        n
        for n, r in reports.items()
        if not any(tally.ops for layer in r.layers for tally in layer.tallies)
    } == {"report_first.json"}
    assert {n for n, r in reports.items() if r.groups} == {*REPORTS} - {"report_extra.json"}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_read_with_all_its_numbers(name: str) -> None:
    report = saved(name)
    assert within(document(name), report.to_dict())
    assert Report.from_json(report.to_json()) == report
    small = name == "report_extra.json"
    assert report.totals.params == (OF_PLAIN if small else PARAMS)
    if "backward" not in name:
        # Of the plain network: 8·16·16 times 27 inputs, and 10·16·16 times 8.
        assert report.totals.macs == (8 * 256 * 27 + 10 * 256 * 8 if small else MACS)


@pytest.mark.parametrize("name", REPORTS)
def test_the_command_line_shows_and_compares_a_report(run: Run, name: str) -> None:
    path = SAMPLES / name
    assert json.loads(run("summary", path, "--json").out) == saved(name).to_dict()
    result = run("compare", path, SAMPLES / "report.json", "--json")
    assert result.code == 0
    first = json.loads(result.out)["models"][0]
    assert first["values"]["macs"] == document(name)["totals"]["macs"]


def test_a_comparison_says_what_it_said() -> None:
    """Of the same network; the document itself is read by no command."""
    then = document("comparison.json")["models"][0]
    report = saved("report.json")
    now = compare(report, report).to_dict()["models"][0]
    # The sample was written before the label could be told apart by anything but the name.
    assert within({**then, "label": now["label"]}, now)


@pytest.mark.parametrize("name", NOT_REPORTS)
def test_other_documents_are_named_where_a_report_is_expected(name: str) -> None:
    assert document(name)["schema"] == 1
    with pytest.raises(ReportError, match=NOT_REPORTS[name]):
        saved(name)


# Budgets


def baseline() -> Baseline:
    found = read_baseline(SAMPLES / "cnnstat-baseline.json", "cnnstat-baseline.json")
    assert found is not None
    return found


def test_a_baseline_is_read_with_all_its_numbers() -> None:
    entries = baseline().entries
    checks = document("cnnstat-baseline.json")["checks"]
    assert set(entries) == set(checks) == {"net", "training", "board"}
    for name, entry in entries.items():
        numbers = {metric.replace("-", "_"): n for metric, n in entry.numbers.items()}
        assert within(numbers, checks[name])
        assert len(entry.layers) == len(checks[name]["layers"])
        assert entry.made_by == {"cnnstat": "0.1.0", "torch": "2.13.0"}
    assert entries["net"].numbers["params"] == PARAMS
    assert entries["board"].circumstances["device"] == "own-board"
    assert baseline().text() == (SAMPLES / "cnnstat-baseline.json").read_text(encoding="utf-8")


def checks(path: Path) -> list[Check]:
    """Without where they stand, which differs between the two files."""
    found = []
    for check in read_config(path).checks:
        bare = [
            tuple(replace(rule, place=None) for rule in rules)
            for rules in (check.limits, check.growth)
        ]
        fits = replace(check.fits, place=None) if check.fits else None
        target = replace(check.target, said={})
        found.append(
            replace(check, limits=bare[0], growth=bare[1], fits=fits, target=target, place=None)
        )
    return found


def test_configurations_are_read() -> None:
    own, prefixed = checks(SAMPLES / "cnnstat.toml"), checks(SAMPLES / "project" / "pyproject.toml")
    assert own == prefixed
    net, training, board, later = own
    assert {limit.metric.name: limit.value for limit in net.limits} == {
        "params": 1300,
        "macs": 52_000,
        "quoted": 60_000,
        "trainable-params": 1300,
        "buffers": 100,
    }
    assert [(g.metric.name, str(g.percent), g.amount) for g in net.growth] == [
        ("params", "0", 0),
        ("macs", "3/2", 0),
        ("flops", "0", 10_000),
        ("quoted", "0", 0),
    ]
    assert (net.convention, net.uncounted, net.level) == ("fvcore", ("sample.fused",), "error")
    assert (training.batch, training.train, training.backward) == (4, True, True)
    assert (training.convention, training.level) == ("macs", "warn")
    assert (board.target.device, board.target.dtype) == ("own-board", "int8")
    assert board.target.runtime == "litert"
    assert board.fits and board.fits.tight
    assert {limit.metric.name: limit.value for limit in board.limits} == {
        "peak-memory": 2**20,
        "arena": 2**16,
        "roofline": 10**6,
        "moved-bytes": 2**20,
    }
    assert (later.inputs, later.level) == (("x=2x3x16x16:float32",), "off")


def test_a_saved_report_holds_its_budget_against_the_baseline() -> None:
    check = checks(SAMPLES / "cnnstat.toml")[0]
    entry = baseline().entries["net"]
    result = evaluate_check(check, saved("report_fvcore.json"), entry)
    assert result.status == "passed"
    assert result.movement == ()
    assert [f.before for f in result.findings if f.metric.name == "macs"] == [MACS]


def test_devices_are_read() -> None:
    board, mcu = devices_in_file(read_table(SAMPLES / "boards.toml"))
    assert (board.memory_bytes, board.app_bytes) == (512 * 2**20, 384 * 2**20)
    assert (board.bandwidth, board.tdp_watts, board.year) == (3_600_000_000, 10, 2019)
    assert board.rates == {"fp32": 38_400_000_000, "int8": 76_800_000_000}
    assert board.memories == {"on_chip": 8 * 2**20}
    assert (board.unverified, set(board.derived)) == (("app_bytes",), {"fp32"})
    assert (mcu.ram_bytes, mcu.flash_bytes) == (320 * 2**10, 2**20)
    for path in (SAMPLES / "cnnstat.toml", SAMPLES / "project" / "pyproject.toml"):
        (own,) = devices_in_config(read_table(path))
        assert (own.id, own.runtimes) == ("own-board", ("pytorch-eager", "litert"))
        assert own.rates == board.rates
