"""Steps as people write them, and what is wrong with those that are."""

import pytest
import torch
from torch import nn

from cnnstat.analysis import prepare
from cnnstat.errors import SpecError
from cnnstat.memory.step import Step
from cnnstat.memory.usage import Usage
from cnnstat.trace.engines import record


def test_read() -> None:
    step = Step.of("SGD?momentum=0.9&nesterov=true", "bf16")
    assert step == Step("sgd", {"momentum": 0.9, "nesterov": True}, "bfloat16")
    assert step.trains
    assert str(step) == "sgd(momentum=0.9, nesterov=True), autocast to bfloat16"
    assert not Step.of().trains
    assert str(Step.of()) == "inference"


@pytest.mark.parametrize(
    ("optimizer", "amp", "message"),
    [
        ("?lr=1", "", "optimizer '\\?lr=1' has no name"),
        ("sgd?momentum", "", "'momentum' is no argument"),
        ("sgd?lr=1&lr=2", "", "gives the argument 'lr' twice"),
        ("sgd", "int8", "cannot autocast to 'int8'"),
    ],
)
def test_not_read(optimizer: str, amp: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Step.of(optimizer, amp)


@pytest.mark.parametrize(
    ("optimizer", "message", "hint"),
    [
        ("adan", "unknown optimizer 'adan'", "did you mean adam"),
        ("lbfgs", "unknown optimizer 'lbfgs'", "one of: adadelta"),
        ("sgd?momentun=0.9", "unexpected keyword argument 'momentun'", "it takes lr, momentum"),
        ("sgd?momentum=-1", "Invalid momentum value: -1", "it takes lr"),
        ("sgd?nesterov=true", "Nesterov momentum requires", "it takes lr"),
    ],
)
def test_not_made(optimizer: str, message: str, hint: str) -> None:
    prepared = prepare("squeezenet1_1")
    with pytest.raises(SpecError, match=message) as caught:
        record(prepared.makers, prepared.inputs, step=Step.of(optimizer))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("optimizer", "tensors", "counters"),
    [
        ("sgd", 0, 0),  # torch keeps no momentum unless it is asked for
        ("sgd?momentum=0.9", 1, 0),
        ("adam", 2, 1),  # two moments, and a step counter of 4 bytes for each weight
        ("adamw", 2, 1),
        ("adam?amsgrad=true", 3, 1),
        ("rmsprop", 1, 1),
    ],
)
def test_state_of_optimizers(optimizer: str, tensors: int, counters: int) -> None:
    """SqueezeNet 1.1: 1,235,496 parameters in 52 tensors."""
    prepared = prepare("squeezenet1_1")
    trace = record(prepared.makers, prepared.inputs, step=Step.of(optimizer))
    usage = Usage.of(trace)
    assert usage.weights == usage.gradients == 4 * 1_235_496
    assert usage.optimizer == tensors * 4 * 1_235_496 + counters * 4 * 52


def test_frozen_weights_have_neither_gradient_nor_state() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 5, bias=False))
    model[0].requires_grad_(False)
    prepared = prepare(model, (2, 10))
    usage = Usage.of(record(prepared.makers, prepared.inputs, step=Step.of("sgd?momentum=0.9")))
    assert (usage.weights, usage.gradients, usage.optimizer) == (600, 200, 200)


class Unused(nn.Module):
    """A layer that forward leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(10, 10), nn.Linear(1000, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


@pytest.mark.parametrize("foreach", [False, True])
def test_a_weight_without_gradient_has_no_state(foreach: bool) -> None:
    model = Unused()
    real = torch.optim.Adam(model.parameters())
    model(torch.zeros(2, 10)).sum().backward()
    real.step()
    state = sum(value.nbytes for held in real.state.values() for value in held.values())
    prepared = prepare(Unused(), (2, 10))
    step = Step.of("adam", foreach=foreach)
    usage = Usage.of(record(prepared.makers, prepared.inputs, step=step))
    assert (usage.gradients, usage.optimizer) == (440, state) == (440, 888)
    assert usage.weights == 4 * (110 + 1_001_000)
    assert sum(usage.at_peak.values()) == usage.live.nbytes
