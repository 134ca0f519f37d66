"""What a network is fed: shapes and dtypes, nested as its forward takes them; no torch here.

>>> parse_input("ids=1x128:int64")
InputSpec(shape=(1, 128), dtype='int64', name='ids')
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cnnstat.errors import InputError

DTYPES = (
    "float32",
    "float16",
    "bfloat16",
    "float64",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    "complex128",
    "uint16",
    "uint32",
    "uint64",
    "float8_e4m3fn",
    "float8_e5m2",
)
"""The dtypes that an input may have."""

ALIASES = {
    "float": "float32",
    "fp32": "float32",
    "f32": "float32",
    "half": "float16",
    "fp16": "float16",
    "f16": "float16",
    "bf16": "bfloat16",
    "double": "float64",
    "fp64": "float64",
    "f64": "float64",
    "long": "int64",
    "i64": "int64",
    "int": "int32",
    "i32": "int32",
    "short": "int16",
    "i16": "int16",
    "i8": "int8",
    "byte": "uint8",
    "u8": "uint8",
    "cfloat": "complex64",
}
"""Other names for them, torch's own among these."""

EXPECTED = "expected SIZES, NAME=SIZES or NAME=SIZES:DTYPE, such as 1x3x224x224 or ids=1x128:int64"

_TEXT = re.compile(r"(?:(?P<name>[^=:]*)=)?(?P<sizes>[^=:]*)(?::(?P<dtype>[^=:]*))?")
_SIZES = re.compile(r"\d{1,18}(?:\s*[x,×*]\s*\d{1,18})*,?", re.ASCII | re.IGNORECASE)
_LOOKS_LIKE_SIZES = re.compile(r"\d+(?:[x×]\d+)+(?::\w+)?", re.ASCII | re.IGNORECASE)

# torch addresses elements and bytes with signed 64-bit integers.
_MOST_ELEMENTS = 2**63 // 16


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One tensor to feed."""

    shape: tuple[int, ...]
    """Sizes, outermost first; the first is the batch."""
    dtype: str = ""
    """One of `DTYPES`, or an alias of one; `""`: the floating type of the network's parameters."""
    name: str = ""
    """Keyword of the forward that takes it; `""`: by position."""
    assumed: bool = field(default=False, compare=False, repr=False)
    """Whether only the shape was given; `dtype` is float32 then until the network is known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        if not self.dtype:
            object.__setattr__(self, "assumed", True)
        object.__setattr__(self, "dtype", _dtype(self.dtype or "float32"))
        if any(size < 0 for size in self.shape):
            raise InputError(f"input {self}: a size is negative; {EXPECTED}")
        if math.prod(self.shape) > _MOST_ELEMENTS:
            raise InputError(f"input {self}: more elements than a tensor can have")

    def __str__(self) -> str:
        text = "x".join(map(str, self.shape)) or "scalar"
        if self.dtype != "float32":
            text += f":{self.dtype}"
        return f"{self.name}={text}" if self.name else text

    @property
    def full(self) -> str:
        """With its type, also where that is float32."""
        return str(self) if self.dtype != "float32" else f"{self}:float32"


def parse_input(text: str) -> InputSpec:
    """The input that `text` describes: `1x3x224x224`, `ids=1x128:int64`, `1,3,224,224`.

    Raises `InputError`. A size of 0 is refused here, where it can only be a slip.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise InputError(f"input {text!r} cannot be read; {EXPECTED}")
    name, sizes, dtype = (part and part.strip() for part in match.group("name", "sizes", "dtype"))
    if not _SIZES.fullmatch(sizes or ""):
        raise InputError(f"input {text!r}: {sizes!r} are no sizes; {EXPECTED}")
    if name is not None and not name.isidentifier():
        raise InputError(f"input {text!r}: {name!r} is no argument name; {EXPECTED}")
    if dtype == "":
        raise InputError(f"input {text!r}: no dtype after the colon; {EXPECTED}")
    shape = tuple(map(int, re.findall(r"\d+", sizes)))
    if 0 in shape:
        raise InputError(f"input {text!r}: sizes start at 1; {EXPECTED}")
    return InputSpec(shape, dtype or "", name or "")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The arguments of one forward.

    Tuples, lists and dictionaries, nested in any way, whose leaves are `InputSpec`s, real tensors,
    or plain values that are handed on as they are.
    """

    args: tuple[Any, ...] = ()
    """Arguments by position."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments by keyword."""
    listed: bool = False
    """Whether the images come as a list without a batch dimension (torchvision's detectors).

    A larger batch is then a longer list."""

    @classmethod
    def parse(cls, texts: Iterable[str | InputSpec]) -> Inputs:
        """The arguments that texts (or specs) describe, those without a name by position."""
        args: list[InputSpec] = []
        kwargs: dict[str, InputSpec] = {}
        for text in texts:
            spec = parse_input(text) if isinstance(text, str) else text
            if not spec.name:
                args.append(spec)
            elif spec.name in kwargs:
                raise InputError(
                    f"input {spec.name!r} is given twice: {kwargs[spec.name]} and {spec}"
                )
            else:
                kwargs[spec.name] = spec
        return cls(tuple(args), kwargs)

    @classmethod
    def of(cls, value: Any) -> Inputs | None:
        """The arguments that a Python value stands for; `None` stands for the model's own.

        A shape (integers in a tuple or list), an `InputSpec`, a tensor or a text is one argument; a
        tuple or list of such is one argument each; a dictionary holds arguments by keyword. A list
        that is *itself* an argument goes into a tuple: `([(3, 800, 800)],)`.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, str | InputSpec):
            return cls.parse([value])
        if isinstance(value, Mapping):
            return cls(kwargs={str(name): _structure(item) for name, item in value.items()})
        if _is_leaf(value) or _is_shape(value):
            return cls((_structure(value),))
        if isinstance(value, tuple | list):
            if value and all(isinstance(item, str | InputSpec) for item in value):
                return cls.parse(value)
            return cls(tuple(_structure(item) for item in value))
        raise InputError(
            f"input {value!r} is {_article(type(value).__name__)}; "
            "expected a shape such as (1, 3, 224, 224), a tensor, or a tuple or dictionary of these"
        )

    @classmethod
    def declared_by(cls, model: Any) -> Inputs | None:
        """What a built model says that it takes; `None` where it does not say.

        Lightning's `example_input_array`, or timm's `pretrained_cfg`. Only shapes are taken.
        """
        example = getattr(model, "example_input_array", None)
        if example is not None:
            inputs = cls.of(example)
            return inputs and inputs.map(_shape_only)
        config = getattr(model, "pretrained_cfg", None)
        size = config.get("input_size") if isinstance(config, Mapping) else None
        return cls((InputSpec((1, *size)),)) if size else None

    def with_batch(self, batch: int) -> Inputs:
        """The same arguments for another batch size.

        Raises `InputError` where a real tensor was given: its batch size is what it is.
        """
        if batch < 1:
            raise InputError(f"batch {batch}: expected 1 or more")
        if self.listed:
            return self._map_lists(batch)

        def resize(leaf: Any) -> Any:
            if is_tensor(leaf):
                shape = "x".join(map(str, leaf.shape))
                raise InputError(
                    f"batch {batch}: the input is a tensor of {shape}, which keeps its batch size",
                    hint="give the shape in place of the tensor",
                )
            if isinstance(leaf, InputSpec) and leaf.shape:
                return replace(leaf, shape=(batch, *leaf.shape[1:]))
            return leaf

        return self.map(resize)

    def with_resolution(self, size: int) -> Inputs:
        """The same arguments with images of `size` by `size`: the last two of three sizes or more.

        Raises `InputError` where there is no image, or a real tensor was given.
        """
        if size < 1:
            raise InputError(f"resolution {size}: expected 1 or more")
        images = 0

        def resize(leaf: Any) -> Any:
            nonlocal images
            if len(getattr(leaf, "shape", ())) < 3:
                return leaf
            images += 1
            if is_tensor(leaf):
                shape = "x".join(map(str, leaf.shape))
                raise InputError(
                    f"resolution {size}: the input is a tensor of {shape}, which keeps its size",
                    hint="give the shape in place of the tensor",
                )
            return replace(leaf, shape=(*leaf.shape[:-2], size, size))

        resized = self.map(resize)
        if not images:
            raise InputError(
                f"resolution {size}: no input has a height and a width ({self})",
                hint="give the shape: -i 1x3x224x224",
            )
        return resized

    def map(self, change: Callable[[Any], Any]) -> Inputs:
        """The same structure with every leaf replaced by `change(leaf)`."""
        return replace(
            self,
            args=tuple(_map(change, item) for item in self.args),
            kwargs={name: _map(change, item) for name, item in self.kwargs.items()},
        )

    def typed(self, types: Sequence[str]) -> Inputs:
        """The same arguments, of the first of `types` where only a shape was given."""
        if not types or types[0] not in DTYPES:
            return self
        return self.map(lambda leaf: replace(leaf, dtype=types[0]) if _only_shape(leaf) else leaf)

    def of_type(self, dtype: str) -> Inputs:
        """The same arguments, for good of this type where only a shape was given."""

        def typed(leaf: Any) -> Any:
            return replace(leaf, dtype=dtype, assumed=False) if _only_shape(leaf) else leaf

        return self.map(typed)

    @property
    def untyped(self) -> bool:
        """Whether only the shape of some tensor was given."""
        return any(map(_only_shape, self.leaves))

    @property
    def leaves(self) -> tuple[Any, ...]:
        """All leaves, positional arguments first."""
        found: list[Any] = []
        self.map(found.append)
        return tuple(found)

    def specs(self) -> tuple[InputSpec, ...]:
        """Every tensor among the arguments as a specification, those by keyword with their name."""
        named = [("", item) for item in self.args] + list(self.kwargs.items())
        return tuple(
            InputSpec(tuple(leaf.shape), str(leaf.dtype), name)
            for name, item in named
            for leaf in Inputs((item,)).leaves
            if _is_leaf(leaf)
        )

    def entries(self) -> list[dict[str, Any]]:
        """The specifications as plain values, as documents carry them."""
        return [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype} for s in self.specs()]

    def _map_lists(self, batch: int) -> Inputs:
        def repeat(argument: Any) -> Any:
            return argument[:1] * batch if isinstance(argument, list) else argument

        kwargs = {name: repeat(item) for name, item in self.kwargs.items()}
        return replace(self, args=tuple(map(repeat, self.args)), kwargs=kwargs)

    def __str__(self) -> str:
        parts = [_text(item) for item in self.args]
        parts += [
            str(replace(item, name=name))
            if isinstance(item, InputSpec)
            else f"{name}={_text(item)}"
            for name, item in self.kwargs.items()
        ]
        return ", ".join(parts)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor or an array, told by its attributes: torch is not needed.

    Raises `InputError` for a nested tensor: one of its sizes is no number.
    """
    if getattr(value, "is_nested", False) is True:
        raise InputError(
            "the input is a nested tensor, whose samples have sizes of their own",
            hint="give it padded, or as the shape of its values, and nest it inside forward",
        )
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, InputSpec)


def _dtype(name: str) -> str:
    plain = str(name).removeprefix("torch.").strip().lower()
    dtype = ALIASES.get(plain, plain)
    if dtype not in DTYPES:
        raise InputError(f"dtype {name!r} is not known; expected one of {', '.join(DTYPES)}")
    return dtype


def _is_leaf(value: Any) -> bool:
    return isinstance(value, InputSpec) or is_tensor(value)


def _only_shape(value: Any) -> bool:
    return isinstance(value, InputSpec) and value.assumed


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) > 0
        and all(isinstance(size, int) and not isinstance(size, bool) for size in value)
    )


def _structure(value: Any) -> Any:
    if _is_leaf(value):
        return value
    if _is_shape(value):
        return InputSpec(tuple(value))
    if isinstance(value, str) and _LOOKS_LIKE_SIZES.fullmatch(value):
        return parse_input(value)
    if isinstance(value, Mapping):
        return {key: _structure(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_structure(item) for item in value]
    if type(value) is tuple:
        return tuple(_structure(item) for item in value)
    return value


def _map(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _map(change, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_map(change, item) for item in value]
    if type(value) is tuple:
        return tuple(_map(change, item) for item in value)
    return change(value)


def _shape_only(leaf: Any) -> Any:
    if not is_tensor(leaf) or str(getattr(leaf, "layout", "torch.strided")) != "torch.strided":
        return leaf  # what a sparse or a nested tensor holds is more than its shape
    return InputSpec(tuple(leaf.shape), str(leaf.dtype))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    if is_tensor(value):
        return str(InputSpec(tuple(value.shape), str(value.dtype)))
    return str(value)


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
