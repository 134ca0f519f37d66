"""Modules made at random of parts (`parts.py`), each part alone and with others, come back as they were.

What is compared is found by a walk of this file's own: identities, classes, `__dict__` with its order,
contents of containers, values, gradients and flags of tensors, and the globals of the file that made the
module. Then the module runs beside one that was made alike and never analysed.
"""

from __future__ import annotations

import gc
import importlib.util
import itertools
import random
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin

import cnnstat
from cnnstat.errors import CnnstatError
from tests.trace import parts as PARTS

ALONE = 10
"""Modules of each part alone, and at least as many with others."""

OPERATIONS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "analyze": cnnstat.analyze,
    "estimate_memory": cnnstat.estimate_memory,
    "crosscheck": cnnstat.crosscheck,
}
WAYS = list(itertools.product(OPERATIONS, (False, True)))
_numbers = itertools.count()


@pytest.fixture(autouse=True, scope="module")
def fresh_heap() -> Iterator[None]:
    """Nothing that earlier tests have left is looked through for what a pass has left, once a module."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="module")
def one_process() -> Iterator[None]:
    """What DDP and FSDP exchange their weights with: nobody."""
    distributed = torch.distributed
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def ddp(module: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(module)


def fsdp1(module: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(module, device_id=torch.device("cpu"))


def fsdp1_original_parameters(module: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    device = torch.device("cpu")
    return FullyShardedDataParallel(module, device_id=device, use_orig_params=True)


def fsdp2(module: nn.Module) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    fully_shard(module, mesh=init_device_mesh("cpu", (1,)))
    return module


def compiled_whole(module: nn.Module) -> nn.Module:
    return torch.compile(module)  # type: ignore[return-value]


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    wrap.__name__: wrap for wrap in (ddp, fsdp1, fsdp1_original_parameters, fsdp2, compiled_whole)
}
NAMES = [*PARTS.names(), *WRAPPERS]
LAYERS = Counter(
    "lazy,parametrised,weight norm,old weight norm,tied,tied,hooks,flags,closure,compiled,gradients".split(
        ","
    )
)
"""Linear layers of 8×8 that a part brings."""


def made(names: list[str], seed: int) -> tuple[nn.Module, types.ModuleType]:
    """A module of these parts, and the file that made it, loaded for it alone."""
    spec = importlib.util.spec_from_file_location(f"parts_{next(_numbers)}", PARTS.__file__)
    assert spec is not None and spec.loader is not None
    file = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = file
    spec.loader.exec_module(file)
    torch.manual_seed(seed)
    module: nn.Module = file.make([name for name in names if name not in WRAPPERS])
    for name in names:
        if name in WRAPPERS:
            module = WRAPPERS[name](module)
    return module, file


# ---- what there is


def state(value: Any, seen: dict[int, Any]) -> Any:
    """Everything that an object is and refers to, as plain values and identities."""
    kind = type(value)
    if kind in (int, float, str, bytes, bool, type(None), torch.Size, torch.dtype, torch.device):
        return value
    if kind is types.ModuleType or id(value) in seen:
        return "seen", id(value)
    seen[id(value)] = value
    found: list[Any] = [id(value), id(kind)]
    mro = kind.__mro__
    if torch.Tensor in mro:
        found.append(of_tensor(value, seen))
    elif kind.__module__ == "numpy":
        found.append(value.tobytes() if kind.__name__ == "ndarray" else repr(value))
    elif random.Random in mro and random.SystemRandom not in mro:
        found.append(repr(value.getstate()))
    elif kind is torch.Generator:
        found.append(value.get_state().numpy().tobytes())
    elif kind is types.FunctionType:
        cells = list(map(cell_value, value.__closure__ or ()))
        found += [state(part, seen) for part in (*cells, value.__defaults__, value.__dict__)]
    elif type in mro:
        found += [
            (name, state(part, seen))
            for name, part in vars(value).items()
            # Python notes the names of slots in a class when it first copies an object of it.
            if name not in ("__dict__", "__weakref__", "__doc__", "__slotnames__")
        ]
        return found
    elif kind.__name__ == "_lru_cache_wrapper":
        return value.cache_info().currsize
    for base, items in ITEMS.items():
        if base in mro:
            found.append([[state(part, seen) for part in item] for item in items(value)])
            break
    if type(getattr_static(value, "__dict__")) is dict:
        attributes = getattr_static(value, "__dict__")
        found.append([(name, state(part, seen)) for name, part in attributes.items()])
    if hasattr(kind, "count") and isinstance(kind.count, types.MemberDescriptorType):
        found.append(kind.count.__get__(value))
    return found


def singly(base: Any) -> Any:
    return lambda value: [(item,) for item in base.__iter__(value)]


ITEMS: dict[type, Any] = {
    PARTS.OrderedDict: PARTS.OrderedDict.items,
    dict: dict.items,
    list: singly(list),
    tuple: singly(tuple),
    set: lambda value: [sorted(map(id, set.__iter__(value)))],
    PARTS.deque: singly(PARTS.deque),
}


def cell_value(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "empty"


def getattr_static(value: Any, name: str) -> Any:
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None


def of_tensor(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, UninitializedTensorMixin):
        return "lazy"
    if value.is_meta or type(value).__name__ == "FakeTensor":
        return f"left of the pass: {value.shape}"
    if type(value).__name__ == "DTensor":
        value = value._local_tensor
    leaf, detached = value.is_leaf, value.detach()
    gradient = state(value.grad, seen) if leaf else None
    memory = value.untyped_storage().data_ptr(), value.storage_offset(), tuple(value.stride())
    shape, dtype = tuple(value.shape), str(value.dtype)
    return shape, dtype, memory, value.requires_grad, leaf, gradient, detached.tolist()


def everything(module: nn.Module, file: types.ModuleType) -> Any:
    """The module, the file's globals, and what is random or global in torch."""
    seen: dict[int, Any] = {}
    names = [(name, value) for name, value in vars(file).items() if not name.startswith("__")]
    own = [
        (name, state(value, seen))
        for name, value in names
        if not isinstance(value, types.ModuleType)
    ]
    return [
        state(module, seen),
        own,
        torch.get_rng_state().numpy().tobytes(),
        repr(random.getstate()),
        numpy.random.get_state()[1].tobytes(),
        torch.is_grad_enabled(),
        torch._C._len_torch_dispatch_stack(),
    ]


def difference(one: Any, two: Any, where: str = "") -> str:
    """Where two states first differ; `""`: nowhere."""
    if isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        for place, (left, right) in enumerate(zip(one, two, strict=True)):
            name = left[0] if isinstance(left, tuple) and left and type(left[0]) is str else place
            if found := difference(left, right, f"{where}/{name}"):
                return found
        return ""
    return "" if type(one) is type(two) and one == two else f"{where}: {one!r:.300} is {two!r:.300}"


def outcome(module: nn.Module) -> Any:
    """What a step of the module computes; it runs and trains."""
    torch.manual_seed(5)
    random.seed(5)
    numpy.random.seed(5)
    with torch.compiler.set_stance("force_eager"):  # the compiler cannot do with some parts
        output = module(torch.rand(4, 8))
        output.sum().backward()
    gradients = {
        name: None if p.grad is None else getattr(p.grad, "_local_tensor", p.grad).tolist()
        for name, p in module.named_parameters()
    }
    return output.tolist(), gradients


def check(names: list[str], seed: int) -> None:
    """Analyse one module in one way, and see that nothing happened to it."""
    operation, fail = WAYS[seed % len(WAYS)]
    module, file = made(names, seed)
    like, _ = made(names, seed)
    before = everything(module, file)
    result = None
    try:
        result = OPERATIONS[operation](module, {"x": (4, 8), "fail": fail})
    except CnnstatError as error:
        assert fail and "as asked" in str(error), f"{operation} of {names}: {error}"
    assert difference(before, everything(module, file)) == "", (operation, fail, names)
    if operation == "analyze" and not fail:
        assert result.totals.macs == 4 * 8 * 8 * (1 + sum(LAYERS[name] for name in names))
        assert not [note for note in result.notes if note.kind == "left"]
    assert difference(outcome(like), outcome(module)) == "", (operation, fail, names)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_a_part_alone(name: str) -> None:
    for seed in range(ALONE):
        check([name], seed)


def combinations() -> list[list[str]]:
    """Groups of four parts, every part ten times; five groups of each round are wrapped."""
    dice, found = random.Random(11), []
    inner = [name for name in NAMES if name not in WRAPPERS]
    for _ in range(ALONE):
        groups = [["own copy", "slots"]]
        while any(
            {"own copy", "slots"} <= set(group) for group in groups
        ):  # one class cannot be both
            dice.shuffle(inner)
            groups = [inner[start : start + 4] for start in range(0, len(inner), 4)]
        # Wrappers refuse lazy modules; FSDP loses the attributes of parameters, and that they are leaves.
        whole = [group for group in groups if not {"lazy", "tied", "flags"} & set(group)]
        for group, wrapper in zip(whole, WRAPPERS, strict=False):
            group.append(wrapper)
        found += groups
    return found


COMBINED = combinations()


def test_each_part_is_tried_often_enough() -> None:
    counts = Counter(itertools.chain.from_iterable(COMBINED))
    assert all(counts[name] >= 10 for name in NAMES) and ALONE >= 10
    assert ALONE * len(NAMES) + len(COMBINED) >= 300
    assert all(len(names) >= 2 for names in COMBINED)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", range(8))
def test_parts_together(place: int) -> None:
    for seed, names in list(enumerate(COMBINED))[place::8]:
        check(names, seed + seed // 6)
