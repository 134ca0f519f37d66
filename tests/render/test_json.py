from __future__ import annotations

import json

import pytest

from cnnstat.render.base import View
from cnnstat.render.json import JsonRenderer
from cnnstat.report import Report
from tests.reports import REPORTS


@pytest.mark.parametrize("name", REPORTS)
def test_one_document_that_round_trips(name: str) -> None:
    made = REPORTS[name]()
    text = JsonRenderer().render(made, View(top=1))
    document = json.loads(text)
    assert document["schema"] == 1
    assert Report.from_json(text) == made
    assert Report.from_json(text).to_json() == text
    for key in ("params", "macs", "flops", "activations", "quoted"):
        assert sum(layer[key] for layer in document["layers"]) == document["totals"][key]
