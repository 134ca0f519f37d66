"""Parts of which modules are made at random, each something that a module may hold or its code may keep.

The file is loaded anew for each module, so that each has globals of its own. A part adds itself to a module
when it is made, and passes a 4×8 tensor on in forward; `BASES` has the parts that are about the class.
"""

from __future__ import annotations

import copy
import functools
import random
import threading
from collections import OrderedDict, defaultdict, deque
from types import SimpleNamespace
from typing import Any

import numpy
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, weight_norm

TABLES: dict[Any, Any] = {}
NESTED: dict[Any, Any] = {"tables": {}}
ROWS: list[Any] = []
ORDER: list[Any] = []
LENGTH = 0
TABLE: Any = None
FILLED: dict[Any, Any] = {"own": torch.ones(8)}


class Registry:
    """An object that the whole file shares."""

    def __init__(self) -> None:
        self.last: Any = None
        self.seen: list[Any] = []


REGISTRY = Registry()


class Frozen(dict):  # type: ignore[type-arg]
    """Forbids changes, as configurations do."""

    def __setitem__(self, *args: Any) -> None:
        raise TypeError("frozen")

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("frozen")

    def clear(self) -> None:
        raise TypeError("frozen")

    def __eq__(self, other: object) -> bool:
        raise TypeError("neither equal nor unequal")

    __hash__ = None  # type: ignore[assignment]


class Counting(dict):  # type: ignore[type-arg]
    """Notes each change."""

    changes = 0

    def __setitem__(self, key: Any, value: Any) -> None:
        self.changes += 1
        super().__setitem__(key, value)


class OwnList(list):  # type: ignore[type-arg]
    """Neither true nor false, of no length, and not to be cleared."""

    def clear(self) -> None:
        raise TypeError("not to be cleared")

    def __bool__(self) -> bool:
        raise TypeError("neither true nor false")

    def __len__(self) -> int:
        raise TypeError("of no length")


class OwnSet(set):  # type: ignore[type-arg]
    """Cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise TypeError("neither equal nor unequal")

    def clear(self) -> None:
        raise TypeError("not to be cleared")

    __hash__ = None  # type: ignore[assignment]


class Shared:
    """A copy of it is the object itself."""

    def __init__(self) -> None:
        self.steps, self.last = 0, None

    def __deepcopy__(self, memo: Any) -> Shared:
        return self


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * 2


@functools.cache
def positions(n: int, device: Any) -> torch.Tensor:
    return torch.arange(n, device=device).repeat_interleave(2) / n


@functools.lru_cache
def pair(n: int) -> dict[str, torch.Tensor]:
    return {"sin": torch.linspace(0, 1, n).sin(), "cos": torch.linspace(0, 1, n).cos()}


def memoised(function: Any) -> Any:
    memo: dict[Any, Any] = {}

    def remembered(key: Any, device: Any) -> Any:
        if key not in memo:
            memo[key] = function(key, device)
        return memo[key]

    return remembered


def latest() -> Any:
    value = None

    def same(n: int, device: Any) -> Any:
        nonlocal value
        if value is None or value.device != device:
            value = torch.arange(n, device=device) / n
        return value

    return same


remembered = memoised(lambda n, device: torch.full((n,), 0.5, device=device))
kept_in_closure = latest()


def in_default(n: int, device: Any, memo: Any = {}) -> Any:  # noqa: B006 - what is tested
    return memo.setdefault(n, torch.arange(n, device=device) / n)


def on_function(n: int, device: Any) -> Any:
    if not hasattr(on_function, "table"):
        on_function.table = torch.arange(n, device=device) / n  # type: ignore[attr-defined]
    return on_function.table  # type: ignore[attr-defined]


class NoTruth:
    def __bool__(self) -> bool:
        raise TypeError("neither true nor false")


class LengthZero:
    def __len__(self) -> int:
        return 0


class Slotted(nn.Module):
    __slots__ = ("count",)


class Raising:
    @property
    def trouble(self) -> Any:
        raise RuntimeError("a property that raises")


class Parent(nn.Module):
    """Copies itself in a way of its own."""

    def __deepcopy__(self, memo: Any) -> Any:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin


BASES: dict[str, type] = {
    "no truth": NoTruth,
    "length zero": LengthZero,
    "slots": Slotted,
    "raising property": Raising,
    "own copy": Parent,
}


# ---- parts: how a module gets one, and what forward does with it


def add_frozen(net: Any) -> None:
    net.config = Frozen(a=1)


def run_frozen(net: Any, x: Any) -> Any:
    return x * dict.__getitem__(net.config, "a")


def add_counting(net: Any) -> None:
    net.counting = Counting(a=1)


def run_counting(net: Any, x: Any) -> Any:
    net.counting["b"] = x
    net.counting["a"] = 2
    return x


def add_own_list(net: Any) -> None:
    net.own_list = OwnList([1])


def run_own_list(net: Any, x: Any) -> Any:
    net.own_list.append(x)
    return x


def add_own_set(net: Any) -> None:
    net.own_set = OwnSet({1, 2})


def run_own_set(net: Any, x: Any) -> Any:
    net.own_set.add(3)
    net.own_set.discard(1)
    return x


def add_ordered(net: Any) -> None:
    net.ordered = OrderedDict(a=1, b=2, c=3)
    net.default = defaultdict(list, a=[1])
    net.queue = deque([1, 2], maxlen=3)


def run_ordered(net: Any, x: Any) -> Any:
    net.ordered.move_to_end("a")
    net.ordered["d"] = x
    net.default["b"].append(x)
    net.default["a"].append(1)
    net.queue.append(x)
    net.queue.append(x)
    return x


def add_deep(net: Any) -> None:
    net.deep = {"a": [{"b": SimpleNamespace(count=0, values=[])}], "t": (torch.zeros(8), [1])}


def run_deep(net: Any, x: Any) -> Any:
    inner = net.deep["a"][0]["b"]
    inner.count += 1
    inner.values.append(x)
    inner.new = x
    net.deep["t"][0].add_(1)
    net.deep["t"][1].append(x)
    return x


def add_shared(net: Any) -> None:
    net.shared = Shared()


def run_shared(net: Any, x: Any) -> Any:
    net.shared.steps += 1
    net.shared.last = x
    return x


def add_slots(net: Any) -> None:
    net.count = 0


def run_slots(net: Any, x: Any) -> Any:
    net.count = net.count + 1
    return x


def add_lock(net: Any) -> None:
    net.lock, net.locked = threading.Lock(), 0


def run_lock(net: Any, x: Any) -> Any:
    with net.lock:
        net.locked += 1
        net.latest = x
    return x


def add_buffers(net: Any) -> None:
    net.norm = nn.BatchNorm1d(8)
    net.register_buffer("steps", torch.zeros(()))
    net.constant = torch.arange(8.0)


def run_buffers(net: Any, x: Any) -> Any:
    net.steps += 1
    net.constant.mul_(1.5)
    net.constant = net.constant + 1
    return net.norm(x) + net.constant


def add_lazy(net: Any) -> None:
    net.lazy = nn.LazyLinear(8)


def run_lazy(net: Any, x: Any) -> Any:
    return net.lazy(x)


def add_parametrised(net: Any) -> None:
    net.doubled = nn.Linear(8, 8)
    parametrize.register_parametrization(net.doubled, "weight", Doubled())


def run_parametrised(net: Any, x: Any) -> Any:
    return net.doubled(x)


def add_weight_norm(net: Any) -> None:
    net.normed = parametrizations.weight_norm(nn.Linear(8, 8))


def run_weight_norm(net: Any, x: Any) -> Any:
    return net.normed(x)


def add_old_weight_norm(net: Any) -> None:
    net.old_normed = weight_norm(nn.Linear(8, 8))


def run_old_weight_norm(net: Any, x: Any) -> Any:
    return net.old_normed(x)


def add_tied(net: Any) -> None:
    net.one, net.two = nn.Linear(8, 8), nn.Linear(8, 8)
    net.two.weight = net.one.weight
    net.one.weight.note = ["an attribute of a parameter"]


def run_tied(net: Any, x: Any) -> Any:
    net.one.weight.note.append(1)
    return net.two(net.one(x))


def add_hooks(net: Any) -> None:
    net.hooked, net.calls = nn.Linear(8, 8), []

    def hook(module: Any, args: Any, output: Any) -> None:
        module.seen = getattr(module, "seen", 0) + 1
        module.output = output

    net.hooked.register_forward_hook(hook)
    net.hooked.register_forward_pre_hook(Hook())


class Hook:
    """A hook with a memory."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def __call__(self, module: Any, args: Any) -> None:
        self.inputs.append(args)


def run_hooks(net: Any, x: Any) -> Any:
    net.hooked.register_forward_hook(lambda *_: None)  # forward adds one, each time
    return net.hooked(x)


def add_randomness(net: Any) -> None:
    net.generator, net.dice = torch.Generator(), random.Random(3)
    net.array = numpy.arange(4.0)


def run_randomness(net: Any, x: Any) -> Any:
    torch.rand(2), random.random(), numpy.random.rand(), net.dice.random()
    torch.rand(2, generator=net.generator)
    net.array += 1
    return x


def add_flags(net: Any) -> None:
    net.flagged = nn.Linear(8, 8)


def run_flags(net: Any, x: Any) -> Any:
    y = net.flagged(x)
    net.flagged.train(not net.flagged.training)
    net.flagged.weight.requires_grad_(False)
    net.flagged.added = nn.Identity()
    return y


def add_rotary(net: Any) -> None:
    net.length, net.table = 0, None


def run_rotary(net: Any, x: Any) -> Any:
    if net.length < 8:
        net.length, net.table = 8, torch.arange(8, device=x.device) / 8
    return x * net.table


def add_closure(net: Any) -> None:
    net.inner = nn.Linear(8, 8)
    layer = net.inner
    net.call = lambda x: layer(x)


def run_closure(net: Any, x: Any) -> Any:
    net.called = True
    return net.call(x)


def add_compiled(net: Any) -> None:
    net.compiled = torch.compile(nn.Linear(8, 8))


def run_compiled(net: Any, x: Any) -> Any:
    return net.compiled(x)


def add_gradients(net: Any) -> None:
    net.graded = nn.Linear(8, 8)
    net.graded.weight.grad = torch.ones(8, 8)


def run_gradients(net: Any, x: Any) -> Any:
    return net.graded(x)


# ---- what a model keeps outside itself


def run_lru_cache(net: Any, x: Any) -> Any:
    return x * positions(4, x.device) + pair(8)["cos"]


def run_dictionary(net: Any, x: Any) -> Any:
    if 8 not in TABLES:
        TABLES[8] = torch.arange(8, device=x.device)
    return x * TABLES[8] + NESTED["tables"].setdefault(8, {"t": torch.ones(8)})["t"]


def run_replaced(net: Any, x: Any) -> Any:
    if FILLED["own"].device != x.device:
        FILLED["own"] = torch.ones(8, device=x.device)
    FILLED["step"] = x.sum()
    return x * FILLED["own"]


def run_global(net: Any, x: Any) -> Any:
    global LENGTH, TABLE
    if LENGTH < 8:
        LENGTH, TABLE = 8, torch.arange(8, device=x.device) / 8
    return x + TABLE


def run_class_attribute(net: Any, x: Any) -> Any:
    kind = type(net)
    if getattr(kind, "cached", None) is None:
        kind.cached = torch.arange(8, device=x.device) / 8
    return x + kind.cached


def run_registry(net: Any, x: Any) -> Any:
    if REGISTRY.last is None:
        REGISTRY.last = torch.arange(8, device=x.device) / 8
    REGISTRY.seen.append((net, x))
    ROWS.append([x])
    ORDER.append(8)
    return x + REGISTRY.last


def run_memoised(net: Any, x: Any) -> Any:
    return x * remembered(8, x.device) + kept_in_closure(8, x.device)


def run_function(net: Any, x: Any) -> Any:
    return x + in_default(8, x.device) * on_function(8, x.device)


def names() -> list[str]:
    """Every part."""
    return [
        name.removeprefix("run_").replace("_", " ") for name in globals() if name.startswith("run_")
    ] + [name for name in BASES if name != "slots"]


def make(parts: list[str]) -> nn.Module:
    """A module of these parts."""
    bases = [BASES[part] for part in parts if part in BASES]
    modules = [base for base in bases if issubclass(base, nn.Module)] or [nn.Module]
    others = [base for base in bases if not issubclass(base, nn.Module)]
    steps = [
        globals()[f"run_{p.replace(' ', '_')}"]
        for p in parts
        if f"run_{p.replace(' ', '_')}" in globals()
    ]

    def forward(self: Any, x: torch.Tensor, fail: bool = False) -> torch.Tensor:
        x = self.layer(x)
        for step in steps:
            x = step(self, x)
        if fail:
            raise ValueError("as asked")
        return x

    def init(self: Any) -> None:
        nn.Module.__init__(self)
        self.layer = nn.Linear(8, 8)
        for part in parts:
            add = globals().get(f"add_{part.replace(' ', '_')}")
            if add is not None:
                add(self)

    names_of_class = {"__module__": __name__, "__init__": init, "forward": forward}
    made: nn.Module = type("Net", (*others, *modules), names_of_class)()
    return made
