"""One number on every engine and in every mode; and which engine is taken when."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnstat
from cnnstat.errors import InputError, SpecError, TraceError
from cnnstat.report import Totals
from cnnstat.sources.base import resolve
from tests.measured import analyze

NAMES = """
    convnext_tiny densenet121 efficientnet_b0 googlenet lraspp_mobilenet_v3_large maxvit_t mnasnet0_5
    mobilenet_v3_small r3d_18 regnet_y_400mf resnet18 shufflenet_v2_x0_5 squeezenet1_1 swin_v2_t
    vit_b_32
""".split()


def counts(totals: Totals) -> tuple[int, ...]:
    return totals.params, totals.macs, totals.flops, totals.activations


@pytest.mark.parametrize("name", NAMES)
def test_meta_and_fake_tensors_agree_in_eval_and_in_training(name: str) -> None:
    found = {
        (engine, train): counts(analyze(f"tv:{name}", engine=engine, train=train).totals)
        for engine in ("meta", "fake")
        for train in (False, True)
    }
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize(
    "name", ["googlenet", "mobilenet_v3_small", "resnet18", "swin_t", "vit_b_32"]
)
def test_a_real_run_agrees(name: str) -> None:
    real = analyze(f"tv:{name}", engine="cpu").totals
    assert counts(real) == counts(analyze(f"tv:{name}").totals)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "swin_t", "vit_b_32"])
def test_backward_is_twice_forward_but_for_the_first_layer(name: str) -> None:
    """Every product has a gradient for both factors; the image needs none."""
    forward = analyze(f"tv:{name}").totals.macs
    both = analyze(f"tv:{name}", backward=True)
    first = next(layer for layer in analyze(f"tv:{name}").layers if layer.macs)
    assert not both.uncounted
    assert both.totals.macs == 3 * forward - first.macs


def test_gradients_stand_under_their_layer() -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 16, 3, groups=4))
    report = cnnstat.analyze(net, (1, 8, 8, 8), backward=True)
    # depthwise: 8·3·3·6·6 = 2592, its weight's gradient as much again, the input needs none
    # grouped: 16·2·3·3·4·4 = 4608, and twice that for both gradients
    assert [layer.macs for layer in report.layers] == [0, 2 * 2592, 0, 3 * 4608]


def test_frozen_layers_have_no_weight_gradient() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6))
    for parameter in net[0].parameters():
        parameter.requires_grad_(False)
    report = cnnstat.analyze(net, (2, 4), backward=True)
    # the first: forward alone, 2·4·5; the second: forward and its weight's gradient, 2·(2·5·6)
    assert [layer.macs for layer in report.layers] == [0, 40, 120]


def test_backward_without_anything_to_train_is_said() -> None:
    net = nn.Linear(3, 3).requires_grad_(False)
    with pytest.raises(TraceError, match="no output depends on a trainable parameter"):
        cnnstat.analyze(net, (1, 3), backward=True)


# ---- the ladder


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) if x.mean() > 0 else self.fc(self.fc(x))


class Selecting(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x[x.sum(1) > 0], torch.ones(2, 4))


@pytest.mark.parametrize("model", [Branching(), Selecting()])
def test_what_needs_values_runs_for_real_and_says_so(model: nn.Module) -> None:
    report = cnnstat.analyze(model, (3, 4))
    assert report.meta["engine"] == "cpu"
    assert any("depend on the data" in note.text for note in report.notes)
    assert report.to_json() == cnnstat.analyze(model, (3, 4)).to_json()


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return self.fc(x)


class OwnGradient(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.fc(x).sum(), x)[0]


@pytest.mark.parametrize("model", [Autocast(), OwnGradient()])
def test_what_meta_cannot_run_is_traced_with_fake_tensors(model: nn.Module) -> None:
    report = cnnstat.analyze(model, (3, 4))
    assert report.meta["engine"] == "fake"
    assert any(note.kind == "engine" for note in report.notes)


def test_one_engine_may_be_asked_for() -> None:
    with pytest.raises(TraceError, match="values that meta cannot give"):
        cnnstat.analyze(Branching(), (3, 4), engine="meta")
    with pytest.raises(SpecError, match="unknown engine 'tpu'"):
        cnnstat.analyze(Branching(), (3, 4), engine="tpu")


def test_a_model_too_large_to_run_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnstat.trace.engines._memory_to_spare", lambda: 16)
    with pytest.raises(TraceError, match="more than is free"):
        cnnstat.analyze(Branching(), (3, 4))


# ---- what goes wrong in forward


def test_the_models_own_message_the_layer_and_what_it_received() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(5, 2))
    with pytest.raises(TraceError) as caught:
        cnnstat.analyze(net, (1, 3, 8, 8))
    message = str(caught.value)
    assert "2 (Linear, which received 1x144)" in message
    assert "mat1 and mat2 shapes cannot be multiplied (1x144 and 5x2)" in message
    assert "\n" not in message


def test_the_hint_is_the_models_own_input() -> None:
    with pytest.raises(TraceError) as caught:
        analyze("resnet18", (1, 4, 224, 224))
    assert "expected input[1, 4, 224, 224] to have 3 channels" in str(caught.value)
    assert caught.value.hint == "its own input is 1x3x224x224"


class Raising(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("a message of the user's")


def test_an_exception_of_the_users_names_file_and_line() -> None:
    with pytest.raises(
        TraceError, match=r"a message of the user's.*test_engines\.py:\d+"
    ) as caught:
        cnnstat.analyze(Raising(), (1, 3))
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("model", "inputs", "error"),
    [
        (nn.Linear, (1, 3), SpecError),
        (3, (1, 3), SpecError),
        (nn.Linear(3, 3), None, InputError),
        (nn.Linear(3, 3), 3.5, InputError),
        (nn.Bilinear(3, 4, 5), (1, 3), TraceError),
        ("resnet18", [(1, 3, 64, 64), (1, 3)], TraceError),
    ],
)
def test_wrong_arguments(model: Any, inputs: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        cnnstat.analyze(model, inputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([x, x[:, :1]], 0),
        lambda x: x + torch.ones(7, device=x.device),
        lambda x: F.max_pool2d(x[None], 9),
        lambda x: x.long().mean(),
        lambda x: torch.bmm(x, x),
    ],
)
def test_an_error_is_told_once_and_nothing_is_logged(function: Any, capfd: Any) -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)

    with pytest.raises(TraceError) as caught:
        cnnstat.analyze(Failing(), (3, 4))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


# ---- inputs


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.fc = nn.Embedding(10, 4), nn.Linear(4, 2)

    def forward(self, ids: torch.Tensor, extra: dict[str, Any], scale: float = 1.0) -> torch.Tensor:
        return self.fc(self.table(ids) + extra["bias"][0]) * scale


@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
@pytest.mark.parametrize("real", [False, True])
def test_nested_inputs_by_keyword_as_shapes_and_as_tensors(engine: str, real: bool) -> None:
    if real:
        inputs: Any = {
            "ids": torch.zeros(2, 3, dtype=torch.long),
            "extra": {"bias": [torch.ones(4)]},
        }
    else:
        inputs = {"ids": "2x3:int64", "extra": {"bias": [(4,)]}}
    report = cnnstat.analyze(Mixed(), {**inputs, "scale": 2.0}, engine=engine)
    assert report.totals.macs == 2 * 3 * 4 * 2


def test_batch_replaces_the_first_size() -> None:
    one, eight = (analyze("resnet18", batch=n).totals for n in (1, 8))
    assert eight.macs == 8 * one.macs
    assert eight.params == one.params


def test_packed_sequences_keep_their_lengths() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(4, 5, batch_first=True)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
            return self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))[0].data

    report = cnnstat.analyze(Packed(), ((2, 7, 4), torch.tensor([7, 3])))
    assert report.meta["engine"] == "meta"
    # 7 + 3 steps of 4 gates of 5 cells over 4 inputs and 5 hidden values
    assert report.totals.macs == 10 * 4 * 5 * (4 + 5)


def test_lazy_modules() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    totals = cnnstat.analyze(net, (1, 3, 8, 8)).totals
    assert totals.params == (4 * 3 * 9 + 4) + 8 + (144 * 2 + 2)
    assert totals.macs == 36 * 4 * 27 + 144 * 2


def test_a_spec_is_rebuilt_alike() -> None:
    subject = resolve("tv:resnet18")
    given = cnnstat.analyze(subject.build(), subject.inputs).totals
    assert given == analyze("tv:resnet18").totals


def test_quantised_layers_have_the_parameters_and_products_of_the_network() -> None:
    plain = analyze("tv:resnet18").totals
    report = analyze("tv:quantized_resnet18?quantize=True")
    assert not report.uncounted
    assert report.totals.macs == plain.macs
    # Batch norms are folded: their 9,600 scales and shifts become one bias for each of 4,800 channels.
    assert report.totals.params == plain.params - 9600 + 4800
    weights = plain.params - 9600 - 1000  # one byte each; biases stay float
    assert report.totals.param_bytes == weights + 4 * (4800 + 1000)
    assert report.totals.trainable_params == 0


@pytest.mark.parametrize("engine", ["auto", "meta"])
def test_an_exception_that_leads_back_to_itself_ends(engine: str) -> None:
    # The same exception raised again on the way out of another closes a circle of contexts.
    with pytest.raises(TraceError, match="forward failed in fc6"):
        analyze("zoo:alexnet_2012", (1, 3, 480, 640), engine=engine)
