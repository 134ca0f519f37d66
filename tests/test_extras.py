"""What a check needs beside the counts, on networks whose memory can be added up by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from cnnstat.analysis import analyze, prepare
from cnnstat.budgets.budget import evaluate
from cnnstat.budgets.checking import Measured
from cnnstat.budgets.limits import Check, Fits, Limit, Place, Target
from cnnstat.budgets.target import own_dtype
from cnnstat.devices.device import Device
from cnnstat.devices.target import dtype_of, runtime_of
from cnnstat.estimation import estimate_memory
from cnnstat.extras import extended
from cnnstat.report import Report

INPUT = (1, 3, 8, 8)

BOARD = Device(
    id="my-board",
    name="My board",
    kind="sbc",
    memory_bytes=1 << 20,
    bandwidth=10**9,
    rates={"fp32": 7 * 10**9},
    runtimes=("litert",),
)


def net() -> nn.Module:
    # 3·8·9 = 216 and 8·4 = 32 weights of 4 bytes: 864 + 128 = 992 bytes.
    # Input 3·8·8 = 192, then 8·6·6 = 288, then 4·6·6 = 144 numbers: 768, 1,152 and 576 bytes in fp32.
    # 216·36 + 32·36 = 8,928 MACs.
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 4, 1, bias=False))


def measured(*limits: str, fits: bool = False, device: Device | None = None, **on: str) -> Measured:
    made = (Limit.of(name, "1 s" if name == "roofline" else "1 T") for name in limits)
    named = {"device": device.id} if device else {}
    check = Check(
        name="net",
        model="net",
        limits=tuple(made),
        fits=Fits() if fits else None,
        target=Target(**named, **on),
    )
    model = net()
    return extended(check, analyze(model, INPUT), device, lambda: prepare(model, INPUT))


def test_peak_memory_is_what_is_alive_in_the_second_convolution() -> None:
    # Weights 992, the input, which the caller holds, 768, both convolutions' outputs 1,152 + 576.
    report = measured("peak-memory").report
    assert report.extra == {"peak_memory": 992 + 768 + 1152 + 576}
    assert report.extra["peak_memory"] == estimate_memory(net(), INPUT).eager.live.nbytes
    assert "most is alive in 1, at aten.convolution" in report.notes[-1].text


def test_the_arena_is_that_of_the_runtime_and_the_number_format() -> None:
    # A runtime may overwrite its input: most is needed by the first convolution, 192 + 288 numbers.
    assert measured("arena").report.extra == {"arena": 4 * (192 + 288)}
    assert measured("arena", dtype="int8").report.extra == {"arena": 192 + 288}
    report = measured("arena", dtype="int8", runtime="tflm").report
    assert report.extra == {
        "arena": 192 + 288
    }  # both are multiples of the 16 bytes that TFLM rounds to
    assert {k: report.meta.get(k) for k in ("device", "dtype", "runtime")} == {
        "device": None,
        "dtype": "int8",
        "runtime": "tflm",
    }


def test_the_roofline_is_rounded_up() -> None:
    # 2·8,928 operations at 7 a nanosecond: 2,550.9 ns. 992 + 768 + 576 bytes at one: 2,336 ns.
    report = measured("roofline", device=BOARD).report
    assert report.extra == {"roofline": 2551}
    assert "bound by its arithmetic; no prediction" in report.notes[-1].text
    slow = replace(BOARD, bandwidth=9 * 10**8)  # 2,336 / 0.9 = 2,595.6
    report = measured("roofline", device=slow).report
    assert report.extra == {"roofline": 2596}
    assert "bound by its memory; no prediction" in report.notes[-1].text
    exact = replace(BOARD, rates={"fp32": 10**9})
    assert measured("roofline", device=exact).report.extra == {"roofline": 17_856}


def test_figures_that_nobody_verified_are_marked() -> None:
    guessed = replace(BOARD, unverified=("fp32", "memory_bytes"))
    report = measured("roofline", fits=True, device=guessed).report
    assert "fp32 unverified" in report.notes[-2].text
    assert "memory_bytes, unverified" in report.notes[-1].text


def test_a_device_without_a_figure_has_no_roofline_and_says_why() -> None:
    report = measured("roofline", device=BOARD, dtype="int8").report
    assert report.extra == {}
    # 992 / 4 + 192 + 144 bytes at one a nanosecond.
    assert report.notes[-1].text == (
        "no int8 rate is known for my-board; its memory alone takes 584 ns in int8"
    )
    assert measured("roofline", device=BOARD, dtype="int8").floors == {"roofline": 584}
    assert measured("roofline", device=BOARD).floors == {}
    # 2·8,928 operations at 7 a nanosecond.
    mute = replace(BOARD, bandwidth=None)
    made = measured("roofline", device=mute)
    assert (made.report.extra, made.floors) == ({}, {"roofline": 2551})
    assert "its arithmetic alone takes 2.551 µs" in made.report.notes[-1].text
    none = replace(mute, rates={})
    made = measured("roofline", device=none)
    assert (made.report.extra, made.floors) == ({}, {})
    assert made.report.notes[-1].text.endswith("no bandwidth is known for my-board")


def test_a_device_without_a_memory_says_which() -> None:
    board = replace(BOARD, kind="mcu", flash_bytes=1 << 20)
    made = measured(fits=True, device=board)
    assert made.rooms == ()
    assert made.report.notes[-1].text == "no RAM of my-board is known"


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("pyproject.toml", "[tool.cnnstat.devices.my-board] of pyproject.toml"),
        ("sub/cnnstat.toml", "[devices.my-board] of cnnstat.toml"),
        ("", "[devices.my-board] of cnnstat.toml"),
    ],
)
def test_figures_of_ones_own_go_where_the_project_has_its_table(
    file: str, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check = Check(
        name="net",
        model="net",
        limits=(Limit.of("roofline", "1 s"),),
        target=Target(device="my-board"),
        place=Place(file, 1) if file else None,
    )
    Path("cnnstat.toml").write_text("", encoding="utf-8")
    made = extended(check, analyze(net(), INPUT), replace(BOARD, rates={}))
    assert made.report.notes[-1].hint.endswith(table)
    Path("cnnstat.toml").write_text("[", encoding="utf-8")  # one that cannot be read hinders nobody
    made = extended(check, analyze(net(), INPUT), replace(BOARD, rates={}))
    assert "devices.my-board]" in made.report.notes[-1].hint


def test_the_number_format_is_said_beside_each() -> None:
    made = measured("peak-memory", "arena", dtype="fp16").report
    texts = {note.kind: note.text for note in made.notes}
    assert texts["peak-memory"].startswith("peak memory: as torch runs the model, in fp32; ")
    assert texts["arena"].startswith("arena: tensors of fp16 ")
    result = evaluate(made, {"peak-memory": 1, "arena": 1})
    assert [f.title for f in result.findings] == ["peak memory (fp32)", "arena (fp16)"]
    assert own_dtype(analyze(net().half(), "1x3x8x8:float16")) == "16 bits"


def test_what_fits_is_the_weights_and_a_plan_with_what_may_come_on_top() -> None:
    # LiteRT: weights 992 and a plan of 1,920 bytes; XNNPACK may pack the weights a second time.
    made = measured(fits=True, device=BOARD)
    (room,) = made.rooms
    assert (room.needed, room.over, room.available) == (992 + 1920, 992, 1 << 20)
    assert made.report.extra == {}
    assert made.report.notes[-1].text.startswith(
        "my-board in fp32: fits, by an estimate: 2.844 KiB of"
    )
    assert "never measured" in made.report.notes[-1].text


def test_nothing_runs_unless_it_is_asked_for() -> None:
    def never() -> None:
        raise AssertionError("prepared")

    report = analyze(net(), INPUT)
    for limits in ((), ("params",), ("roofline",)):
        made = (Limit.of(name, "1 s" if name == "roofline" else "1 T") for name in limits)
        check = Check(name="net", model="net", limits=tuple(made), target=Target(device="my-board"))
        assert extended(check, report, BOARD, never).rooms == ()  # type: ignore[arg-type]


# Saved reports


def saved(report: Report, name: str, device: Device | None = None) -> Report:
    read = Report.from_json(report.to_json())
    limit = Limit.of(name, "1 s" if name == "roofline" else "1 T")
    check = Check(name="net", model="net.json", limits=(limit,))
    return extended(check, read, device).report


def test_a_saved_report_tells_what_it_holds() -> None:
    plain, full = analyze(net(), INPUT), analyze(net(), INPUT, memory=True)
    assert saved(plain, "roofline", BOARD).extra == {"roofline": 2551}
    assert saved(plain, "peak-memory").extra == {}
    assert saved(full, "peak-memory").extra == {"peak_memory": 3488}
    assert saved(full, "arena").extra == {}
    assert saved(replace(plain, extra={"peak_memory": 7}), "peak-memory").extra == {
        "peak_memory": 7
    }


def test_what_was_saved_for_another_target_is_not_taken_for_this_one() -> None:
    report = replace(analyze(net(), INPUT), extra={"arena": 1, "roofline": 1})
    assert saved(report, "arena").extra == {}
    assert saved(report, "roofline").extra == {}


def test_a_report_of_training_has_no_roofline_of_inference() -> None:
    for report in (analyze(net(), INPUT, train=True), analyze(net(), INPUT, backward=True)):
        made = saved(report, "roofline", BOARD)
        assert made.extra == {}
        assert "is about inference" in made.notes[-1].text


# What is usual


@pytest.mark.parametrize(
    ("kind", "runtimes", "dtype", "runtime"),
    [
        ("mcu", ("tflm (esp-nn)",), "int8", "tflm"),
        ("phone", ("litert", "onnxruntime"), "fp32", "greedy"),
        ("gpu", ("pytorch-eager",), "fp32", "greedy"),
        ("cpu", ("onnxruntime",), "fp32", "ort"),
        ("other", (), "fp32", "greedy"),
    ],
)
def test_format_and_runtime_are_the_usual_ones_of_the_device(
    kind: str, runtimes: tuple[str, ...], dtype: str, runtime: str
) -> None:
    device = replace(BOARD, kind=kind, runtimes=runtimes)
    target = Target(device=device.id)
    assert (dtype_of(target, device), runtime_of(target, device)) == (dtype, runtime)
    own = Target(device=device.id, dtype="fp16", runtime="litert")
    assert (dtype_of(own, device), runtime_of(own, device)) == ("fp16", "litert")
