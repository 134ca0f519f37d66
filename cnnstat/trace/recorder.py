"""Records every operation that runs, under the module that runs it.

One recorder serves every engine: what an operation returns is left to the meta device, to the fake
tensors below, or to the CPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode

from cnnstat.record import OpCall, Storage, TensorSpec, tensors_in
from cnnstat.trace.meta import MetaDevice, NeedsValues, OpFacts, facts_of
from cnnstat.trace.modules import SPARSE, ModuleStack, is_lazy
from cnnstat.trace.packed import with_geometry
from cnnstat.trace.types import Types

WHOLE = frozenset(
    f"aten.{name}"
    for name in """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
        alpha_dropout alpha_dropout_ batch_norm bilinear conv1d conv2d conv3d conv_transpose1d
        conv_transpose2d conv_transpose3d dropout dropout_ embedding_bag feature_alpha_dropout
        feature_alpha_dropout_ feature_dropout_ feature_dropout group_norm gru instance_norm
        layer_norm linalg_eigvals linalg_eigvalsh linalg_svdvals linear log_softmax lstm matmul
        max_pool1d max_pool2d max_pool3d rms_norm rnn_relu rnn_tanh scaled_dot_product_attention
        softmax upsample_bicubic2d _upsample_bicubic2d_aa upsample_bilinear2d
        _upsample_bilinear2d_aa upsample_linear1d upsample_nearest1d upsample_nearest2d
        upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
        _upsample_nearest_exact3d upsample_trilinear3d
    """.split()
)
"""Composite operations that are recorded as they were called; all others as what they are made of."""

_DROPOUT = frozenset(op for op in WHOLE if "dropout" in op)

_JUST_MADE = frozenset({"aten.lift", "aten.lift_fresh", "aten.lift_fresh_copy"})
"""What `torch.tensor` hands its result to: nobody saw it being made."""


class Recorder(TorchDispatchMode):
    """The operations that run while the mode is on.

    `whole=True` (with autograd off) records composite operations such as linear, matmul and attention
    as they were called; with autograd on, torch has taken them apart before a mode can see them.
    """

    def __init__(self, *, meta: bool, whole: bool) -> None:
        super().__init__()
        self.ops: list[OpCall] = []
        self.storages: dict[int, Storage] = {}
        self.modules: ModuleStack | None = None
        self.phase = "forward"
        self.scope_of_gradient: Callable[[], str] = str
        self.layouts = False
        self._meta = MetaDevice() if meta else None
        self._whole = whole
        self._types = Types()
        self._wanted = ""
        self._refused: Exception | None = None
        self._ids: dict[int, int] = {}
        self._refs: dict[int, Any] = {}

    # ---- tensors and storages

    def describe(self, tensor: torch.Tensor) -> TensorSpec:
        """The tensor's shape and type, and the number of its storage."""
        dtype, itemsize = _dtype(tensor.dtype)
        if is_lazy(tensor):
            return TensorSpec((0,), dtype, itemsize)
        if tensor.layout is torch.jagged:  # one of its sizes is no number
            shape = tuple(size if type(size) is int else -1 for size in tensor.shape)
            return TensorSpec(shape, dtype, itemsize)
        if tensor.layout in SPARSE:
            return TensorSpec(tuple(tensor.shape), dtype, itemsize, nonzeros=self._held(tensor))
        last = self.layouts and tensor.dim() == 4 and not tensor.is_contiguous()
        last = last and tensor.is_contiguous(memory_format=torch.channels_last)
        return TensorSpec(tuple(tensor.shape), dtype, itemsize, self._storage(tensor), last)

    def _held(self, tensor: torch.Tensor) -> int:
        """Elements that a sparse tensor holds; -1 where it has no values."""
        if tensor.is_meta or isinstance(tensor, FakeTensor):
            self._wanted = self._wanted or "how many elements of a sparse tensor are not zero"
            return -1
        with unset_fake_temporarily():
            coordinates = tensor.layout is torch.sparse_coo
            return int((tensor._values() if coordinates else tensor.values()).numel())

    def _storage(self, tensor: torch.Tensor) -> int:
        try:
            storage = tensor.untyped_storage()
        except NotImplementedError:  # sparse and opaque tensors have none
            return -1
        key = storage._cdata
        number = self._ids.get(key)
        if number is None:
            number = len(self.storages)
            self._ids[key] = number
            self.storages[number] = Storage(number, storage.nbytes(), len(self.ops))
            self._refs[number] = weakref.ref(storage, self._death_of(key, number))
        return number

    def _death_of(self, key: int, number: int) -> Callable[[Any], None]:
        # Bound to the dictionaries, not to the recorder: a tensor may outlive it.
        ids, storages, ops = self._ids, self.storages, self.ops

        def died(_: Any) -> None:
            if ids.get(key) == number:
                del ids[key]
            known = storages[number]
            storages[number] = Storage(number, known.nbytes, known.born, len(ops), known.role)

        return died

    def existing(self, tensors: Any, role: str) -> tuple[TensorSpec, ...]:
        """Describe tensors that were there before anything ran. Who has a role keeps it."""
        specs = tuple(map(self.describe, tensors))
        for spec in specs:
            if spec.storage >= 0:
                known = self.storages[spec.storage]
                self.storages[spec.storage] = replace(known, born=-1, role=known.role or role)
        return specs

    def packed(self, tensors: Iterable[torch.Tensor]) -> None:
        """Say that these weights are held in objects of the kernels' own, in no storage of torch's."""
        for tensor in tensors:
            number = len(self.storages)
            nbytes = tensor.numel() * tensor.dtype.itemsize
            self.storages[number] = Storage(number, nbytes, -1, role="weight")

    def _there_before(self, numbers: Iterable[int]) -> None:
        """What forward reads and nothing made: a tensor that is a plain attribute, say."""
        for number in numbers:
            self.storages[number] = replace(self.storages[number], born=-1, role="constant")

    def absent(self, tensors: Any) -> None:
        """Say that these tensors, described as there before, are not there after all."""
        for spec in map(self.describe, tensors):
            if spec.storage >= 0:
                self.storages[spec.storage] = replace(self.storages[spec.storage], nbytes=0)

    def gradients(self, tensors: Any) -> None:
        """Say that these tensors, made on the way, are gradients of weights."""
        for spec in map(self.describe, tensors):
            if spec.storage >= 0:
                known = self.storages[spec.storage]
                self.storages[spec.storage] = replace(known, role="gradient")

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether it lies in memory that was described, unless that is gone since."""
        try:
            return tensor.untyped_storage()._cdata in self._ids
        except (NotImplementedError, RuntimeError):
            return False

    def close(self) -> None:
        """Stop watching storages: what dies from now on was alive at the end of the record."""
        self._refs.clear()

    # ---- operations

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled while the mode is on, and torch's wrapper would cost at each call.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return self._higher_order(func, args, kwargs)
        if func.namespace == "prim":  # questions such as prim.device: not the dispatcher's
            return func(*args, **kwargs)
        facts = facts_of(func)
        if self._whole and facts.composite and facts.name not in WHOLE:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        # Described first: an in-place operation may change its arguments.
        known = len(self.storages)
        described = self._arguments(facts, args, kwargs)
        if self.phase == "forward" and facts.name not in _JUST_MADE:
            self._there_before(range(known, len(self.storages)))
        if facts.name in _DROPOUT and not args[2]:
            result = args[0]  # not in training: its input itself, which its schema does not say
        else:
            result = self._compute(func, facts, args, kwargs)
        if self.layouts and facts.views and args and isinstance(args[0], torch.Tensor):
            self._share(args[0], result)
        # In place: the argument itself, of which fake tensors may return another.
        self._append(facts, described, args[0] if facts.mutates == (0,) else result)
        return result

    def _higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operator over functions (flex_attention, cond): what it runs inside is not seen."""
        facts = OpFacts(f"higher_order.{func.name()}", "default", (), False, (), None, False, False)
        described = {f"{place}": self._plain(value) for place, value in enumerate(args)}
        result = func(*args, **kwargs)
        self._append(facts, described, result)
        return result

    def _compute(self, func: Any, facts: OpFacts, args: Any, kwargs: Any) -> Any:
        try:
            # Of a forward alone: its gradients have the types that it had.
            if self.phase == "forward":
                self._refused = self._types.refusal(func, facts, args, kwargs)
                if self._refused is not None:
                    raise self._refused
            if self._meta is not None:
                return self._meta.run(func, facts, args, kwargs)
            return func(*args, **kwargs)
        except (NeedsValues, DataDependentOutputException, DynamicOutputShapeException) as error:
            self._wanted = self._wanted or str(error)  # fake tensors have no values
            raise

    @property
    def wanted(self) -> str:
        """What value was asked for and not to be had; the model's own code may have caught that."""
        return self._wanted or (self._meta.wanted if self._meta is not None else "")

    @property
    def refused(self) -> Exception | None:
        """What a CPU said where it has no kernel for such types."""
        return self._refused or (self._meta.refused if self._meta is not None else None)

    def _arguments(self, facts: OpFacts, args: Any, kwargs: Any) -> dict[str, Any]:
        described = dict(zip(facts.arg_names, map(self._plain, args), strict=False))
        for name, value in kwargs.items():
            described[name] = self._plain(value)
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.ScriptObject):
                described = with_geometry(facts.name, described, value)
        return described

    def _plain(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.describe(value)
        if value is None or isinstance(value, bool | int | float | str | complex):
            return value
        if isinstance(value, list | tuple):
            return tuple(map(self._plain, value))
        if isinstance(value, torch.dtype):
            return _dtype(value)[0]
        if isinstance(value, torch.ScriptObject) and hasattr(value, "unpack"):
            return self._unpacked(value.unpack())
        return str(value)

    def _unpacked(self, value: Any) -> Any:
        """Packed weights of quantised layers, in no storage: they are unpacked to be looked at alone."""
        if isinstance(value, torch.Tensor):
            return TensorSpec(tuple(value.shape), *_dtype(value.dtype))
        return tuple(map(self._unpacked, value)) if isinstance(value, tuple) else self._plain(value)

    def _share(self, base: Any, views: Any) -> None:
        """Give views the number of what they are views of.

        A view that fake tensors make of a real one (a small buffer that kept its values) lies in a storage
        of its own, where on a CPU there is one.
        """
        number = self._ids.get(base.untyped_storage()._cdata)
        for view in views if isinstance(views, list | tuple) else (views,):
            storage = view.untyped_storage()
            key = storage._cdata
            if number is not None and key not in self._ids:
                self._ids[key] = number
                self._refs[-key] = weakref.ref(storage, self._forgetting(key))

    def _forgetting(self, key: int) -> Callable[[Any], None]:
        ids = self._ids

        def forget(_: Any) -> None:
            ids.pop(key, None)

        return forget

    def _append(self, facts: OpFacts, described: dict[str, Any], result: Any) -> None:
        if isinstance(result, torch.Tensor):
            outputs: tuple[TensorSpec, ...] = (self.describe(result),)
        elif isinstance(result, list | tuple):
            outputs = tuple(
                self.describe(item)
                for value in result
                for item in (value if isinstance(value, list | tuple) else (value,))
                if isinstance(item, torch.Tensor)
            )
        else:
            outputs = ()
        # Backward runs modules too: a checkpoint's, again.
        stack = self.modules
        if stack is not None and (self.phase == "forward" or stack.running):
            scope, call = stack.scope, stack.call
            if self.phase == "forward":
                scope = stack.layer_of(tensors_in(tuple(described.values())), outputs)
        else:
            scope, call = self.scope_of_gradient(), 0
        self.ops.append(
            OpCall(
                index=len(self.ops),
                op=facts.name,
                scope=scope,
                args=MappingProxyType(described),
                outputs=outputs,
                overload=facts.overload,
                call=call,
                phase=self.phase,
            )
        )


_DTYPES: dict[torch.dtype, tuple[str, int]] = {}


def _dtype(dtype: torch.dtype) -> tuple[str, int]:
    known = _DTYPES.get(dtype)
    if known is None:
        known = _DTYPES[dtype] = (str(dtype).removeprefix("torch."), dtype.itemsize)
    return known
