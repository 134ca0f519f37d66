"""Results on the meta device: the same as torch's own, computed or remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cnnstat.trace.meta import MetaDevice, NeedsValues, facts_of

Function = Callable[..., Any]


class Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.device = MetaDevice()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.device.run(func, facts_of(func), args, kwargs or {})


def empty(*shape: int, dtype: torch.dtype = torch.float32, device: str = "meta") -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


def looks(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.stride(), value.dtype, value.storage_offset()
    return [looks(item) for item in value]


FUNCTIONS: dict[str, Function] = {
    "conv": lambda x: F.conv2d(x, empty(5, x.shape[1], 3, 3), padding=1),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last) * 2,
    "hardswish": F.hardswish,
    "hardswish_": lambda x: F.hardswish(x.clone(), inplace=True),
    "add int": lambda x: x + 1,
    "add float": lambda x: x + 1.0,
    "int add": lambda x: x.int() + 1,
    "int add float": lambda x: x.int() + 1.0,
    "int add bool": lambda x: x.int() + True,
    "topk": lambda x: x.topk(2, dim=0),
    "split": lambda x: x.split(1, dim=1),
    "max": lambda x: x.max(dim=1),
    "cat": lambda x: torch.cat([x, x, x[:, :1]], dim=1),
    "transpose": lambda x: x.transpose(0, 1).relu(),
    "expand": lambda x: x[:, :1].expand(-1, 7, -1, -1) + 0,
    "mean": lambda x: x.mean((2, 3)),
    "unfold": lambda x: F.unfold(x, 2),
    "half": lambda x: x.half() @ x.half().transpose(-1, -2),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "batch_norm": lambda x: F.batch_norm(x, torch.zeros(x.shape[1]), torch.ones(x.shape[1])),
    "resize": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "sdpa": lambda x: F.scaled_dot_product_attention(x, x, x),
    "var_mean": lambda x: torch.var_mean(x, dim=1, keepdim=True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(sizes=st.tuples(*[st.integers(2, 5)] * 4))
@settings(max_examples=15, deadline=None)
def test_a_remembered_result_looks_like_the_real_one(name: str, sizes: tuple[int, ...]) -> None:
    function = FUNCTIONS[name]
    with torch.inference_mode():
        truth = looks(FUNCTIONS_ON_CPU(name)(torch.randn(sizes)))
        with Mode():
            first, again = (looks(function(empty(*sizes))) for _ in range(2))
    assert first == truth
    assert again == truth


def FUNCTIONS_ON_CPU(name: str) -> Function:
    if name != "conv":
        return FUNCTIONS[name]
    return lambda x: F.conv2d(x, torch.randn(5, x.shape[1], 3, 3), padding=1)


def test_in_place_results_are_the_argument_itself() -> None:
    with torch.inference_mode(), Mode():
        for _ in range(2):
            x = empty(3)
            assert x.add_(1) is x
            y = x.view(3)
            assert y.untyped_storage()._cdata == x.untyped_storage()._cdata


def test_fresh_results_share_no_memory() -> None:
    with torch.inference_mode(), Mode():
        x = empty(3)
        a, b = x + 1, x + 1
        assert len({t.untyped_storage()._cdata for t in (x, a, b)}) == 3


def test_constants_keep_their_values_and_meet_meta_tensors() -> None:
    with torch.inference_mode(), Mode():
        table = torch.arange(6).reshape(2, 3)
        assert table.sum().item() == 15
        assert (empty(2, 3) + table).is_meta
        assert (table + empty(3)).shape == (2, 3)


def test_a_constant_that_was_written_to_is_not_known_any_more() -> None:
    with torch.inference_mode(), Mode():
        for _ in range(2):
            mask = torch.zeros(3)
            mask += empty(3)
            with pytest.raises(NeedsValues):
                mask.sum().item()


def test_large_constants_are_not_allocated() -> None:
    with torch.inference_mode(), Mode():
        assert torch.zeros(1 << 24).is_meta
        assert not torch.zeros(1 << 4).is_meta


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.item(),
        lambda x: bool(x > 0),
        lambda x: x.reshape(1).nonzero(),
        lambda x: x[x > 0],
    ],
)
def test_asking_for_a_value_is_said(function: Function) -> None:
    with torch.inference_mode(), Mode(), pytest.raises((NeedsValues, NotImplementedError)):
        function(empty())


def test_an_error_is_the_one_that_the_cpu_gives() -> None:
    with torch.inference_mode():
        with pytest.raises(RuntimeError) as truth:
            F.conv2d(torch.zeros(1, 5, 8, 8), torch.zeros(4, 3, 3, 3))
        with Mode(), pytest.raises(RuntimeError) as caught:
            F.conv2d(empty(1, 5, 8, 8), empty(4, 3, 3, 3))
    assert str(caught.value) == str(truth.value)
