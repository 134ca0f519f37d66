"""What is shown of a network's memory, in every format."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from io import StringIO

import pytest
from torch import nn

from cnnstat.estimation import estimate_memory
from cnnstat.memory.memory_report import MOST_SAMPLES, MemoryReport
from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.memory import memory_document
from cnnstat.render.table import width
from cnnstat.report import Note

DRAWN = "▁▂▃▄▅▆▇█▓▒░▚▪▬▫▲├"


@cache
def report(optimizer: str = "") -> MemoryReport:
    """3 → 8 → 4 channels at 16×16, as in `tests/test_estimation.py`."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))
    return estimate_memory(model, (1, 3, 16, 16), optimizer=optimizer)


def text(made: MemoryReport, format: str = "table", room: int | None = 80) -> str:
    document = memory_document(made, room, format != "latex")
    return renderer(format).draw(document, View(width=room))


def line(shown: str, start: str) -> list[str]:
    found = next(row for row in shown.splitlines() if row.startswith(start))
    return found.removeprefix(start).split()


def test_inference() -> None:
    shown = text(report())
    assert line(shown, "█ weights")[0] == "2,064"
    assert line(shown, "▚ other tensors")[0] == "16,384"
    assert line(shown, "total at the peak")[0] == "21,520"
    assert "The peak: aten.relu in 1, forward, operation 2 of 3" in shown
    assert "training step" not in shown


def test_the_plan_stands_between_its_bounds() -> None:
    shown = text(report())
    assert line(shown, "arena")[0] == "12,288"
    assert line(shown, "weights in fp32")[0] == "2,064"
    assert "lower bound 12,288" in shown
    assert "naive sum 15,360" in shown
    assert "The plan's peak: aten.conv2d in 2" in shown


def test_a_band_is_shown_as_one() -> None:
    planned = report().planned
    banded = replace(planned, plan=replace(planned.plan, high_bytes=20_000))
    assert "between 12,288 and 20,000" in text(replace(report(), planned=banded))
    assert "between" not in text(report())


def test_training() -> None:
    shown = text(report("adam"), room=200)
    assert shown.index("A training step, adam") < shown.index("Inference, operation by operation")
    assert line(shown, "▓ gradients")[-1] == "2,064"
    assert line(shown, "▒ optimizer state")[0] == "4,144"  # two moments, four counters
    assert shown.count("├forward") == 1
    assert "├optimizer" in shown


def test_what_the_optimizer_made_is_in_no_layer() -> None:
    made = estimate_memory(nn.Linear(100, 100), (1, 100), optimizer="adam")
    assert made.training is not None
    assert made.training.live.phase == "optimizer"
    where = f"The peak: {made.training.live.op}, optimizer, operation"
    shown = text(made, room=None)
    assert where in shown
    assert line(shown, "(optimizer)")[-1] == "40,000"


def test_estimates_are_called_so() -> None:
    shown = " ".join(text(report()).split())
    assert "memory, estimated from a record" in shown
    assert "nine in ten were within 15 %" in shown
    assert "oneDNN with AVX-512), not the model's" in shown


@pytest.mark.parametrize(
    ("largest", "message"),
    [
        (0, "Not one sample: inference at batch 1 takes more than 24.00 GiB on CUDA"),
        (715, "fits 24.00 GiB: 715, for inference; with 15 % to spare, the error that was"),
        (MOST_SAMPLES, "1,048,576 or more"),
        (None, "Largest batch whose CUDA process fits 24.00 GiB: not known; see the notes"),
    ],
)
def test_the_largest_batch(largest: int | None, message: str) -> None:
    made = replace(report(), limit=24 << 30, largest_batch=largest, safe_batch=largest and 600)
    assert message in " ".join(text(made).split())


def test_constants_have_a_row_where_there_are_any() -> None:
    assert "constants" not in text(report())
    with_some = replace(report(), planned=replace(report().planned, constant_bytes=1000))
    shown = text(with_some)
    assert line(shown, "constants in fp32")[0] == "1,000"
    assert "inference as planned, greedy in fp32: 14.99 kib" in shown.lower()


def test_many_tensors_are_not_all_listed() -> None:
    made = report()
    many = replace(made, eager=replace(made.eager, alive=made.eager.alive * 10))
    assert "and 12 more, 96.00 KiB" in text(many)


@pytest.mark.parametrize("room", [40, 80, 120, 200, 400])
@pytest.mark.parametrize("optimizer", ["", "adam"])
def test_lines_fit(optimizer: str, room: int) -> None:
    lines = text(report(optimizer), room=room).splitlines()
    assert max(map(width, lines)) <= max(room, 60)  # numbers are shown in full or not at all
    assert any(width(row) == min(room, 240) and set(row) <= set(DRAWN) for row in lines)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format(format: str) -> None:
    shown = text(report("adam"), format, None)
    assert "21520" in shown.replace(",", "")
    assert shown.endswith("\n")


def test_latex_has_no_letters_that_it_cannot_set() -> None:
    assert not set(text(report("adam"), "latex", None)) & set(DRAWN)


def test_json_is_the_report() -> None:
    assert json.loads(text(report("adam"), "json")) == report("adam").to_dict()
    assert json.loads(report().to_json()) == report().to_dict()


def test_csv_has_a_row_for_each_part() -> None:
    rows = list(csv.DictReader(StringIO(text(report("adam"), "csv"))))
    found = {(row["answer"], row["part"]): int(row["value"]) for row in rows}
    assert found["eager", "peak"] == 21_520
    assert found["planned", "naive"] == 15_360
    assert found["training", "optimizer"] == 4_144
    at_peak = [value for (a, part), value in found.items() if a == "eager" and "at_peak" in part]
    assert sum(at_peak) == 21_520


def test_nothing_ran() -> None:
    made = estimate_memory(nn.Identity(), (1, 3))
    assert "The peak: nothing ran" in text(made)


def test_notes_reach_the_reader() -> None:
    made = replace(report(), notes=(Note("engine", "it ran for real"),))
    assert "note: it ran for real" in text(made)


def test_in_a_notebook_and_with_rich() -> None:
    from rich.console import Console

    assert "A training step, adam" in report("adam")._repr_html_()
    console = Console(width=60, record=True, file=StringIO())
    console.print(report())
    assert max(map(width, console.export_text().splitlines())) <= 60
    assert repr(report("adam")) == (
        "MemoryReport('Sequential': inference 21.02 KiB, greedy fp32 14.02 KiB, adam "
        f"{report('adam').usage.live.nbytes / 1024:.2f} KiB)"
    )
