from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import cast

import pytest

from cnnstat.budgets.baseline import Entry
from cnnstat.budgets.budget import CheckResult, evaluate, evaluate_check
from cnnstat.budgets.limits import Check, Growth, Level, Limit, Place
from cnnstat.budgets.outcome import Fate, Outcome, Update
from cnnstat.render.base import View
from cnnstat.render.check_formats import CHECK_FORMATS, carries_notes, check_text, format_for
from cnnstat.render.check_markdown import MARKER, check_markdown
from cnnstat.render.table import width
from cnnstat.report import Report
from tests.conftest import Golden
from tests.reports import conv, linear, module, normal, report, unknown

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "a|b <b>&amp;</b>\n::error::x\x1b[31m ##[error]y %0A\r\"quoted\" 's' ]]> \udc80 模型 @you"


def net(width: int) -> Report:
    return report(
        "net",
        module("", "Net", "container", (1, 3, 8, 8), (1, 10)),
        conv("stem", "standard", (1, 3, 8, 8), (1, width, 8, 8), 3),
        linear("head", (1, width), (1, 10)),
    )


def checked(
    name: str,
    made: Report,
    limits: dict[str, str | int],
    *,
    line: int = 3,
    level: Level = "error",
    growth: str = "",
    before: Report | None = None,
) -> CheckResult:
    place = Place("pyproject.toml", line)
    check = Check(
        name=name,
        model=f"{name}.py:Net",
        level=level,
        limits=tuple(Limit.of(key, given, place) for key, given in limits.items()),
        growth=tuple(Growth.of(key, growth, place) for key in limits) if growth else (),
        place=place,
    )
    if level == "off":
        return CheckResult(check=check)
    return evaluate_check(check, made, Entry.of(before, check.metrics) if before else None)


def mixed(name: str = "mobile") -> Outcome:
    """A check of each sort."""
    limits: dict[str, str | int] = {"params": 400, "macs": "1 M", "param-bytes": "1 MiB"}
    return Outcome(
        results=(
            checked(name, net(16), limits, line=31, growth="1%", before=net(8)),
            checked("tiny", net(8), {"params": 306}, before=net(8)),
            checked("gappy", unknown(), {"macs": "1 G"}, line=40),
            checked("careful", net(8), {"macs": 1}, line=50, level="warn"),
            checked("later", net(8), {"macs": 1}, level="off"),
        ),
        config="pyproject.toml",
        baseline="cnnstat-baseline.json",
        missing=("gappy", "careful"),
        vanished=("old",),
    )


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)


EXTENSIONS = {"table": ".txt", "json": ".json", "csv": ".csv", "markdown": ".md"}
EXTENSIONS |= {"latex": ".tex", "html": ".html", "github": ".github", "junit": ".xml"}


@pytest.mark.parametrize("format", CHECK_FORMATS)
def test_golden(format: str, golden: Golden) -> None:
    text = check_text(mixed(), format, View(width=80))
    golden(GOLDEN / f"check{EXTENSIONS[format]}", text)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_xml_means_junit() -> None:
    assert format_for(Path("a/report.XML")) == "junit"
    assert format_for(Path("a/report.md")) == "markdown"


# The terminal


@pytest.mark.parametrize("room", [None, 40, 80, 120, 200])
def test_no_line_is_too_wide_and_no_number_is_cut(room: int | None) -> None:
    every = dict.fromkeys(("params", "macs", "flops", "activations", "param-bytes", "buffers"), 1)
    huge = report("n", module("", "N", "linear", (1, 3), (1, 3), 10**18 + 1))
    outcome = Outcome(results=(checked("all", huge, every, growth="+1", before=net(8)),))
    lines = check_text(outcome, "table", View(width=room)).splitlines()
    if room is not None:
        assert max(map(width, lines)) <= max(room, 48)
    if room is None or room >= 80:
        assert "…" not in "".join(lines)
    assert "1,000,000,000,000,000,001" in "".join(lines)
    titles = " ".join(lines)
    assert all(label in titles for label in ("params", "MACs", "FLOPs", "activations", "buffers"))


def test_a_difference_of_one_is_visible() -> None:
    params = net(8).totals.params
    lines = check_text(
        Outcome(results=(checked("a", net(8), {"params": params - 1}),)), "table", View()
    ).splitlines()
    cells = {line.split()[0]: line.split()[-1] for line in lines if line and len(line.split()) == 2}
    assert (cells["measured"], cells["limit"]) == (f"{params}", f"{params - 1}")
    big = report("n", module("", "N", "linear", (1, 3), (1, 3), 25_557_033))
    text = check_text(
        Outcome(results=(checked("a", big, {"params": 25_557_032}),)), "table", View()
    )
    assert "25,557,033\n" in text
    assert "25,557,032\n" in text
    assert "over by 1 " in text


def test_the_verdict_is_last() -> None:
    text = check_text(mixed(), "table", View())
    assert text.splitlines()[-1] == mixed().verdict()


def test_colours_are_for_whoever_asks() -> None:
    assert "\x1b" not in check_text(mixed(HOSTILE), "table", View())
    assert "\x1b[" in check_text(mixed(), "table", View(color=True))


# Data


def test_json_holds_exact_integers() -> None:
    document = json.loads(check_text(mixed(), "json", View(width=20)))
    assert (document["status"], document["exit_code"]) == ("unknown", 2)
    mobile = document["checks"][0]
    finding = document["findings"][0]
    assert finding["check"] == mobile["name"]
    assert (finding["metric"], finding["measured"]) == ("params", net(16).totals.params)
    assert finding["baseline"] == net(8).totals.params
    assert finding["bounds"][0]["allowed"] == 400
    assert finding["bounds"][0]["line"] == 31
    assert [c["status"] for c in document["checks"]] == [
        *("exceeded", "passed", "unknown", "exceeded", "off")
    ]
    moved = {layer["after"]["path"]: layer for layer in mobile["layers"]}
    assert moved["stem"]["after"]["params"] - moved["stem"]["before"]["params"] == 216


def test_csv_has_a_row_for_each_metric() -> None:
    rows = list(csv.DictReader(StringIO(check_text(mixed(), "csv", View()))))
    assert [(row["check"], row["metric"]) for row in rows][:4] == [
        ("mobile", "params"),
        ("mobile", "param-bytes"),
        ("mobile", "macs"),
        ("tiny", "params"),
    ]
    assert rows[0]["measured"] == str(net(16).totals.params)


# Markdown


def test_markdown_starts_with_its_marker_and_what_changed() -> None:
    lines = check_text(mixed(), "markdown", View()).splitlines()
    assert lines[0] == MARKER == "<!-- cnnstat:check -->"
    table = [line for line in lines if line.startswith("|")]
    checks = [line.split("|")[1].strip() for line in table[2:]]
    assert checks[:5] == ["mobile", "mobile", "mobile", "gappy", "careful"]
    assert "<details><summary>2 without news</summary>" in lines  # tiny and later


def many(count: int) -> Outcome:
    return Outcome(
        results=tuple(
            checked(f"model-{n}", net(16), {"params": 400, "macs": 5}, before=net(8))
            for n in range(count)
        )
    )


@pytest.mark.parametrize("count", [1, 60, 150, 1200])
def test_markdown_is_never_too_long(count: int) -> None:
    text = check_markdown(many(count))
    assert len(text.encode()) <= 60_000
    assert text.startswith(MARKER)
    rows = len(re.findall(r"^\| model-", text, flags=re.MULTILINE))
    if count == 1200:
        assert "<details>" not in text
        left_out = re.search(r"\*(\d+) more rows and all layers are left out\*", text)
        assert left_out
        assert rows + int(left_out[1]) == 2 * count
        assert rows > 100
    else:
        assert rows == 2 * count
    assert ("<details>" in text) == (count <= 60)


def test_markdown_of_endless_names_is_cut() -> None:
    outcome = Outcome(results=(checked("模" * 100_000, net(16), {"params": 400}),))
    assert len(check_markdown(outcome).encode()) <= 60_000


# Annotations


def properties(line: str) -> tuple[str, dict[str, str], str]:
    """What GitHub's runner makes of a line."""
    match = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line)
    assert match, line

    def plain(text: str) -> str:
        for escaped, letter in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n")):
            text = text.replace(escaped, letter)
        return text.replace("%25", "%")

    pairs = (pair.partition("=") for pair in match[2].split(","))
    return match[1], {name: plain(value) for name, _, value in pairs}, plain(match[3])


def test_an_annotation_points_at_the_line_of_the_budget() -> None:
    first, *_ = check_text(mixed(), "github", View()).splitlines()
    kind, given, text = properties(first)
    assert kind == "error"
    assert given == {"file": "pyproject.toml", "line": "31", "title": "cnnstat: mobile params"}
    assert text.startswith("params over by ")
    assert "largest change: stem +216 params" in text


def test_levels_of_annotations() -> None:
    lines = check_text(mixed(), "github", View()).splitlines()
    kinds = [properties(line)[0] for line in lines[:-1]]
    assert kinds == ["error"] * 4 + ["warning", "notice", "notice"]
    strict = check_text(replace(mixed(), strict=True), "github", View()).splitlines()
    assert [properties(line)[0] for line in strict[:-1]].count("error") == 5


def test_a_vanished_layer_is_visible_in_every_format_that_explains() -> None:
    bare = report("net", module("", "Net", "container", (1, 3, 8, 8), (1, 10)), net(8).layers[1])
    outcome = Outcome(results=(checked("a", bare, {"params": 999}, before=net(8)),))
    for format in ("table", "json", "markdown", "html", "github", "junit"):
        assert "gone: head (Linear)" in check_text(outcome, format, View()).replace("\\", "")
    assert check_text(outcome, "github", View()).startswith("::notice ")


def test_at_most_ten_annotations_the_gravest_first() -> None:
    warned = [checked(f"w{n}", net(8), {"params": 1}, level="warn") for n in range(9)]
    failed = [checked(f"e{n}", net(8), {"params": 1}) for n in range(9)]
    lines = check_text(Outcome(results=(*warned, *failed)), "github", View()).splitlines()
    assert [properties(line)[0] for line in lines[:-1]] == ["error"] * 9 + ["warning"]
    assert "8 more annotations left out" in lines[-1]


def test_no_name_is_a_command() -> None:
    text = check_text(mixed(HOSTILE), "github", View())
    lines = text.splitlines()
    assert len(lines) == len(check_text(mixed(), "github", View()).splitlines())
    for line in lines[:-1]:
        properties(line)
    assert lines[-1].startswith("cnnstat check: ")
    assert "##[" not in lines[-1]
    assert "\x1b" not in text


def test_the_file_is_named_from_the_root_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    first, *_ = check_text(mixed(), "github", View()).splitlines()
    assert properties(first)[1]["file"] == "sub/pyproject.toml"


# JUnit


def test_junit_has_a_case_for_each_metric() -> None:
    suite = ET.fromstring(check_text(mixed(), "junit", View()))[0]
    assert suite.attrib == {
        "name": "cnnstat check",
        "tests": "7",
        "failures": "3",
        "errors": "1",
        "skipped": "1",
    }
    states = [
        (case.attrib["classname"], case.attrib["name"], [child.tag for child in case])
        for case in suite.findall("testcase")
    ]
    assert states == [
        ("cnnstat.mobile", "params", ["failure"]),
        ("cnnstat.mobile", "param bytes", ["failure"]),
        ("cnnstat.mobile", "MACs", ["failure"]),
        ("cnnstat.tiny", "params", []),
        ("cnnstat.gappy", "MACs", ["error"]),
        ("cnnstat.careful", "MACs", ["system-out"]),
        ("cnnstat.later", "off", ["skipped"]),
    ]
    failure = suite[0][0]
    terminal = check_text(mixed(), "table", View())
    assert failure.text
    for line in failure.text.splitlines()[:2]:
        assert line in terminal


def unsure(level: Level = "error") -> Outcome:
    """One metric is exceeded for certain, one passes, and one is not known."""
    limits: dict[str, str | int] = {"params": 1, "macs": "1 G", "arena": "1 M"}
    return Outcome(results=(checked("a", normal(), limits, level=level),))


def test_junit_tells_what_is_exceeded_from_what_cannot_be_told() -> None:
    suite = ET.fromstring(check_text(unsure(), "junit", View()))[0]
    assert [(case.get("name"), case[0].tag) for case in suite] == [
        ("params", "failure"),
        ("MACs", "error"),
    ]
    only = Outcome(results=(checked("a", normal(), {"params": 1, "arena": 1}),))
    suite = ET.fromstring(check_text(only, "junit", View()))[0]
    assert [(case.get("name"), case[0].tag) for case in suite] == [
        ("params", "failure"),
        ("measure", "error"),
    ]
    warned = ET.fromstring(check_text(unsure("warn"), "junit", View()))[0]
    assert {case[0].tag for case in warned} == {"system-out"}


def test_markdown_tells_them_apart_too() -> None:
    rows = [line for line in check_markdown(unsure()).splitlines() if line.startswith("| a")]
    assert [row.split("|")[-2].strip() for row in rows] == ["over", "cannot tell"]


def test_notes_stand_once_and_under_their_name() -> None:
    result = evaluate(
        unknown(),
        {"params": "1 G", "macs": 1, "flops": "1 T"},
        uncounted=["mylib.fused", "mylib.mix"],
        name="a",
    )
    text = check_text(Outcome(results=(result,)), "junit", View())
    assert text.count(NOTE) == 1
    (held,) = [case for case in ET.fromstring(text)[0] if NOTE in "".join(case.itertext())]
    assert held.get("name") == "MACs"
    assert "<summary>a: layers and notes</summary>" in check_markdown(Outcome(results=(result,)))
    assert "<summary>a: notes</summary>" in check_markdown(allowed())


def test_junit_is_well_formed_whatever_the_names() -> None:
    hostile = HOSTILE + "".join(map(chr, range(32))) + "\ufffe\uffff\U0001f600"
    text = check_text(mixed(hostile), "junit", View())
    suite = ET.fromstring(text.encode())[0]
    assert suite[0].attrib["classname"].startswith("cnnstat.a|b <b>&amp;</b>")
    assert len(suite.findall("testcase")) == 7


@pytest.mark.parametrize("format", CHECK_FORMATS)
def test_hostile_names_break_no_format(format: str) -> None:
    text = check_text(mixed(HOSTILE), format, View())
    assert "\x1b" not in text or format == "csv"  # which quotes names as they are
    if format in ("html", "markdown"):
        assert "<b>" not in text.replace("\\<b", "")


@pytest.mark.parametrize("format", CHECK_FORMATS)
def test_every_format_says_what_is_over_and_what_is_unknown(format: str) -> None:
    text = check_text(mixed(), format, View()).replace("\\", "")
    assert "mobile" in text
    assert "gappy" in text
    if format != "csv":
        assert "mylib.fused" in text


def test_what_the_command_line_limits_has_no_place() -> None:
    outcome = Outcome(results=(evaluate(normal(), {"params": 1}, name="x"),))
    first, *_ = check_text(outcome, "github", View()).splitlines()
    assert set(properties(first)[1]) == {"title"}
    assert ET.fromstring(check_text(outcome, "junit", View()))[0][0].get("file") is None


# Notes


NOTE = "without a rule, as allowed: mylib.fused ×3"


def allowed() -> Outcome:
    """It passes without a baseline, and there is something to know of it."""
    result = evaluate(
        unknown(), {"params": "1 G"}, uncounted=["mylib.fused", "mylib.mix"], name="a"
    )
    assert (result.status, result.changes) == ("passed", ())
    return Outcome(results=(result,), missing=("a",), vanished=("old",))


@pytest.mark.parametrize("format", [name for name in CHECK_FORMATS if carries_notes(name)])
def test_a_format_that_carries_notes_has_them_all(format: str) -> None:
    outcome = allowed()
    plain = " ".join(check_text(outcome, format, View()).replace("\\", "").split())
    for note in (NOTE, "no baseline for a;", "gone: the baseline has old"):
        assert note in plain.replace("$times$", "×").replace("texttimes ", "×"), format


def test_junit_has_the_notes_as_output() -> None:
    suite = ET.fromstring(check_text(allowed(), "junit", View()))[0]
    case, last = suite
    assert case[0].tag == "system-out"
    assert NOTE in str(case[0].text)
    assert (last.tag, str(last.text).splitlines()) == ("system-out", list(allowed().notes()))
    written = Update(fate="written", added=("a",))
    outcome = replace(allowed(), update=written, baseline="b.json")
    suite = ET.fromstring(check_text(outcome, "junit", View()))[0]
    assert str(suite[-1].text).endswith("wrote b.json; commit it")
    bare = ET.fromstring(check_text(Outcome(results=()), "junit", View()))[0]
    assert list(bare) == []


def test_a_passing_check_with_something_to_know_is_a_notice() -> None:
    first, *_ = check_text(allowed(), "github", View()).splitlines()
    kind, given, text = properties(first)
    assert (kind, given["title"]) == ("notice", "cnnstat: a")
    assert NOTE in text


# The sign


@pytest.mark.parametrize("exit_zero", [False, True])
@pytest.mark.parametrize(
    ("most", "level", "sign"),
    [("1 G", "error", "✅"), (1, "error", "❌"), (1, "warn", "⚠️"), (1, "off", "✅")],
)
def test_the_sign_says_how_it_went(
    most: str | int, level: Level, sign: str, exit_zero: bool
) -> None:
    results = (checked("a", net(8), {"params": most}, level=level),)
    outcome = Outcome(results=results, exit_zero=exit_zero)
    assert f"\n## {sign} " in check_markdown(outcome)


def test_the_sign_of_what_was_not_written() -> None:
    passed = (checked("a", net(8), {"params": "1 G"}),)
    for fate, sign in {"refused": "❌", "impossible": "⚠️", "written": "✅"}.items():
        update = Update(fate=cast(Fate, fate))
        assert f"\n## {sign} " in check_markdown(Outcome(results=passed, update=update))
    assert "\n## ⚠️ " in check_markdown(replace(mixed(), exit_zero=True))


def test_the_verdict_lists_with_commas() -> None:
    limits: dict[str, str | int] = {"params": 1, "macs": 1, "flops": 1}
    two = checked("b", net(8), {"params": 1, "macs": 1})
    outcome = Outcome(results=(checked("a", net(8), limits), two))
    assert "failed: a params, MACs and FLOPs, b params and MACs." in outcome.verdict()
