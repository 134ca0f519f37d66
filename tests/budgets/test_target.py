"""What is estimated for a target, held against a budget: no torch, the estimates are written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cnnstat.budgets.baseline import Baseline, Entry, read_baseline
from cnnstat.budgets.budget import CheckResult, evaluate, evaluate_check
from cnnstat.budgets.config import read_config
from cnnstat.budgets.limits import Check, Fits, Growth, Limit, Place, Target, metric_named
from cnnstat.budgets.outcome import Outcome
from cnnstat.budgets.target import Room, estimates
from cnnstat.errors import ConfigError
from cnnstat.report import Note, Report
from tests.reports import normal, unknown

PEAK, ARENA, LEAST = 3488, 480, 17_856


def estimated(peak: int = PEAK, arena: int = ARENA, least: int = LEAST, **meta: str) -> Report:
    """A report with all that can be estimated, in bytes, bytes and nanoseconds."""
    target = {"device": "my-board", "dtype": "int8", "runtime": "tflm", **meta}
    made = normal()
    return replace(
        made,
        extra={"peak_memory": peak, "arena": arena, "roofline": least},
        meta={**made.meta, **target},
    )


# Numbers


@pytest.mark.parametrize(
    ("name", "measured", "shown"),
    [
        ("peak-memory", PEAK, "3,488 B > 3,487 B"),
        ("arena", ARENA, "480 B > 479 B"),
        ("roofline", LEAST, "17,856 ns > 17,855 ns"),
    ],
)
def test_exactly_the_limit_passes_and_one_less_does_not(
    name: str, measured: int, shown: str
) -> None:
    unit = " ns" if name == "roofline" else ""
    assert evaluate(estimated(), {name: f"{measured}{unit}"}).status == "passed"
    result = evaluate(estimated(), {name: f"{measured - 1}{unit}"})
    assert result.status == "exceeded"
    assert shown in result.explain()[0]


def test_limits_have_the_unit_of_what_they_limit() -> None:
    assert Limit.of("peak-memory", "100 MiB").value == 100 << 20
    assert Limit.of("peak_memory", 512).value == 512
    assert Limit.of("arena", "256 KiB").value == 256 << 10
    assert Limit.of("roofline", "5 ms").value == 5_000_000
    assert Limit.of("roofline", "0.5 s").value == 500_000_000
    assert Limit.of("roofline", "120 µs").value == Limit.of("roofline", "120us").value == 120_000
    assert Growth.of("roofline", "+1 ms").amount == 1_000_000
    roofline = metric_named("roofline")
    assert (roofline.short(1_207_929), roofline.full(1_207_929)) == ("1.208 ms", "1,207,929 ns")


@pytest.mark.parametrize(
    "given",
    [5, "5", "5 MiB", "5 M", "-1 ms", "0.5 ns", "1 Ms", "", "1e99 s", True, None, "ms", "1h"],
)
def test_a_time_without_its_unit_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"is not a|is negative|is more than"):
        Limit.of("roofline", given)  # type: ignore[arg-type]


def test_what_was_not_estimated_leaves_nobody_to_tell() -> None:
    result = evaluate(normal(), {"peak-memory": "1 T", "params": 1})
    assert result.status == "unknown"
    assert "peak memory is not in" in result.reason
    assert "summary MODEL --memory" in result.hint
    # What is known is said all the same.
    assert [finding.metric.name for finding in result.findings] == ["params"]
    assert "--memory" not in evaluate(normal(), {"arena": "1 T"}).hint
    note = Note("roofline", "no int8 rate is known for pixel-1", "choose another")
    result = evaluate(replace(normal(), notes=(note,)), {"roofline": "1 s"})
    assert (result.reason, result.hint) == (note.text, note.hint)


def test_the_least_time_is_at_least_that_where_operations_are_missing() -> None:
    result = evaluate(replace(unknown(), extra={"roofline": 7, "arena": 7}), {"roofline": "1 s"})
    assert (result.status, result.findings[0].at_least) == ("unknown", True)
    result = evaluate(replace(unknown(), extra={"arena": 7}), {"arena": 9})
    assert not result.findings[0].at_least


def test_a_part_of_the_least_time_exceeds_a_limit_and_never_passes_one() -> None:
    note = Note("roofline", "no bandwidth is known for my-board; its arithmetic alone takes 9 ns")
    report = replace(normal(), notes=(note,))

    def held(most: str, *growth: Growth) -> CheckResult:
        check = Check(name="a", model="a", limits=(Limit.of("roofline", most),), growth=growth)
        entry = Entry({"roofline": 1})
        return evaluate_check(check, report, entry, floors={"roofline": 9})

    result = held("8 ns")
    assert (result.status, result.notes[0]) == ("exceeded", note.text)
    assert result.explain()[0] == "roofline over by at least 1 ns (9 ns > 8 ns): max.roofline 8 ns"
    for most in ("9 ns", "1 s"):
        result = held(most, Growth.of("roofline", "0%"))
        assert (result.status, result.reason) == ("unknown", note.text)
        assert result.findings[0].at_least


def test_what_is_exceeded_is_said_where_something_else_cannot_be_told() -> None:
    result = evaluate(normal(), {"peak-memory": "1 T", "params": 1}, name="a")
    outcome = Outcome(results=(result,))
    assert outcome.code == 2
    assert outcome.verdict() == "1 of 1 check cannot be told: a (params exceeded)."
    assert any(line.startswith("params over by ") for line in result.why)


# Against a baseline


def test_a_baseline_holds_them_as_integers_and_reads_them_back(tmp_path: Path) -> None:
    check = Check(name="a", model="a", limits=tuple(map(_limit, ("peak-memory", "arena"))))
    entry = Entry.of(estimated(), check.metrics)
    text = Baseline({"a": entry}).text()
    assert '"peak_memory": 3488,' in text
    assert '"arena": 480,' in text
    assert "roofline" not in text  # nobody asked
    path = tmp_path / "baseline.json"
    path.write_text(text, encoding="utf-8")
    read = read_baseline(path, "baseline.json")
    assert read
    assert read.entries["a"] == entry
    path.write_text(text.replace('"arena": 480', '"arena": -1'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"checks\.a\.arena: expected a count"):
        read_baseline(path, "baseline.json")


def _limit(name: str) -> Limit:
    return Limit.of(name, "1 s" if name == "roofline" else "1 T")


@pytest.mark.parametrize("name", ["peak-memory", "arena", "roofline"])
def test_growth_is_held_against_the_baseline(name: str) -> None:
    check = Check(name="a", model="a", growth=(Growth.of(name, "0%"),))
    entry = Entry.of(estimated(), check.metrics)
    assert evaluate_check(check, estimated(), entry).status == "passed"
    more = estimated(PEAK + 1, ARENA + 1, LEAST + 1)
    result = evaluate_check(check, more, entry)
    assert result.status == "exceeded"
    assert result.findings[0].before == entry.numbers[name]
    assert "over by 1 " in result.explain()[0]
    (rise,) = Baseline({"a": entry}).changes(Baseline({"a": Entry.of(more, check.metrics)}))
    assert (rise.metric.name, rise.after - rise.before) == (name, 1)


@pytest.mark.parametrize(
    ("name", "changed", "comparable"),
    [
        ("arena", {"dtype": "fp32"}, False),
        ("arena", {"runtime": "litert"}, False),
        ("arena", {"device": "other"}, True),
        ("roofline", {"device": "other"}, False),
        ("peak-memory", {"dtype": "fp32", "runtime": "ort", "device": "other"}, True),
    ],
)
def test_numbers_for_another_target_are_not_compared(
    name: str, changed: dict[str, str], comparable: bool
) -> None:
    check = Check(name="a", model="a", growth=(Growth.of(name, "0%"),))
    entry = Entry.of(estimated(), check.metrics)
    more = estimated(PEAK + 1, ARENA + 1, LEAST + 1, **changed)
    result = evaluate_check(check, more, entry)
    assert (result.status == "exceeded") == comparable
    what, text = next(iter(changed.items()))
    if comparable:
        assert any(note.startswith(f"{what} is {text}, and was ") for note in result.notes)
    else:
        assert result.status == "unknown"
        assert f"of another {what}, " in result.reason
        assert any(f" → {text} since the baseline: the likely cause" in n for n in result.notes)
    changes = Baseline({"a": entry}).changes(Baseline({"a": Entry.of(more, check.metrics)}))
    assert bool(changes) == comparable


# Whether it fits


def room(available: int, name: str = "memory") -> Room:
    """2,912 bytes needed, perhaps 992 more or 12 less."""
    return Room(name, "my-board", 2912, available, 992, 12)


def fitted(*rooms: Room, tight: bool = False) -> CheckResult:
    check = Check(name="a", model="a", fits=Fits(tight), target=Target(device="my-board"))
    return evaluate_check(check, normal(), rooms=rooms)


def test_it_fits_with_the_whole_margin_or_not_at_all() -> None:
    assert fitted(room(3904)).status == "passed"
    result = fitted(room(3903))
    assert result.status == "exceeded"
    assert result.explain()[0] == (
        "memory with margin over by 1 B (2,912 B + 992 B > 3,903 B of my-board): fits true"
    )


def test_tight_is_what_may_fit() -> None:
    assert fitted(room(2900), tight=True).status == "passed"
    result = fitted(room(2899), tight=True)
    assert result.status == "exceeded"
    assert result.explain()[0] == (
        'least memory over by 1 B (2,912 B − 12 B > 2,899 B of my-board): fits "tight"'
    )


def test_every_memory_must_hold() -> None:
    result = fitted(room(4000, "RAM"), room(3903, "flash"))
    assert [finding.metric.name for finding in result.findings] == ["fits-ram", "fits-flash"]
    assert [finding.exceeded for finding in result.findings] == [False, True]


def test_a_device_of_which_no_memory_is_known_leaves_nobody_to_tell() -> None:
    result = fitted()
    assert (result.status, result.reason) == ("unknown", "whether it fits my-board is not in a")


# As it is written


def config(folder: Path, line: str) -> Check:
    path = folder / "cnnstat.toml"
    path.write_text(f'[[check]]\nmodel = "net.py:Net"\n{line}\n', encoding="utf-8")
    return read_config(path).checks[0]


def test_a_check_says_its_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        'device = "pixel-1"\ndtype = "int8"\nruntime = "litert"\nfits = true\nmax.arena = "1 KiB"'
    )
    check = config(tmp_path, text)
    said = {
        key: f"cnnstat.toml:{line}" for line, key in enumerate(("device", "dtype", "runtime"), 3)
    }
    assert check.target == Target(device="pixel-1", dtype="int8", runtime="litert", said=said)
    assert check.fits == Fits(place=Place("cnnstat.toml", 6))
    assert estimates(check) == ("arena", "fits")
    check = config(tmp_path, 'device = "pixel-1"\nfits = "tight"')
    assert check.fits
    assert check.fits.tight
    assert config(tmp_path, 'fits = false\nmax.params = "1"').fits is None


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("fits = true", "3: 'fits' is about a device, and none is given"),
        ('max.roofline = "5 ms"', "3: 'roofline' is about a device, and none is given"),
        ('growth.roofline = "0%"', "3: 'roofline' is about a device, and none is given"),
        ('device = "pixel-1"\nmax.params = 1', "3: 'device' changes nothing here"),
        ('dtype = "int8"\nmax.peak-memory = 1', "3: 'dtype' changes nothing here"),
        (
            'device = "pixel-1"\nruntime = "litert"\nfits = true',
            "4: 'runtime' changes nothing here",
        ),
        ('runtime = "tfml"\nmax.arena = 1', "3: unknown runtime 'tfml'"),
        ('dtype = "int4"\nmax.arena = 1', "3: unknown dtype 'int4'"),
        ("max.arena = 1\ntrain = true", "3: 'arena' is about inference"),
        ("max.peak-memory = 1\nbackward = true", "3: 'peak-memory' is about inference"),
        ('fits = "loose"', "3: 'fits' is 'loose'; expected true, or \"tight\""),
        ("fits = 1", "3: 'fits' is 1; expected true"),
        ("device = 1\nfits = true", "3: 'device' is 1; expected a text"),
        ('device = " "\nfits = true', "3: 'device' is ' '; expected a text"),
        ('device = "pixel-1"\nmax.roofline = 5', "4: max.roofline: 5 is not a time with its unit"),
        ('max.arena = "5 ms"', "3: max.arena: '5 ms' is not a size"),
        ('max.peak_memory = "1 MiB"', "3: unknown metric 'peak_memory'"),
    ],
)
def test_what_does_not_go_together_is_said_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, wrong: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, line)
    assert caught.value.message.startswith(f"cnnstat.toml:{wrong}")
    assert "\n" not in caught.value.message
