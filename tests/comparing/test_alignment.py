from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnstat.comparing.alignment import Alignment, align, related
from cnnstat.comparing.sequences import RUN_COST, Signature, Step, best_alignment
from cnnstat.report import Layer, Report, Uncounted, Work
from tests.reports import REPORTS, conv, linear, module, report

SHAPE = (1, 8, 16, 16)


def brief(alignment: Alignment) -> list[tuple[str, str, str]]:
    """Change and both paths of every pair."""
    return [
        (
            pair.change,
            pair.before.path if pair.before else "",
            pair.after.path if pair.after else "",
        )
        for pair in alignment.pairs
    ]


def sequential(name: str, *layers: tuple[str, int], root: str = "Net") -> Report:
    """`("conv", width)`, `("relu", width)`, `("pool", width)`, numbered under `features`."""
    made: list[Layer] = [
        module("", root, "container", (1, 3, 16, 16), (1, 8, 16, 16)),
        module("features", "Sequential", "container", (1, 3, 16, 16), (1, 8, 16, 16)),
    ]
    width = 3
    for n, (kind, out) in enumerate(layers):
        path, shapes = f"features.{n}", ((1, width, 16, 16), (1, out, 16, 16))
        if kind == "conv":
            made.append(conv(path, "standard", *shapes, 3))
        elif kind == "relu":
            work = Work(compares=out * 256)
            made.append(module(path, "ReLU", "activation", *shapes, 0, work))
        else:
            made.append(module(path, "MaxPool2d", "pooling", *shapes, 0, Work(compares=7)))
        width = out
    return report(name, *made)


# Optimal


def signature(letter: tuple[int, int, int, int]) -> Signature:
    """A layer with so many kinds, classes, kernels and outputs to choose from."""
    kind, type, kernel, output = letter
    return (f"kind {kind}", f"type {type}", (kernel,), ((output,),), ((1, 1),), (), (), (), ())


LETTERS = st.tuples(*(st.integers(0, 2) for _ in range(2)), st.integers(0, 1), st.integers(0, 1))
SEQUENCES = st.lists(LETTERS.map(signature), max_size=5)


def every_alignment(n: int, m: int) -> Iterator[list[Step]]:
    """All ways to go from the ends of two sequences to their starts."""
    if not n and not m:
        yield []
    if n and m:
        yield from ([*steps, (n - 1, m - 1)] for steps in every_alignment(n - 1, m - 1))
    if n:
        yield from ([*steps, (n - 1, None)] for steps in every_alignment(n - 1, m))
    if m:
        yield from ([*steps, (None, m - 1)] for steps in every_alignment(n, m - 1))


def score(steps: Sequence[Step], one: Sequence[Signature], two: Sequence[Signature]) -> int | None:
    """What an alignment is worth; `None` where it pairs layers that have nothing in common."""
    worth, run = 0, ""
    for i, j in steps:
        if i is None or j is None:
            now = "added" if i is None else "removed"
            worth -= RUN_COST if now != run else 0
            run = now
            continue
        run = ""
        a, b = one[i], two[j]
        if a == b:
            worth += 10
        elif a[0] == b[0] or a[1] == b[1]:
            worth += 3 * (a[0] == b[0]) + 2 * (a[1] == b[1]) + (a[2] == b[2])
            worth += 2 * (a[3] == b[3]) + (a[4] == b[4])
        else:
            return None
    return worth


@settings(max_examples=300, deadline=None)
@given(SEQUENCES, SEQUENCES)
def test_no_alignment_scores_more(one: list[Signature], two: list[Signature]) -> None:
    worths = (score(steps, one, two) for steps in every_alignment(len(one), len(two)))
    best = max(worth for worth in worths if worth is not None)
    assert score(best_alignment(one, two), one, two) == best


@given(st.lists(LETTERS.map(signature), max_size=40), st.lists(LETTERS.map(signature), max_size=40))
def test_every_layer_is_in_one_pair_and_in_order(
    one: list[Signature], two: list[Signature]
) -> None:
    steps = best_alignment(one, two)
    assert [i for i, _ in steps if i is not None] == list(range(len(one)))
    assert [j for _, j in steps if j is not None] == list(range(len(two)))


def test_a_thousand_layers_are_no_matter() -> None:
    one = [signature((n % 3, n % 2, n % 5, n % 7)) for n in range(1000)]
    two = [signature(((n * n) % 3, n % 2, n % 3, (n * 3) % 7)) for n in range(1100)]
    assert len(best_alignment(one, two)) >= 1100


# By hand


def test_a_layer_put_into_a_sequence_shifts_the_numbers_and_nothing_else() -> None:
    plain = [("conv", 8), ("relu", 8), ("conv", 16), ("relu", 16), ("pool", 16), ("conv", 32)]
    before = sequential("before", *plain)
    after = sequential("after", *plain[:2], ("pool", 8), *plain[2:])
    assert brief(align(before, after)) == [
        ("unchanged", "features.0", "features.0"),
        ("unchanged", "features.1", "features.1"),
        ("added", "", "features.2"),
        ("unchanged", "features.2", "features.3"),
        ("unchanged", "features.3", "features.4"),
        ("unchanged", "features.4", "features.5"),
        ("unchanged", "features.5", "features.6"),
    ]
    assert align(before, after).counts == {"added": 1, "removed": 0, "changed": 0, "unchanged": 6}
    assert align(after, before).counts == {"added": 0, "removed": 1, "changed": 0, "unchanged": 6}


def test_an_activation_that_is_replaced_is_a_changed_layer() -> None:
    before = sequential("before", ("conv", 8), ("relu", 8), ("conv", 16))
    layers = list(before.layers)
    layers[3] = replace(layers[3], type="GELU")
    after = report("after", *layers)
    assert [change for change, *_ in brief(align(before, after))] == [
        "unchanged",
        "changed",
        "unchanged",
    ]


def test_wider_layers_stay_where_they_are() -> None:
    before = sequential("before", ("conv", 8), ("relu", 8), ("conv", 16))
    after = sequential("after", ("conv", 8), ("relu", 8), ("conv", 24))
    assert brief(align(before, after))[-1] == ("changed", "features.2", "features.2")


def test_named_layers_are_paired_by_name_whatever_they_are() -> None:
    before = report(
        "before",
        module("", "Net", "container"),
        conv("body", "standard", SHAPE, SHAPE, 3),
        linear("head", (1, 8), (1, 10)),
    )
    after = report(
        "after",
        module("", "Net", "container"),
        conv("body", "depthwise", SHAPE, SHAPE, 3, groups=8),
        conv("extra", "standard", SHAPE, SHAPE, 3),
        linear("head", (1, 8), (1, 12)),
    )
    assert brief(align(before, after)) == [
        ("changed", "body", "body"),
        ("added", "", "extra"),
        ("changed", "head", "head"),
    ]


def test_layers_that_changed_places_are_not_paired_across() -> None:
    names = ["a", "b", "c", "d"]
    made = {name: conv(name, "standard", SHAPE, SHAPE, 3) for name in names}
    root = module("", "Net", "container")
    before = report("before", root, *(made[name] for name in names))
    after = report("after", root, *(made[name] for name in ["d", "a", "b", "c"]))
    assert brief(align(before, after)) == [
        ("added", "", "d"),
        *(("unchanged", name, name) for name in "abc"),
        ("removed", "d", ""),
    ]


def test_a_head_that_becomes_a_sequence_finds_its_layer() -> None:
    root = module("", "Net", "container", (1, 8), (1, 10))
    before = report("before", root, linear("fc", (1, 8), (1, 10)))
    after = report(
        "after",
        root,
        module("fc", "Sequential", "container", (1, 8), (1, 10)),
        module("fc.0", "Dropout", "dropout", (1, 8), (1, 8)),
        linear("fc.1", (1, 8), (1, 10)),
    )
    assert brief(align(before, after)) == [("added", "", "fc.0"), ("unchanged", "fc", "fc.1")]


def test_other_operations_without_a_rule_are_a_change() -> None:
    before = REPORTS["unknown"]()
    gaps = (Uncounted("mylib.other", "body.fused", 3), before.uncounted[1])
    after = replace(before, uncounted=gaps)
    assert align(before, before).counts["unchanged"] == 3  # the root's own, stem, body.fused
    assert align(before, after).counts == {"added": 0, "removed": 0, "changed": 1, "unchanged": 2}


# Sums


@pytest.mark.parametrize("two", REPORTS)
@pytest.mark.parametrize("one", REPORTS)
def test_pairs_add_up_to_both_totals(one: str, two: str) -> None:
    before, after = REPORTS[one](), REPORTS[two]()
    for side, whole in zip(align(before, after).totals, (before.totals, after.totals), strict=True):
        assert side == whole


LAYERS = st.lists(
    st.tuples(st.sampled_from(["conv", "relu", "pool"]), st.sampled_from([4, 8])),
    min_size=1,
    max_size=12,
)


@given(LAYERS, LAYERS)
def test_pairs_of_random_networks_add_up_too(
    one: list[tuple[str, int]], two: list[tuple[str, int]]
) -> None:
    before, after = sequential("before", *one), sequential("after", *two)
    made = align(before, after)
    assert made.totals == (before.totals, after.totals)
    assert made.counts["removed"] + made.counts["changed"] + made.counts["unchanged"] == len(one)
    assert made.counts["added"] + made.counts["changed"] + made.counts["unchanged"] == len(two)


@given(LAYERS)
def test_a_network_is_itself(layers: list[tuple[str, int]]) -> None:
    made = sequential("net", *layers)
    assert align(made, made).counts["unchanged"] == len(layers)


# Variants or not


def test_variants_share_names() -> None:
    one = sequential("one", ("conv", 8), ("relu", 8), ("conv", 16))
    assert related(one, sequential("two", ("conv", 4), ("relu", 4), ("conv", 8), ("relu", 8)))
    other = report(
        "other", module("", "Other", "container"), conv("stem", "standard", SHAPE, SHAPE, 3)
    )
    assert not related(one, other)
    assert not related(one, report("empty"))


def test_of_one_class_a_quarter_of_the_names_is_enough() -> None:
    one = [("conv", 8), ("relu", 8), ("conv", 8), ("relu", 8)]
    # One name of four still fits, and no layer is the same.
    two = [("conv", 4), ("pool", 4), ("relu", 4), ("conv", 4)]
    assert related(sequential("one", *one), sequential("two", *two))
    assert not related(sequential("one", *one), sequential("two", *two, root="Other"))


def test_layers_that_only_moved_make_a_variant_too() -> None:
    plain = [("conv", 8), ("relu", 8), ("conv", 16), ("relu", 16), ("conv", 32)]
    pooled = [("pool", 3), *(layer for one in plain for layer in (one, ("pool", one[1])))]
    one, two = sequential("one", *plain), sequential("two", *pooled, root="Other")
    names = [{(x.path, x.type) for x in made.layers[2:]} for made in (one, two)]
    assert len(names[0] & names[1]) == 1
    assert align(one, two).counts == {"added": 6, "removed": 0, "changed": 0, "unchanged": 5}
    assert related(one, two)


def test_unlike_networks_are_told_apart_without_an_alignment() -> None:
    def never() -> Alignment:
        raise AssertionError

    one = sequential("one", ("conv", 8), ("relu", 8))
    two = sequential("two", ("pool", 3), ("conv", 4), root="Other")
    assert not related(one, two, never)
    assert related(one, one, never)


def test_shapes_of_weights_that_an_older_version_did_not_save_are_no_difference() -> None:
    def weighted(made: Report, extra: int = 0) -> Report:
        shapes = {"weight": (8 + extra, 3, 3, 3)}
        layers = (replace(x, weights=shapes) if x.params else x for x in made.layers)
        return replace(made, layers=tuple(layers))

    old = sequential("net", ("conv", 8), ("relu", 8), ("conv", 16))
    for one, two in ((old, weighted(old)), (weighted(old), old)):
        assert align(one, two).counts["unchanged"] == 3
    assert align(weighted(old), weighted(old, 1)).counts["changed"] == 2


# Real networks


@pytest.fixture(scope="module")
def resnets() -> dict[str, Report]:
    from tests.measured import analyze

    return {
        name: analyze(name)
        for name in "resnet50 resnet101 mobilenet_v2 vgg11 vgg13 vgg16 alexnet".split()
    }


def test_resnet101_is_resnet50_with_17_more_blocks(resnets: dict[str, Report]) -> None:
    made = align(resnets["resnet50"], resnets["resnet101"])
    added = [pair.after.path for pair in made.pairs if pair.change == "added" and pair.after]
    blocks = {".".join(path.split(".")[:2]) for path in added}
    assert blocks == {f"layer3.{n}" for n in range(6, 23)}
    # A block: three convolutions and norms, the ReLU, and the sum in its own forward.
    assert made.counts == {"added": 17 * 8, "removed": 0, "changed": 0, "unchanged": 142}
    assert made.totals[1].macs - made.totals[0].macs == 7_801_405_440 - 4_089_184_256
    for pair in made.pairs:
        if pair.before and pair.after:
            assert pair.before.path == pair.after.path


def test_vgg13_is_vgg11_with_two_more_convolutions(resnets: dict[str, Report]) -> None:
    made = align(resnets["vgg11"], resnets["vgg13"])
    added = [pair.after.kind for pair in made.pairs if pair.change == "added" and pair.after]
    assert added == ["standard", "activation"] * 2
    assert made.counts["unchanged"] == 29


def test_which_real_networks_are_variants(resnets: dict[str, Report]) -> None:
    assert related(resnets["resnet50"], resnets["resnet101"])
    assert related(resnets["vgg11"], resnets["vgg13"])
    assert not related(resnets["resnet50"], resnets["mobilenet_v2"])
    assert not related(resnets["vgg13"], resnets["mobilenet_v2"])
    assert not related(resnets["alexnet"], resnets["vgg16"])
