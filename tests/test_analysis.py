"""The assembly line: identical documents, what a report says of itself, and what analysing costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import cnnstat
from tests.forked import run


@pytest.mark.parametrize("spec", ["resnet18", "mobilenet_v3_small", "swin_t"])
def test_two_runs_give_the_same_document(spec: str) -> None:
    here = cnnstat.analyze(spec).to_json()
    assert here == cnnstat.analyze(spec).to_json()
    there = run(f"import cnnstat; print(cnnstat.analyze({spec!r}).to_json(), end='')")
    assert here == there
    assert cnnstat.Report.from_json(here).to_json() == here


def test_the_document_that_the_issue_describes() -> None:
    document = json.loads(cnnstat.analyze("resnet50").to_json())
    assert document["schema"] == 1
    assert document["totals"]["params"] == 25557032
    assert document["totals"]["macs"] == 4089184256
    assert document["uncounted"] == {}
    assert document["convention"] == "macs"
    conv1 = next(layer for layer in document["layers"] if layer["path"] == "conv1")
    # 64·3·7·7·112·112
    assert conv1["macs"] == 64 * 3 * 7 * 7 * 112 * 112 == 118013952
    assert (conv1["kind"], conv1["inputs"], conv1["outputs"], conv1["calls"]) == (
        "standard", [[1, 3, 224, 224]], [[1, 64, 112, 112]], 1
    )  # fmt: skip
    assert sum(layer["macs"] for layer in document["layers"]) == 4089184256
    assert sum(layer["params"] for layer in document["layers"]) == 25557032


def test_flops_are_two_per_mac_and_one_per_other_operation() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )
    report = cnnstat.analyze(net, (1, 3, 8, 8))
    conv, norm, relu, _, linear = report.layers[1:]
    outputs = 4 * 6 * 6
    assert conv.flops == 2 * outputs * 27 + outputs  # the bias: one addition each
    assert norm.flops == 2 * outputs
    assert relu.flops == outputs
    assert linear.flops == 2 * 144 * 2 + 2
    assert report.totals.activations == outputs + 2
    assert report.totals.buffers == 4 + 4 + 1


def test_unknown_operations_are_listed_with_layer_and_shapes() -> None:
    @torch.library.custom_op("cnnstat_test::fused", mutates_args=())
    def fused(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x @ w

    @fused.register_fake
    def _(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x.new_empty(x.shape[0], w.shape[1])

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.cnnstat_test.fused(torch.ops.cnnstat_test.fused(x, self.w), self.w)

    report = cnnstat.analyze(nn.Sequential(Layer(), nn.Linear(3, 2)), (5, 3))
    assert report.totals.macs == 5 * 3 * 2  # what is known, and no more
    (item,) = report.uncounted
    assert (item.op, item.layer, item.count) == ("cnnstat_test.fused", "0", 2)
    assert (item.inputs, item.outputs) == (((5, 3), (3, 3)), ((5, 3),))
    assert not report.complete
    assert any(note.kind == "uncounted" and "lower bound" in note.text for note in report.notes)
    document = json.loads(report.to_json())
    assert document["uncounted"]["cnnstat_test.fused"]["count"] == 2


def test_notes_name_what_never_ran() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(3, 3), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    notes = [note for note in cnnstat.analyze(Idle(), (1, 3)).notes if note.kind == "never-called"]
    assert len(notes) == 1
    assert "20 parameters" in notes[0].text
    assert "idle" in notes[0].text


def test_layers_whose_weights_their_parent_uses_are_not_idle() -> None:
    report = cnnstat.analyze(nn.MultiheadAttention(8, 2), ((5, 1, 8),) * 3)
    assert not [note for note in report.notes if note.kind == "never-called"]
    assert report.layer("out_proj").kind == "linear"


def test_tied_parameters_count_once() -> None:
    embedding, head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
    head.weight = embedding.weight
    report = cnnstat.analyze(
        nn.Sequential(embedding, head), {"input": torch.zeros(1, 2, dtype=torch.long)}
    )
    assert report.totals.params == 40
    assert report.layers[2].tied_to == ("0.weight",)


def test_conventions_quote_the_same_work() -> None:
    report = cnnstat.analyze("resnet50", convention="fvcore")
    assert report.totals.macs == 4089184256
    # timm publishes 4.11 for resnet50 at 224 (infer_gmacs): norms at 2, the pooling at 1 an element.
    normed = sum(
        row.written for layer in report.layers for row in layer.tallies if row.rule == "batch_norm"
    )
    assert report.totals.quoted == 4089184256 + 2 * normed + 2048 * 7 * 7
    assert round(report.totals.quoted / 1e9, 2) == 4.11


# ---- what it costs


def test_analysing_vgg16_adds_less_than_60_mb() -> None:
    """Its weights are 553 MB."""
    added = int(
        run(
            """
            import cnnstat
            cnnstat.analyze("resnet18")  # everything that is loaded once
            before = peak()
            assert cnnstat.analyze("vgg16").totals.params == 138357544
            print(peak() - before)
            """
        )
    )
    assert added < 60e6


DECODER = """
import torch
from torch import nn

built = ran = 0


class Decoder(nn.Module):
    def __init__(self, layers=96, width=12288, heads=96, words=50257, context=2048):
        super().__init__()
        global built
        built += 1
        self.tokens = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.zeros(context, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids):
        global ran
        ran += 1
        print("built", built, "ran", ran)
        x = self.tokens(ids) + self.places[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))
"""


def test_a_decoder_of_175_billion_parameters(tmp_path: Path) -> None:
    """GPT-3 (arXiv 2005.14165, table 2.1) in plain torch.nn: 96 layers, width 12288, 96 heads."""
    (tmp_path / "decoder.py").write_text(DECODER, encoding="utf-8")
    out = run(
        f"""
        import sys, cnnstat
        sys.stderr = sys.stdout  # where goes what a model prints
        report = cnnstat.analyze({str(tmp_path / "decoder.py")!r}, "ids=1x2048:int64")
        print(report.totals.params, report.totals.macs, peak(), report.meta["engine"])
        """
    )
    *passes, last = out.splitlines()
    params, macs, memory, engine = last.split()
    # One network, one pass, and no arithmetic in it.
    assert (passes, engine) == (["built 1 ran 1"], "meta")
    d, layers, words, n = 12288, 96, 50257, 2048
    per_layer = 12 * d * d + 13 * d  # attention 4d² + 4d, feed-forward 8d² + 5d, two norms 4d
    assert int(params) == layers * per_layer + words * d + n * d + 2 * d
    assert int(macs) == layers * (12 * d * d * n + 2 * n * n * d) + words * d * n
    assert int(memory) < 1e9


def test_a_resolution_of_table_7() -> None:
    # Howard et al. 2017, table 7: 1.0 MobileNet-160 takes 290 million mult-adds.
    assert (
        cnnstat.analyze("zoo:mobilenet_v1", resolution=160).totals.macs // 10**6 == 290
    )  # cut off
