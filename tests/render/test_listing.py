from __future__ import annotations

import json
from dataclasses import dataclass

from cnnstat.render.listing import model_list, rule_list
from cnnstat.rules import all_rules


@dataclass(frozen=True)
class Named:
    name: str
    source: str


MODELS = [Named("resnet50", "torchvision"), Named("lenet5", "zoo")]


def test_models() -> None:
    assert model_list(MODELS, "table", None, False).splitlines()[2:] == [
        "resnet50  torchvision",
        "lenet5    zoo",
    ]
    assert json.loads(model_list(MODELS, "json", None, False))[1] == {
        "name": "lenet5",
        "source": "zoo",
    }
    assert model_list(MODELS, "csv", None, False) == (
        "name,source\nresnet50,torchvision\nlenet5,zoo\n"
    )


def test_every_rule_is_listed_with_its_formula_and_its_operations() -> None:
    text = rule_list(all_rules(), "table", None, False)
    records = json.loads(rule_list(all_rules(), "json", None, False))
    assert len(records) == len(all_rules())
    for rule, record in zip(all_rules(), records, strict=True):
        assert rule.formula in text
        assert record["ops"] == list(rule.ops)
        assert all(op in text for op in rule.ops)


def test_rules_keep_to_the_width() -> None:
    lines = rule_list(all_rules(), "table", 60, False).splitlines()
    longest = max(len(op) for rule in all_rules() for op in rule.ops)
    assert max(map(len, lines)) <= max(60, 2 + longest + 1)  # an operation's name is never broken
