"""Numbered lists into which something was put: what the numbers then mean."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from cnnstat.comparing.alignment import align
from cnnstat.report import Layer, Report, Work
from tests.comparing.test_alignment import brief
from tests.reports import conv, module, report


def convolutions(name: str, *widths: int, block: bool = False) -> Report:
    """Convolutions from width to width, numbered, each alone or in a block with a norm and a ReLU."""
    made: list[Layer] = [module("", "Sequential", "container")]
    for n, (into, out) in enumerate(pairwise(widths)):
        shapes = ((1, into, 16, 16), (1, out, 16, 16))
        if not block:
            made.append(conv(f"{n}", "standard", *shapes, 3))
            continue
        same = (shapes[1], shapes[1])
        made += [
            module(f"{n}", "Sequential", "container", *shapes),
            conv(f"{n}.0", "standard", *shapes, 3),
            module(f"{n}.1", "BatchNorm2d", "normalisation", *same, 2 * out, Work(muls=out)),
            module(f"{n}.2", "ReLU", "activation", *same, 0, Work(compares=out)),
        ]
    return report(name, *made)


@pytest.mark.parametrize("block", [False, True])
def test_a_block_put_into_a_numbered_list_is_added_and_nothing_else(block: bool) -> None:
    before = convolutions("before", 3, 8, 8, 16, block=block)
    after = convolutions("after", 3, 8, 8, 8, 16, block=block)
    layers = 3 if block else 1
    for made, what in ((align(before, after), "added"), (align(after, before), "removed")):
        expected = {"added": 0, "removed": 0, "changed": 0, "unchanged": 3 * layers}
        assert made.counts == {**expected, what: layers}
        # The second of the two that are alike: it stays in one piece.
        found = [pair.before or pair.after for pair in made.pairs if pair.change == what]
        assert [x.path for x in found if x] == (["2.0", "2.1", "2.2"] if block else ["2"])


@pytest.mark.parametrize("block", [False, True])
def test_numbers_that_explain_as_much_are_believed(block: bool) -> None:
    before = convolutions("before", 3, 8, 16, 32, block=block)
    for widths in ((3, 4, 8, 16), (3, 8, 16, 64), (3, 8, 16, 32, 32)):
        made = align(before, convolutions("after", *widths, block=block))
        for pair in made.pairs:
            if pair.before and pair.after:
                assert pair.before.path == pair.after.path
        assert made.counts["removed"] == 0


def test_a_list_in_a_block_that_moved_keeps_its_own_numbers() -> None:
    before = convolutions("before", 3, 8, 8, 16, block=True)
    layers = list(convolutions("after", 3, 8, 8, 8, 16, block=True).layers)
    layers[-1] = replace(layers[-1], type="GELU")
    made = align(before, report("after", *layers))
    assert brief(made)[-1] == ("changed", "2.2", "3.2")
    assert made.counts == {"added": 3, "removed": 0, "changed": 1, "unchanged": 8}


def test_a_deeper_stage_in_the_middle_of_a_mobilenet_is_one_block() -> None:
    from cnnstat.analysis import analyze

    before = analyze("mobilenet_v2")
    from torchvision.models import mobilenet_v2  # whose import cnnstat has seen to

    setting = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 4, 2], [6, 64, 4, 2], [6, 96, 3, 1]]
    net = mobilenet_v2(inverted_residual_setting=[*setting, [6, 160, 3, 2], [6, 320, 1, 1]])
    made = align(before, analyze(net, (1, 3, 224, 224)))
    # Three times convolution and norm, two ReLU6, and the sum of the block itself.
    assert made.counts == {"added": 9, "removed": 0, "changed": 0, "unchanged": 152}
    added = [pair.after.path for pair in made.pairs if pair.change == "added" and pair.after]
    assert {".".join(path.split(".")[:2]) for path in added} == {"features.7"}


def test_a_narrower_mobilenet_keeps_every_layer_in_its_place() -> None:
    from tests.measured import analyze

    made = align(analyze("mobilenet_v2"), analyze("mobilenet_v2?width_mult=0.5"))
    assert made.counts["added"] == made.counts["removed"] == 0
    for pair in made.pairs:
        assert pair.before and pair.after and pair.before.path == pair.after.path


def test_blocks_of_another_sort_stay_at_their_numbers() -> None:
    from tests.measured import analyze

    made = align(analyze("resnet18"), analyze("resnet50"))
    for pair in made.pairs:
        if pair.before and pair.after:
            assert pair.before.path == pair.after.path
    assert made.counts == {"added": 90, "removed": 8, "changed": 30, "unchanged": 22}
