"""Every number of a layer and of a network, with where it comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

import cnnstat
from cnnstat.conventions import CONVENTIONS, requote
from cnnstat.errors import SpecError
from cnnstat.explaining.explanation import explain_layer
from cnnstat.explaining.quotes import explain_model
from cnnstat.report import Report
from tests.measured import analyze


@pytest.fixture(scope="module")
def resnet() -> Report:
    return analyze("resnet18")


def test_the_formula_of_a_convolution(resnet: Report) -> None:
    explanation = explain_layer(resnet, "conv1")
    (operation,) = explanation.operations
    macs = operation.terms[0]
    assert (macs.quantity, macs.formula) == ("macs", "N·K·(C/g)·kh·kw·oh·ow")
    assert macs.numbers == "1·64·(3/1)·7·7·112·112"
    assert macs.value == 118_013_952
    (weight,) = explanation.parameters
    assert (weight.formula, weight.numbers, weight.value) == (
        "K·(C/g)·kh·kw",
        "64·(3/1)·7·7",
        9_408,
    )
    assert operation.source.startswith("Howard et al. 2017")


def test_every_layer_is_explained_in_full(resnet: Report) -> None:
    for layer in resnet.layers:
        explanation = explain_layer(resnet, layer.path)
        sums = dict.fromkeys(("macs", "adds", "muls", "compares", "special", "activations"), 0)
        for operation in explanation.operations:
            for term in operation.terms:
                sums[term.quantity] += operation.times * term.value
        assert sums == {name: getattr(layer.work, name) for name in sums}
        assert sum(term.value for term in explanation.parameters) == layer.params
        assert not explanation.unexplained


def test_a_saved_report_is_explained_alike(resnet: Report) -> None:
    saved = Report.from_json(resnet.to_json())
    for path in ("conv1", "layer2.0.bn1", "layer1.0", "fc", ""):
        ours, theirs = explain_layer(resnet, path), explain_layer(saved, path)
        assert ours.operations == theirs.operations
        assert ours.parameters == theirs.parameters


def test_a_report_without_operations_says_so(resnet: Report) -> None:
    layers = tuple(
        replace(layer, weights={}, tallies=tuple(replace(tally, ops=()) for tally in layer.tallies))
        for layer in resnet.layers
    )
    explanation = explain_layer(replace(resnet, layers=layers), "conv1")
    assert not explanation.operations
    assert [tally.work.macs for tally in explanation.unexplained] == [118_013_952]


def test_a_module_is_explained_by_what_is_in_it(resnet: Report) -> None:
    explanation = explain_layer(resnet, "layer1.0")
    parts = [totals for _, totals in explanation.children]
    assert [path for path, _ in explanation.children][:2] == ["layer1.0.conv1", "layer1.0.bn1"]
    own = explanation.layer
    assert sum(part.macs for part in parts) + own.macs == explanation.below.macs
    assert sum(part.params for part in parts) + own.params == explanation.below.params
    assert sum(part.flops for part in parts) + own.flops == explanation.below.flops
    # The residual sum of 64 channels at 56×56 is the block's own.
    assert [(op.op, op.terms[0].value) for op in explanation.operations] == [
        ("aten.add_", 64 * 56 * 56)
    ]


def test_equal_operations_are_said_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.fc(self.fc(x))

    explanation = explain_layer(cnnstat.analyze(Twice(), (2, 8)), "fc")
    (operation,) = explanation.operations
    assert (operation.times, operation.terms[0].value) == (2, 2 * 8 * 8)
    # weight 8·8 and bias 8, once, though it is called twice
    assert sum(term.value for term in explanation.parameters) == 72


def test_an_unknown_layer_names_close_ones(resnet: Report) -> None:
    with pytest.raises(SpecError, match=r"no layer 'layer1\.0\.conv9'") as caught:
        explain_layer(resnet, "layer1.0.conv9")
    assert "layer1.0.conv1" in caught.value.hint
    assert explain_layer(resnet, "(root)").layer.path == ""


def test_each_convention_is_a_line_and_its_parts_add_up(resnet: Report) -> None:
    explanation = explain_model(resnet)
    assert [quote.convention.name for quote in explanation.quotes] == list(CONVENTIONS)
    for quote in explanation.quotes:
        assert quote.total == requote(resnet, quote.convention.name).totals.quoted
        per_mac = 2 if quote.convention.unit == "FLOPs" else 1
        assert sum(quote.parts.values()) == quote.total - per_mac * resnet.totals.macs


def test_what_fvcore_has_beyond_macs_by_hand(resnet: Report) -> None:
    quote = next(q for q in explain_model(resnet).quotes if q.convention.name == "fvcore")
    pooled = 512 * 7 * 7  # one for each element that the global average pooling reads
    normalised = sum(
        layer.tallies[0].read for layer in resnet.layers if layer.type == "BatchNorm2d"
    )
    assert dict(quote.parts) == {"normalisation": 2 * normalised, "pooling": pooled}


def test_a_convention_that_counts_parameters_needs_their_shapes(resnet: Report) -> None:
    old = replace(resnet, layers=tuple(replace(layer, weights={}) for layer in resnet.layers))
    explanation = explain_model(old)
    quoted = {quote.convention.name for quote in explanation.quotes}
    assert set(CONVENTIONS) - quoted == {"thop", "torchinfo"}
    assert all("saved without their shapes" in text for text in explanation.missing)
