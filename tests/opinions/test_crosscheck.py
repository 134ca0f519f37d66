"""Both engines on small networks whose numbers are worked out by hand, and on torchvision's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import flop_registry

from cnnstat.analysis import prepare
from cnnstat.errors import CnnstatError, InputError, SpecError, UnknownModel
from cnnstat.opinions import flop_counter, fvcore
from cnnstat.opinions.base import RECORD_KEYS, CrossCheck
from cnnstat.opinions.crosscheck import crosscheck
from cnnstat.opinions.differences import compare
from tests.opinions.models import BEYOND_CONVENTION, FORTY, SAMPLE


class Function(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.rand(shape)) for shape in shapes)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.function(*tensors, *self.weights)


def reasons(check: CrossCheck, engine: str) -> list[tuple[str, str, int]]:
    return [(r.kind, r.op, r.amount) for r in check.check(engine).reasons]


def check_model(name: str) -> None:
    check = crosscheck(f"tv:{name}")
    assert check.agrees, check.unexplained
    found = {reason.kind for reason in check.check("fvcore").reasons} - {"convention"}
    assert found == BEYOND_CONVENTION.get(name, set())
    assert reasons(check, "flop-counter") == []
    for item in check.checks:
        assert item.opinion.how == "meta"
        assert item.theirs == item.opinion.total
        assert item.ours == check.report.totals.macs


@pytest.mark.parametrize("name", SAMPLE)
def test_nothing_is_unexplained(name: str) -> None:
    check_model(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORTY if name not in SAMPLE])
def test_nothing_is_unexplained_on_forty_models(name: str) -> None:
    check_model(name)


def test_there_are_forty() -> None:
    assert len(set(FORTY)) == 40
    assert set(SAMPLE) < set(FORTY)


def test_a_small_network_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    check = crosscheck(net, (1, 3, 16, 16))
    macs = 8 * 27 * 256
    assert check.check("fvcore").ours == macs
    # two for each of 8·16·16 elements; a ReLU is nothing to either
    assert reasons(check, "fvcore") == [("convention", "batch_norm", 2 * 8 * 256)]
    assert check.check("flop-counter").theirs == 2 * macs
    assert check.agrees


def test_padding_same_is_nothing_to_fvcore() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding="same"), nn.Conv2d(8, 4, 1))
    check = crosscheck(net, (1, 3, 16, 16))
    assert check.check("fvcore").theirs == 4 * 8 * 256
    assert reasons(check, "fvcore") == [("error", "_convolution_mode", -8 * 27 * 256)]
    assert reasons(check, "flop-counter") == []
    assert check.agrees


def test_a_broadcast_product_is_too_little_to_fvcore() -> None:
    check = crosscheck(Function(torch.matmul, (8, 5, 6)), (4, 5))
    assert check.report.totals.macs == 8 * 4 * 5 * 6
    assert reasons(check, "fvcore") == [("error", "matmul", 4 * 5 * 6 - 8 * 4 * 5 * 6)]
    assert check.agrees


def test_an_einsum_loses_its_digits_in_fvcore() -> None:
    check = crosscheck(
        Function(lambda x, w: torch.einsum("nchw,kc->nkhw", x, w), (37, 13)), (3, 13, 17, 19)
    )
    assert reasons(check, "fvcore") == [("error", "einsum", 466_100 - 466_089)]


@pytest.mark.parametrize(
    ("net", "inputs", "op", "macs"),
    [
        # 2 heads of 7·7 scores, 8 wide in and out
        (Function(lambda x: F.scaled_dot_product_attention(x, x, x)), (1, 2, 7, 8),
         "scaled_dot_product_attention", 2 * 49 * 16),
        (nn.GRU(8, 16), (5, 3, 8), "gru", 15 * 3 * 16 * (8 + 16)),
        (Function(lambda x, b, w: torch.baddbmm(b, x, w), (2, 4, 6), (2, 5, 6)), (2, 4, 5),
         "baddbmm", 2 * 4 * 5 * 6),
        (Function(lambda x, w: torch.tensordot(x, w, 1), (13, 5)), (3, 4, 13),
         "tensordot", 12 * 13 * 5),
    ],
)  # fmt: skip
def test_fvcore_has_no_formula_for(net: nn.Module, inputs: Any, op: str, macs: int) -> None:
    check = crosscheck(net, inputs)
    assert check.check("fvcore").theirs == 0
    assert reasons(check, "fvcore") == [("counted as zero", op, -macs)]
    assert check.check("flop-counter").theirs == 2 * macs
    assert check.agrees


def test_flop_counter_has_no_formula_for_a_vector() -> None:
    check = crosscheck(Function(torch.mv, (5,)), (4, 5), engines=["flop-counter"])
    assert reasons(check, "flop-counter") == [("counted as zero", "mv", -2 * 20)]
    assert check.agrees


def test_an_engine_that_raises_gives_no_opinion() -> None:
    check = crosscheck(Function(torch.matmul, (5,)), (4, 5))
    # matmul_flop_jit asks a vector for its last size but one
    assert check.check("fvcore").opinion.failure.startswith("IndexError")
    assert "matmul_flop_jit" in check.check("fvcore").opinion.failure
    assert not check.agrees
    assert not check.unexplained


def test_work_that_a_hook_does_is_counted_in_another_layer() -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.ReLU())
    # fvcore learns that ReLU runs after this hook, cnnstat before it: 4·5·4 + 4·4·5 MACs
    net[1].register_forward_pre_hook(lambda _, args: (args[0] @ args[0].T @ args[0],))
    check = crosscheck(net, (4, 5))
    moved = [(d.path, d.amount) for d in check.check("fvcore").differences]
    assert moved == [("", 160), ("1", -160)]
    assert {d.kind for d in check.check("fvcore").differences} == {"attribution"}
    assert check.agrees


def test_fused_attention_runs_unfused_and_says_so() -> None:
    check = crosscheck(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (1, 6, 16))
    assert check.agrees
    assert any("no_grad" in note for note in check.check("flop-counter").opinion.notes)


def test_flop_counter_on_the_cpu_misses_fused_attention() -> None:
    name = "aten._scaled_dot_product_flash_attention_for_cpu"
    if name in map(str, flop_registry):
        pytest.skip("this version of torch has a formula")
    net = Function(lambda x: F.scaled_dot_product_attention(x, x, x))
    check = crosscheck(net, (1, 2, 7, 8))
    assert any("On the CPU" in note for note in check.check("flop-counter").opinion.notes)
    for_real = compare(check.report, flop_counter.opinion(prepare(net, (1, 2, 7, 8)), "cpu"))
    (reason,) = for_real.reasons
    assert (reason.kind, reason.amount) == ("counted as zero", -2 * 2 * 49 * 16)
    assert name.partition(".")[2] == reason.op


def test_a_layer_that_runs_three_times_under_two_owners() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(5, 5)
            self.b = nn.Sequential(self.a, nn.Linear(5, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(self.a(x)))

    check = crosscheck(Shared(), (4, 5))
    assert check.agrees and reasons(check, "fvcore") == []
    assert {layer.path: layer.ours for layer in check.check("fvcore").layers} == {
        "a": 3 * 100, "b.1": 100
    }  # fmt: skip


def test_keyword_arguments_and_dictionaries() -> None:
    class Keyed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def forward(self, x: torch.Tensor, *, y: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"out": self.fc(x) + y}

    assert crosscheck(Keyed(), {"x": (4, 5), "y": (4, 5)}).agrees


def test_a_network_whose_shapes_depend_on_its_data_runs_for_real_on_the_same_data() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x[x.sum(1) > 2.5])

    check = crosscheck(Masked(), (50, 5))
    assert [opinion.how for opinion in check.opinions] == ["cpu", "cpu"]
    assert check.agrees


def test_autocast_which_needs_a_real_device() -> None:
    class Autocast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast(x.device.type, dtype=torch.bfloat16):
                y = self.fc(x)
                return F.scaled_dot_product_attention(y, y, y)

    check = crosscheck(Autocast(), (1, 3, 4))
    assert check.agrees
    assert check.report.meta["engine"] == "cpu"
    # 3·3 scores, 4 wide in and out
    assert reasons(check, "fvcore") == [("counted as zero", "scaled_dot_product_attention", -72)]


def test_weights_that_do_not_fit_are_not_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(prepared: Any, how: str) -> Any:
        assert how == "meta"
        raise RuntimeError("not without weights")

    monkeypatch.setattr(fvcore, "opinion", fails)
    monkeypatch.setattr("cnnstat.trace.engines._memory_to_spare", lambda: 0)
    check = crosscheck(nn.Linear(5, 5), (4, 5), engines=["fvcore"])
    assert "GiB to run for real" in check.opinions[0].failure


@pytest.mark.parametrize("name", ["squeezenet1_1", "swin_t", "r3d_18"])
@pytest.mark.parametrize("engine", [fvcore, flop_counter])
def test_without_weights_each_engine_says_what_it_says_with_them(name: str, engine: Any) -> None:
    prepared = prepare(name)
    opinions = [engine.opinion(prepared, how) for how in ("meta", "cpu")]
    first, second = ({path: dict(c) for path, c in opinion.counts.items()} for opinion in opinions)
    assert first == second
    assert opinions[0].total == opinions[1].total


def test_an_opinion_formed_without_weights_that_is_wrong_is_formed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = fvcore.opinion

    def wrong(prepared: Any, how: str) -> Any:
        found = real(prepared, how)
        return replace(found, total=found.total + 1) if how == "meta" else found

    monkeypatch.setattr(fvcore, "opinion", wrong)
    check = crosscheck(nn.Linear(5, 5), (4, 5), engines=["fvcore"])
    assert check.agrees
    assert check.opinions[0].how == "cpu"


def test_the_module_comes_back_untouched() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    attributes = [set(vars(module)) for module in net.modules()]
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    crosscheck(net, (2, 3, 9, 9))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert [set(vars(module)) for module in net.modules()] == attributes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.is_grad_enabled()


def test_a_module_that_cannot_be_copied_comes_back_untouched_also_when_tracing_fails() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("no copies")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("not while tracing\nplease")
            return self.fc(x)

    net = Stubborn()
    weight = net.fc.weight
    check = crosscheck(net, (4, 5))
    assert check.check("fvcore").opinion.failure == "RuntimeError: not while tracing"
    assert check.check("flop-counter").agrees
    assert net.fc.weight is weight and not weight.is_meta
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert torch._C._get_tracing_state() is None


def test_the_document_and_the_frame() -> None:
    check = crosscheck("squeezenet1_1")
    document = json.loads(json.dumps(check.to_dict()))
    assert document["schema"] == 1
    assert document["document"] == "crosscheck"
    assert document["complete"] and document["uncounted"] == []
    assert document["macs"] == check.report.totals.macs
    for opinion in document["opinions"]:
        start = opinion["per_mac"] * opinion["ours"]
        assert opinion["theirs"] == start + sum(d["amount"] for d in opinion["differences"])
        assert opinion["theirs"] == sum(item["theirs"] for item in opinion["layers"])
        assert opinion["ours"] == sum(item["ours"] for item in opinion["layers"])
    frame = check.to_frame()
    assert list(frame.columns) == RECORD_KEYS
    fvcore_rows = frame[frame.engine == "fvcore"]
    theirs = fvcore_rows.drop_duplicates("path").theirs.sum()
    assert theirs == check.check("fvcore").theirs


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("no_such_net",), UnknownModel, "no_such_net"),
        ((nn.Linear(2, 2),), InputError, "input"),
        ((3,), SpecError, "cannot analyse"),
    ],
)
def test_wrong_input(arguments: Any, error: type[CnnstatError], words: str) -> None:
    with pytest.raises(error, match=words):
        crosscheck(*arguments)


def test_wrong_engines() -> None:
    with pytest.raises(SpecError, match="unknown engine 'thop'"):
        crosscheck("alexnet", engines=["thop"])
    with pytest.raises(SpecError, match="no engine"):
        crosscheck("alexnet", engines=[])
