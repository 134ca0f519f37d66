"""Filling tables, with reports made by hand."""

from decimal import Decimal

import pytest

from cnnstat.errors import ConfigError, UnknownModel
from cnnstat.published.computing import NOT_YET, UNEXPLAINED, Measured, fill
from cnnstat.published.reading import parse_table
from tests.published.test_reading import CELL, HEAD
from tests.reports import normal

SPEC = 'measured = { spec = "zoo:some" }\n'


class Counting:
    def __init__(self, error=None):
        self.calls = []
        self.error = error

    def __call__(self, spec, input):
        self.calls.append((spec, input))
        if self.error:
            raise self.error
        return normal()


def filled(text, measure=None):
    return fill(parse_table(text, "t.toml"), Measured(measure or Counting()))


def cell(text, column="macs_m", measure=None):
    return filled(text, measure).cells[1, column]


def test_a_network_is_measured_once():
    measure = Counting()
    reports = Measured(measure)
    table = parse_table(HEAD + SPEC + CELL, "t.toml")
    fill(table, reports)
    fill(table, reports)
    assert measure.calls == [("zoo:some", None)]


def test_computed_in_the_unit_of_the_column():
    found = cell(HEAD + SPEC + CELL)
    macs = normal().totals.macs
    assert found.computed == Decimal(macs) / 1_000_000
    assert found.exact == macs
    assert found.shown == round(Decimal(macs) / 1_000_000, 2)


def test_two_for_a_mac():
    assert cell(HEAD + SPEC + CELL + "per_mac = 2\n").exact == 2 * normal().totals.macs


def test_kinds():
    report = normal()
    kind = next(kind for kind, total in report.kinds.items() if total.macs > 0)
    only = cell(HEAD + SPEC + CELL + f'only = ["{kind}"]\n').exact
    rest = cell(HEAD + SPEC + CELL + f'exclude = ["{kind}"]\n').exact
    assert only == report.kinds[kind].macs
    assert rest == report.totals.macs - only


def test_a_difference_needs_a_reason():
    table = filled(HEAD + SPEC + CELL)
    assert table.cells[1, "macs_m"].within is False
    assert table.footnotes == (UNEXPLAINED,)
    why = '[[footnotes]]\ncolumn = "macs_m"\ntext = "another network"\n'
    assert filled(HEAD + SPEC + CELL + why).footnotes == ("another network",)


def test_what_is_not_computed_says_why():
    assert cell(HEAD).reason == NOT_YET
    found = filled(HEAD + '[[cells]]\ncolumn = "macs_m"\nwhy_not = "it is pruned"\n')
    assert found.cells[1, "macs_m"].reason == "it is pruned"
    assert found.footnotes == ("not computed: it is pruned",)
    assert found.exact == (None,)
    assert cell(HEAD + 'measured = { why_not = "in-house" }\n' + CELL).reason == "in-house"


def test_a_model_that_is_not_there_is_a_reason():
    found = cell(HEAD + SPEC + CELL, measure=Counting(UnknownModel("no model named 'some'")))
    assert found.computed is None
    assert found.reason == "no model named 'some'"


def test_a_part_that_is_not_there_is_named():
    text = HEAD + 'measured = { spec = "zoo:some", parts = ["nowhere"] }\n' + CELL
    with pytest.raises(ConfigError, match=r"t\.toml: rows 1: zoo:some has no module 'nowhere'"):
        filled(text)


def test_columns_without_published_values():
    more = '[[cells]]\ncolumn = "params"\nquantity = "params"\nlabel = "params"\n'
    found = filled(HEAD + SPEC + CELL + more).cells[1, "params"]
    assert (found.published, found.within, found.difference) == (None, None, None)
    assert found.exact == normal().totals.params


def test_ratio_to_a_row():
    more = '[[cells]]\ncolumn = "less"\nquantity = "macs"\nlabel = "less"\nover = 1\nstep = 0.01\n'
    found = filled(HEAD + SPEC + CELL + more).cells[1, "less"]
    assert (found.shown, found.exact) == (1, None)
