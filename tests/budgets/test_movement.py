from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from cnnstat.budgets.limits import METRICS
from cnnstat.budgets.movement import KEPT, heaviest, kept_layers, largest_changes, story
from cnnstat.report import Report
from tests.reports import REPORTS, conv, empty, linear, module, normal, report


def net(*widths: int) -> Report:
    """Pointwise convolutions one behind the other."""
    shapes = [(1, width, 8, 8) for width in (3, *widths)]
    pairs = enumerate(pairwise(shapes))
    layers = [conv(f"features.{n}", "pointwise", a, b, 1) for n, (a, b) in pairs]
    parent = module("features", "Sequential", "container", shapes[0], shapes[-1])
    return report("net", module("", "Net", "container", shapes[0], shapes[-1]), parent, *layers)


@pytest.mark.parametrize("name", REPORTS)
def test_kept_layers_add_up_to_the_whole(name: str) -> None:
    made = REPORTS[name]()
    layers = kept_layers(made, tuple(METRICS.values()))
    for metric in METRICS.values():
        assert sum(metric.of_layer(layer) for layer in layers) == metric.of(made)
    paths = [layer.path for layer in layers]
    assert paths == [layer.path for layer in made.layers if layer.path in paths]


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_moves_in_the_same_network(name: str) -> None:
    made = REPORTS[name]()
    assert largest_changes(kept_layers(made, KEPT), made, KEPT) == ()


def test_changes_add_up_to_the_change_of_the_whole() -> None:
    before, after = net(8, 8, 16), net(8, 12, 16, 16)
    changes = largest_changes(kept_layers(before, KEPT), after, KEPT)
    for metric in KEPT:
        moved = sum(change.moved(metric) for change in changes)
        assert moved == metric.of(after) - metric.of(before)


def test_a_layer_put_in_is_told_from_those_around_it() -> None:
    shape = (1, 8)
    first, last, put_in = (linear(name, shape, shape) for name in ("first", "last", "put_in"))
    root = module("", "Net", "container")
    before, after = report("net", root, first, last), report("net", root, first, put_in, last)
    (change,) = largest_changes(kept_layers(before, KEPT), after, KEPT)
    assert (change.path, change.change, change.before) == ("put_in", "added", None)
    assert list(story([change])) == ["layers since the baseline: 1 added"]


def test_a_change_is_described_with_before_and_after() -> None:
    changes = largest_changes(kept_layers(net(8, 8), KEPT), net(8, 16), KEPT)
    (change,) = changes
    # 1·16·8·8 outputs, each of 8 products: 8,192, and half as many before.
    text = change.describe(METRICS["macs"])
    assert text.startswith("features.1 +4.096 k MACs (4.096 k → 8.192 k; Conv2d")


def test_kernels_are_told_where_they_are_known() -> None:
    shape = (1, 8, 8, 8)
    one, two = (
        replace(conv("a", "standard", shape, shape, size), attrs={"kernel": [size, size]})
        for size in (3, 5)
    )
    (change,) = largest_changes(kept_layers(report("n", one), KEPT), report("n", two), KEPT)
    assert change.story == "Conv2d 5×5, was 3×3"


def test_a_removed_layer_is_named_also_without_parameters() -> None:
    shape = (1, 3, 8, 8)
    relu = module("act", "ReLU", "activation", shape, shape)
    before = report("n", module("", "Net", "container"), linear("a", (1, 3), (1, 3)), relu)
    after = report("n", module("", "Net", "container"), linear("a", (1, 3), (1, 3)))
    changes = largest_changes(kept_layers(before, KEPT), after, KEPT)
    assert list(story(changes)) == ["layers since the baseline: 1 removed", "gone: act (ReLU)"]


def test_the_heaviest_layers() -> None:
    (line,) = heaviest(normal(), METRICS["params"], 2)
    first, second = sorted(normal().layers, key=lambda layer: -layer.params)[:2]
    assert line.startswith(f"heaviest in params: {first.path} ")
    assert second.path in line
    assert list(heaviest(empty(), METRICS["params"], 2)) == []
