"""`cnnstat tables`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cnnstat.analysis
from cnnstat.published.articles import ARTICLES
from cnnstat.published.tables import list_tables
from tests.cli.conftest import Analyze, Run
from tests.measured import analyze


def test_list(run: Run) -> None:
    data = json.loads(run("tables", "-f", "json").out)
    assert [table["id"] for table in data["tables"]] == list(list_tables())


def test_the_list_measures_nothing(run: Run, analyze: Analyze) -> None:
    run("tables")
    assert analyze.calls == []


def test_one_table(run: Run, analyze: Analyze) -> None:
    result = run("tables", "mobilenet_v1_table6", "-f", "json")
    assert result.code == 0
    assert json.loads(result.out)["id"] == "mobilenet_v1_table6"
    assert [call["spec"] for call in analyze.calls] == [
        "zoo:mobilenet_v1",
        "zoo:mobilenet_v1?width=0.75",
        "zoo:mobilenet_v1?width=0.5",
        "zoo:mobilenet_v1?width=0.25",
    ]


def test_several_tables_share_their_networks(run: Run, analyze: Analyze) -> None:
    data = json.loads(run("tables", "mobilenet_v1_table5", "mobilenet_v1_table6", "--json").out)
    assert len(data["tables"]) == 2
    specs = [call["spec"] for call in analyze.calls]
    assert len(specs) == len(set(specs)) == 5


def test_files(run: Run, analyze: Analyze, tmp_path: Path) -> None:
    result = run("tables", "vgg_table2", "-o", tmp_path / "t.md", "-o", tmp_path / "t.csv")
    assert result.code == 0
    assert "D (VGG-16)" in (tmp_path / "t.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("article", ["mobilenet_article", "cnn_history", "compression_survey"])
def test_an_article_in_its_order(run: Run, monkeypatch: pytest.MonkeyPatch, article: str) -> None:
    # The same network is in tables of several articles.
    monkeypatch.setattr(cnnstat.analysis, "analyze", analyze)
    data = json.loads(run("tables", "--document", article, "--json").out)
    assert [table["id"] for table in data["tables"]] == ARTICLES[article]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["vgg_table3"], "no published table 'vgg_table3'; close: vgg_table2"),
        (["--document", "novel"], "no article 'novel'; one of: mobilenet_article"),
        (["vgg_table2", "--all"], "contradict each other"),
    ],
)
def test_errors(run: Run, args: list[str], message: str) -> None:
    assert message in run("tables", *args).error
