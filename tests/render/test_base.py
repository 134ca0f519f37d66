from __future__ import annotations

import os
from pathlib import Path

import pytest

from cnnstat.errors import OutputError
from cnnstat.render import base
from cnnstat.render.base import FORMATS, View, check_writable, renderer, renderer_for, write


@pytest.mark.parametrize("name", FORMATS)
def test_the_registry_agrees_with_the_renderers(name: str) -> None:
    found = renderer(name)
    assert found.name == name
    assert base._RENDERERS[name][2] == found.extensions
    for extension in found.extensions:
        assert renderer_for(Path(f"x{extension}")).name == name
        assert renderer_for(Path(f"x{extension.upper()}")).name == name


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(OutputError, match="'yaml'") as caught:
        renderer("yaml")
    assert all(name in caught.value.hint for name in FORMATS)


@pytest.mark.parametrize("name", ["x.yaml", "x", ".json"])
def test_an_unknown_extension_lists_the_known_ones(name: str) -> None:
    with pytest.raises(OutputError, match="format") as caught:
        renderer_for(Path(name))
    assert ".json" in caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": -1},
        {"top": 0},
        {"width": 0},
        {"by": "beauty"},
        {"all": True, "depth": 2},
        {"all": True, "top": 2},
        {"top": 2, "depth": 2},
        {"kinds": ("linear",), "depth": 2},
    ],
)
def test_a_view_refuses_contradictions(fields: dict[str, object]) -> None:
    with pytest.raises(OutputError):
        View(**fields)  # type: ignore[arg-type]


def test_write_makes_new_files_and_replaces_old_ones(tmp_path: Path) -> None:
    old = tmp_path / "old.md"
    old.write_text("old", encoding="utf-8")
    old.chmod(0o640)
    write({old: "new\n", tmp_path / "fresh.csv": "×\n"})
    assert old.read_text(encoding="utf-8") == "new\n"
    assert old.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "fresh.csv").read_bytes() == "×\n".encode()
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "fresh.csv").stat().st_mode & 0o777 == 0o666 & ~mask
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh.csv", "old.md"]


def test_a_failing_write_changes_nothing(tmp_path: Path) -> None:
    old = tmp_path / "old.md"
    old.write_text("old", encoding="utf-8")
    with pytest.raises(OutputError, match="no such file"):
        write({old: "new", tmp_path / "missing" / "x.md": "new"})
    assert old.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_an_interrupted_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    old = tmp_path / "old.md"
    old.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fdopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write({old: "new"})
    assert old.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.md", tmp_path / "link.md"
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    check_writable(link)
    write({link: "new"})
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"


def test_a_device_is_written_and_not_replaced() -> None:
    null = Path(os.devnull)
    check_writable(null)
    write({null: "text"})
    assert not null.is_file()


def test_undecodable_names_do_not_stop_the_writing(tmp_path: Path) -> None:
    write({tmp_path / "x.json": '"\udcff"'})
    assert (tmp_path / "x.json").read_bytes() == b'"\\udcff"'


def test_check_writable_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    check_writable(path)
    assert not list(tmp_path.iterdir())
    path.write_text("old", encoding="utf-8")
    before = path.stat().st_mtime_ns
    check_writable(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert path.stat().st_mtime_ns == before


def test_check_writable_finds_what_would_fail(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    for path, reason in [
        (tmp_path, "directory"),
        (tmp_path / "missing" / "x.md", "no folder"),
        (file / "x.md", "folder|directory"),
        (tmp_path / ("x" * 300 + ".md"), "too long"),
        (Path("nul\0.md"), "null"),
    ]:
        with pytest.raises(OutputError, match=reason):
            check_writable(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_check_writable_respects_protection(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o444)
    with pytest.raises(OutputError, match="write-protected"):
        check_writable(path)
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="permission denied"):
        check_writable(tmp_path / "y.md")
    tmp_path.chmod(0o755)
