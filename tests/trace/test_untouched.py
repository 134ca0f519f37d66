"""The user's model comes back as it was: whatever its forward does, also when it raises."""

from __future__ import annotations

import copy
import random
import threading
from functools import lru_cache
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.nn.modules import module as nn_module

import cnnstat
from cnnstat.errors import TraceError
from cnnstat.sources.base import resolve

TORCHVISION = """
    alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 maxvit_t mnasnet0_5
    mobilenet_v2 mobilenet_v3_small regnet_y_400mf resnet18 resnext50_32x4d shufflenet_v2_x0_5
    squeezenet1_1 swin_t vit_b_32 lraspp_mobilenet_v3_large
""".split()


class Busy(nn.Module):
    """Changes whatever a forward can change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.count = 0
        self.seen: list[int] = []
        self.constant = torch.arange(4.0)

    def forward(self, x: torch.Tensor, fail: bool = False) -> torch.Tensor:
        self.count += 1
        self.seen.append(len(self.seen))
        self.steps += 1
        self.features = self.norm(self.conv(x))
        self.constant.mul_(2)
        random.random()
        if fail or len(self.seen) > 1:
            raise ValueError("as asked")
        self.train(not self.training)
        return self.drop(self.features) + torch.rand(1)


class Locked(Busy):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything that the issue names: tensors, attributes, flags, hooks, gradients, random state."""
    return {
        "state": {
            name: (id(t), t.clone(), t.device)
            for name, t in model.state_dict(keep_vars=True).items()
        },
        "grads": {
            name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
        },
        "dicts": [
            {
                key: (
                    id(value),
                    copy.copy(value) if isinstance(value, dict | list | set) else value,
                )
                for key, value in vars(child).items()
            }
            for child in model.modules()
        ],
        "flags": [child.training for child in model.modules()],
        "hooks": [
            len(getattr(nn_module, name))
            for name in vars(nn_module)
            if name.startswith("_global_") and isinstance(getattr(nn_module, name), dict)
        ],
        "grad mode": torch.is_grad_enabled(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "torch rng": torch.get_rng_state(),
        "python rng": random.getstate(),
        "numpy rng": numpy.random.get_state()[1],
        "mode stack": torch._C._len_torch_dispatch_stack(),
    }


def assert_same(before: Any, after: Any, where: str = "") -> None:
    if isinstance(before, torch.Tensor):
        assert torch.equal(before, after), where
    elif isinstance(before, numpy.ndarray):
        assert (before == after).all(), where
    elif isinstance(before, dict):
        assert list(before) == list(after), where
        for key in before:
            assert_same(before[key], after[key], f"{where}.{key}")
    elif isinstance(before, list | tuple):
        assert len(before) == len(after), where
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            assert_same(left, right, f"{where}[{index}]")
    elif isinstance(before, nn.Module):
        assert before is after, where
    else:
        assert before == after, where


def give_gradients(model: nn.Module) -> None:
    for index, parameter in enumerate(model.parameters()):
        if index % 2:
            parameter.grad = torch.ones_like(parameter)


@lru_cache(maxsize=1)
def built(name: str) -> nn.Module:
    """With weights and gradients: what the next test is given is what the last has shown to be untouched."""
    model = resolve(f"tv:{name}").build()
    give_gradients(model)
    return model


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_models(name: str, train: bool) -> None:
    model = built(name).train(train)
    inputs = resolve(f"tv:{name}").inputs.with_batch(2)
    before = snapshot(model)
    for mode in (False, True):
        cnnstat.analyze(model, inputs, train=mode)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("kind", [Busy, Locked])
@pytest.mark.parametrize("options", [{}, {"train": True}, {"engine": "fake"}, {"engine": "cpu"}])
def test_a_forward_that_changes_everything(kind: type[Busy], options: dict[str, Any]) -> None:
    if kind is Locked and options.get("engine") == "cpu":
        pytest.skip("a model that cannot be copied is not run for real")
    model = kind()
    give_gradients(model)
    before = snapshot(model)
    cnnstat.analyze(model, (2, 3, 8, 8), **options)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("kind", [Busy, Locked])
@pytest.mark.parametrize("train", [False, True])
def test_a_forward_that_raises(kind: type[Busy], train: bool) -> None:
    model = kind()
    before = snapshot(model)
    with pytest.raises(TraceError, match="as asked"):
        cnnstat.analyze(model, {"x": (2, 3, 8, 8), "fail": True}, train=train)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "mobilenet_v3_small"])
def test_a_shape_that_the_model_rejects(name: str) -> None:
    model = resolve(f"tv:{name}").build()
    before = snapshot(model)
    with pytest.raises(TraceError):
        cnnstat.analyze(model, (1, 7, 64, 64))
    assert_same(before, snapshot(model))


def test_backward_leaves_no_gradients() -> None:
    model = Busy()
    model.seen = []
    before = snapshot(model)
    cnnstat.analyze(model, (2, 3, 8, 8), backward=True)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert_same(before, snapshot(model))


def test_the_users_own_hooks_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    calls: list[int] = []
    handle = model[0].register_forward_hook(lambda *_: calls.append(1))
    before = snapshot(model)
    cnnstat.analyze(model, (1, 3))
    assert calls == [1]  # it belongs to the model, so it ran, once
    assert_same(before, snapshot(model))
    handle.remove()


def test_however_many_modules_and_values_there_are() -> None:
    model = Busy()
    model.many = nn.ModuleList(nn.Identity() for _ in range(3000))
    model.data = [[number] for number in range(100_000)]
    model.lock = threading.Lock()  # so that the model itself runs

    def note(module: nn.Module, args: Any, output: Any) -> None:
        model.many[2999].seen = model.many[0].seen = True

    model.register_forward_hook(note)
    before = snapshot(model)
    cnnstat.analyze(model, (2, 3, 8, 8))
    assert_same(before, snapshot(model))
