"""Files of tables, right and wrong."""

from decimal import Decimal

import pytest

from cnnstat.errors import ConfigError, SpecError
from cnnstat.published.reading import parse_table
from cnnstat.published.tables import Network, list_tables, read_table

HEAD = """
id = "t"
title = "T"
paper = "P"
year = 2017
kind = "published"

[[columns]]
key = "model"
label = "Model"

[[columns]]
key = "macs_m"
unit = "million"
label = "MACs"

[[rows]]
model = "a"
macs_m = 4.20
verified = true
"""
MEASURED = 'measured = { spec = "zoo:lenet5", input = [1, 1, 32, 32], parts = ["c1"] }\n'
CELL = '[[cells]]\ncolumn = "macs_m"\nquantity = "macs"\nunit = 1e6\n'


def test_a_table():
    table = parse_table(HEAD + MEASURED + CELL, "t.toml")
    assert table.rows[0].published["macs_m"] == Decimal("4.20")
    assert str(table.rows[0].published["macs_m"]) == "4.20"
    assert table.rows[0].networks == {
        "": Network(spec="zoo:lenet5", input=(1, 1, 32, 32), parts=("c1",))
    }
    rule = table.rule(1, "macs_m")
    assert rule is not None
    assert rule.unit == 1_000_000
    assert table.costs == ("macs_m",)


def test_the_last_rule_that_fits_counts():
    cut = '[[cells]]\ncolumn = "macs_m"\nquantity = "macs"\nrounding = "cut"\nrows = [1]\n'
    table = parse_table(HEAD + CELL + cut, "t.toml")
    rule = table.rule(1, "macs_m")
    assert rule is not None
    assert rule.rounding == "cut"
    assert table.rule(1, "model") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id = ", "t.toml: "),
        ('id = "t"', "t.toml: title is missing"),
        (HEAD.replace('id = "t"', 'id = "u"'), "t.toml: id is 'u'; expected the name of the file"),
        ("colour = 1\n" + HEAD, "t.toml: colour is no key here"),
        (HEAD + "macs = 1\n", "t.toml: rows 1: macs is no key here"),
        (HEAD + "measured = 1\n", "t.toml: rows 1: measured is 1; expected a table in braces"),
        (HEAD + "measured = { input = [1] }\n", "t.toml: rows 1: measured: spec is missing"),
        (
            HEAD + 'measured = { spec = "a", parts = "b" }\n',
            "t.toml: rows 1: measured: parts is 'b'; expected texts",
        ),
        (HEAD + 'measured = { spec = "a", se = 1 }\n', "t.toml: rows 1: measured.se is no key"),
        (
            HEAD + 'measured = { spec = "a", kinds = ["conv"] }\n',
            "t.toml: rows 1: measured: 'conv' is no kind",
        ),
        (
            HEAD + 'measured = { spec = "a", match = "(" }\n',
            "t.toml: rows 1: measured: match is '\\('",
        ),
        (
            HEAD + CELL.replace('"macs"', '"work"'),
            "t.toml: cells 1: quantity is 'work'; expected one of macs",
        ),
        (HEAD + CELL + "rows = [2]\n", "t.toml: cells 1: rows: there is no row 2; expected 1 to 1"),
        (HEAD + CELL + "per_mac = 3\n", "t.toml: cells 1: per_mac is 3; expected one of 1, 2"),
        (HEAD + CELL + 'why_not = "so"\n', "t.toml: cells 1: expected quantity, or why_not"),
        (HEAD + CELL.replace("macs_m", "more"), "t.toml: cells 1: 'more' is no column"),
        (HEAD + "[[footnotes]]\nrows = [1]\n", "t.toml: footnotes 1: text is missing"),
        (
            HEAD + '[[footnotes]]\ncolumn = "x"\ntext = "so"\n',
            "t.toml: footnotes 1: 'x' is no column",
        ),
    ],
)
def test_one_error_names_file_and_key(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_table(text, "t.toml")
    assert "\n" not in caught.value.message


def test_an_unknown_table():
    with pytest.raises(SpecError, match="no published table 'mobilenet_v1_table66'") as caught:
        read_table("mobilenet_v1_table66")
    assert "mobilenet_v1_table6" in caught.value.hint


def test_every_file_is_read():
    assert len(list_tables()) >= 86
    for id in list_tables():
        assert read_table(id).id == id
