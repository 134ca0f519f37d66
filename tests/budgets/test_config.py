from __future__ import annotations

from pathlib import Path

import pytest

from cnnstat.budgets.config import Config, find_config, read_config
from cnnstat.budgets.limits import Place
from cnnstat.errors import ConfigError

WHOLE = """\
[project]
name = "thing"

[tool.cnnstat]
baseline = "ci/costs.json"
convention = "fvcore"

[[tool.cnnstat.check]]
model = "src/net.py:build"
input = [1, 3, 224, 224]
name = "mobile"
max = { params = "3.5 M", macs = "320 M", param-bytes = "14 MB", quoted = 5e8 }
growth = { macs = "0%", params = "+10 k" }
level = "warn"
uncounted = ["mylib.fused"]
batch = 8
train = true
backward = true

[[tool.cnnstat.check]]
model = "tv:resnet50"
[tool.cnnstat.check.max]
params = 25557032
activations = "12 M"
"""


def config(folder: Path, text: str, name: str = "pyproject.toml") -> Config:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_config(path)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_everything_that_may_be_said(tmp_path: Path) -> None:
    made = config(tmp_path, WHOLE)
    assert made.folder == tmp_path
    assert made.baseline == (tmp_path / "ci/costs.json").resolve()
    mobile, resnet = made.checks
    assert (mobile.name, mobile.model) == ("mobile", "src/net.py:build")
    assert mobile.inputs == ("1x3x224x224",)
    assert (mobile.batch, mobile.train, mobile.backward) == (8, True, True)
    assert (mobile.level, mobile.convention) == ("warn", "fvcore")
    assert mobile.uncounted == ("mylib.fused",)
    assert {limit.metric.name: limit.value for limit in mobile.limits} == {
        "params": 3_500_000,
        "macs": 320_000_000,
        "param-bytes": 14_000_000,
        "quoted": 500_000_000,
    }
    assert {rise.metric.name: rise.given for rise in mobile.growth} == {
        "macs": "0%",
        "params": "+10 k",
    }
    assert (resnet.name, resnet.level, resnet.inputs) == ("tv:resnet50", "error", ())
    assert [limit.value for limit in resnet.limits] == [25_557_032, 12_000_000]


def test_everything_knows_its_line(tmp_path: Path) -> None:
    mobile, resnet = config(tmp_path, WHOLE).checks

    def line(place: Place | None) -> str:
        assert place is not None
        assert place.file == "pyproject.toml"
        return WHOLE.splitlines()[place.line - 1]

    assert line(mobile.place) == line(resnet.place) == "[[tool.cnnstat.check]]"
    assert all("max = {" in line(limit.place) for limit in mobile.limits)
    assert all("growth = {" in line(rise.place) for rise in mobile.growth)
    assert [line(limit.place) for limit in resnet.limits] == [
        "params = 25557032",
        'activations = "12 M"',
    ]


def test_another_file_leaves_the_prefix_out(tmp_path: Path) -> None:
    text = WHOLE[WHOLE.index("[tool.cnnstat]") :].replace("[tool.cnnstat]\n", "")
    text = text.replace("tool.cnnstat.", "")
    for name in ("cnnstat.toml", "budget.toml"):
        assert len(config(tmp_path, text, name).checks) == 2


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("[1, 3, 32, 32]", ("1x3x32x32",)),
        ('"1x3x32x32"', ("1x3x32x32",)),
        ('"ids=1x128:int64"', ("ids=1x128:int64",)),
        ('["1x3x32x32", "mask=1x8:bool"]', ("1x3x32x32", "mask=1x8:bool")),
        ("[[1, 3, 32, 32], [1, 10]]", ("1x3x32x32", "1x10")),
        ('{ x = [1, 3], ids = "1x8:int64" }', ("x=1x3", "ids=1x8:int64")),
    ],
)
def test_inputs(tmp_path: Path, given: str, inputs: tuple[str, ...]) -> None:
    text = f'[[check]]\nmodel = "a"\nmax.params = 1\ninput = {given}\n'
    assert config(tmp_path, text, "cnnstat.toml").checks[0].inputs == inputs


def test_one_growth_is_for_all_that_is_limited(tmp_path: Path) -> None:
    text = '[[check]]\nmodel = "a"\nmax = { flops = 1, param-bytes = 2 }\ngrowth = "1%"\n'
    (check,) = config(tmp_path, text, "cnnstat.toml").checks
    assert [rise.metric.name for rise in check.growth] == ["flops", "param-bytes"]
    text = '[[check]]\nmodel = "a"\ngrowth = "1%"\n'
    (check,) = config(tmp_path, text, "cnnstat.toml").checks
    assert [rise.metric.name for rise in check.growth] == ["params", "macs"]


# Where it is looked for


def test_the_nearest_folder_above_that_has_one(tmp_path: Path) -> None:
    inner = tmp_path / "src" / "deep"
    inner.mkdir(parents=True)
    config(tmp_path, WHOLE)
    # A project inside a project that says nothing of cnnstat is passed by.
    (tmp_path / "src" / "pyproject.toml").write_text(
        "[project]\nname = 'x'\n[tool.ruff]\n", encoding="utf-8"
    )
    found = find_config(inner)
    assert found is not None
    assert found.path == tmp_path / "pyproject.toml"
    (tmp_path / "src" / "cnnstat.toml").write_text(
        "[[check]]\nmodel = 'a'\nmax.params = 1\n", encoding="utf-8"
    )
    found = find_config(inner)
    assert found is not None
    assert found.path == tmp_path / "src" / "cnnstat.toml"


def test_a_pyproject_without_cnnstat_is_no_second_configuration(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    config(tmp_path, "[[check]]\nmodel = 'a'\nmax.params = 1\n", "cnnstat.toml")
    found = find_config(tmp_path)
    assert found is not None
    assert found.shown == "cnnstat.toml"


def test_a_file_above_is_shown_as_seen_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    assert config(tmp_path, WHOLE).shown == "../pyproject.toml"


# What is wrong

HEAD = "[[check]]\n"
GOOD = 'model = "a"\nmax.params = 1\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = \n", 1, "not valid TOML"),
        (HEAD + "model = 'a'\nmodel = 'b'\n", 3, "not valid TOML"),
        (HEAD + "model = 'a", 2, "not valid TOML"),
        ("a = " + "[" * 5000, 1, "not valid TOML"),
        ("a = " + "9" * 5000, 1, "not valid TOML"),
        ("beseline = 'x'\n", 1, "unknown key 'beseline'; did you mean 'baseline'?"),
        ("\n[tool.cnnstat]\n", 2, "outside pyproject.toml the prefix"),
        ("check = 5\n", 1, "'check' is 5; expected tables"),
        ("\n[check]\nmodel = 'a'\n", 2, "'check' is a table; expected tables"),
        ("baseline = 5\n", 1, "'baseline' is 5; expected a text"),
        ("baseline = ''\n", 1, "expected a text"),
        ("convention = 'x'\n", 1, "unknown convention 'x'; one of macs"),
        (HEAD, 1, "a check without a model"),
        (HEAD + "model = 5\n", 2, "'model' is 5; expected a text"),
        (HEAD + "model = 'a'\n", 1, "neither max nor growth"),
        (HEAD + "model = 'a'\nmax = {}\n", 1, "neither max nor growth"),
        (HEAD + GOOD + "modle = 1\n", 4, "unknown key of a check 'modle'; did you mean 'model'?"),
        (HEAD + GOOD + "level = 'fatal'\n", 4, "level 'fatal'; expected one of error, warn, off"),
        ("missing-baseline = 'ok'\n", 1, "missing-baseline 'ok'; expected 'fail', or 'pass'"),
        ("missing-baseline = true\n", 1, "'missing-baseline' is true; expected a text"),
        ("missing_baseline = 'pass'\n", 1, "did you mean 'missing-baseline'?"),
        (
            HEAD + GOOD + "missing-baseline = 'pass'\n",
            4,
            "'missing-baseline' changes nothing here",
        ),
        (HEAD + GOOD + "batch = 0\n", 4, "'batch' is 0; expected a whole number"),
        (HEAD + GOOD + "batch = true\n", 4, "'batch' is true"),
        (HEAD + GOOD + "train = 1\n", 4, "'train' is 1; expected true or false"),
        (HEAD + GOOD + "uncounted = 'a'\n", 4, "expected a list of names"),
        (HEAD + GOOD + "uncounted = [1]\n", 4, "expected a list of names"),
        (HEAD + GOOD + "input = 0\n", 4, "'input' is 0; expected a shape"),
        (HEAD + GOOD + "input = [1.5]\n", 4, "expected a shape"),
        (HEAD + GOOD + "input = [1, -3]\n", 4, "are no sizes"),
        (HEAD + GOOD + "input = '1xx3'\n", 4, "are no sizes"),
        (HEAD + "model = 'a'\nmax = 5\n", 3, "'max' is 5; expected a table"),
        (HEAD + "model = 'a'\n[check.max]\nparams = -1\n", 4, "max.params: -1 is negative"),
        (HEAD + "model = 'a'\n[check.max]\nmacs = '4 X'\n", 4, "max.macs: '4 X' is not a count"),
        (HEAD + "model = 'a'\nmax.macs = true\n", 3, "max.macs: True is not a number"),
        (HEAD + "model = 'a'\nmax.macs = nan\n", 3, "max.macs: nan is not a number"),
        (HEAD + "model = 'a'\nmax.params_bytes = 1\n", 3, "did you mean 'param-bytes'?"),
        (HEAD + "model = 'a'\nmax.peak = 1\n", 3, "unknown metric 'peak'; "),
        (HEAD + "model = 'a'\nmax.quoted = 1\n", 3, "none is given; add convention"),
        (HEAD + GOOD + "growth = 5\n", 4, "'growth' is 5; expected a text"),
        (HEAD + GOOD + "growth = '5'\n", 4, "growth: '5' is no growth"),
        (HEAD + GOOD + "growth.macs = '-1%'\n", 4, "growth.macs: '-1%' is no growth"),
        (HEAD + GOOD + "growth.macs = 1\n", 4, "growth.macs: 1 is no growth"),
        (HEAD + GOOD + HEAD + GOOD, 5, "a second check named 'a'; the first is at cnnstat.toml:1"),
        (HEAD + GOOD + HEAD + GOOD + "name = 'a'\n", 7, "a second check named 'a'"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text, "cnnstat.toml")
    message = f"{caught.value.message}; {caught.value.hint}"
    assert message.startswith(f"cnnstat.toml:{line}: ")
    assert words in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("text", ["", "tool = 5\n", "[tool]\ncnnstat = 5\n", "[tool.ruff]\n"])
def test_a_pyproject_that_was_asked_for_must_say_something(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"pyproject\.toml:[12]: "):
        config(tmp_path, text)


def test_what_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "cnnstat.toml").write_bytes(b"a = 1\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"^cnnstat.toml:2: not UTF-8"):
        find_config(tmp_path)


def test_a_huge_file_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "cnnstat.toml").open("wb") as file:
        file.truncate(2**40)  # A hole of 1 TiB: no machine reads it to the end.
    with pytest.raises(ConfigError, match=r"^cnnstat.toml:1: larger than 1 MiB"):
        find_config(tmp_path)


def test_a_large_file_is_read(tmp_path: Path) -> None:
    text = "".join(f"[[check]]\nmodel = 'm{n}'\nmax.params = {n}\n" for n in range(5000))
    made = config(tmp_path, text, "cnnstat.toml")
    last = made.checks[-1].limits[0].place
    assert last == Place("cnnstat.toml", 15000)


@pytest.mark.parametrize("make", ["missing", "folder"])
def test_what_is_no_file(tmp_path: Path, make: str) -> None:
    if make == "folder":
        (tmp_path / "x.toml").mkdir()
    with pytest.raises(ConfigError, match=r"^x.toml: cannot be read"):
        read_config(tmp_path / "x.toml")


# Where the baseline may be


@pytest.mark.parametrize(
    "given",
    [
        "../out.json",
        "/etc/out.json",
        "sub/../../out.json",
        "link/out.json",
        "link.json",
        "up/../../out.json",
    ],
)
def test_a_baseline_outside_the_project(tmp_path: Path, given: str) -> None:
    project, outside = tmp_path / "project", tmp_path / "outside"
    project.mkdir()
    outside.mkdir()
    (project / "link").symlink_to(outside)
    (project / "link.json").symlink_to(outside / "new.json")
    (project / "up").symlink_to(project)
    with pytest.raises(ConfigError) as caught:
        config(project, f"\n[[check]]\n{GOOD}", "cnnstat.toml")
        config(project, f"\nbaseline = '{given}'\n[[check]]\n{GOOD}", "cnnstat.toml")
    assert caught.value.message.startswith("project/cnnstat.toml:2: the baseline")
    assert "leads out of the project" in caught.value.message


@pytest.mark.parametrize("given", ["a.json", "./sub/../a.json", "inner/a.json", "inner.json"])
def test_a_baseline_inside_the_project(tmp_path: Path, given: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "inner").symlink_to(tmp_path / "sub")
    (tmp_path / "inner.json").symlink_to(tmp_path / "sub" / "b.json")
    made = config(tmp_path, f"baseline = '{given}'\n[[check]]\n{GOOD}", "cnnstat.toml")
    assert made.baseline.is_relative_to(tmp_path.resolve())


def test_the_project_may_itself_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    made = config(tmp_path / "linked", f"[[check]]\n{GOOD}", "cnnstat.toml")
    assert made.baseline == (tmp_path / "real").resolve() / "cnnstat-baseline.json"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("folder.json", "is a folder"),
        ("pyproject.toml", "does not end in .json"),
        ("loop.json", "no path"),
        ("a\\u0000.json", "no path"),
    ],
)
def test_a_baseline_that_can_be_none(tmp_path: Path, given: str, words: str) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    with pytest.raises(ConfigError, match=words) as caught:
        config(tmp_path, f'baseline = "{given}"\n', "cnnstat.toml")
    assert caught.value.message.startswith("cnnstat.toml:1: ")


def test_two_configurations_in_one_folder_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "cnnstat.toml").write_text(
        '[[check]]\nmodel = "a"\nmax = {macs = 1}\n', encoding="utf-8"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.cnnstat.check]]\nmodel = "b"\nmax = {macs = 1}\n', encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="both configure cnnstat"):
        find_config(tmp_path)
