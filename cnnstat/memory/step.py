"""What a step of inference or training does, as a user's own loop runs it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cnnstat.errors import SpecError
from cnnstat.queries import arguments

AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}
"""What `amp` may be, and torch's name for it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step whose memory is watched."""

    optimizer: str = ""
    """Name of an optimizer of torch, in any case; `""`: inference, without gradients."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the optimizer: `{"momentum": 0.9}`."""
    amp: str = ""
    """torch's name of the type to which autocast lowers what it lowers; `""`: no autocast."""
    foreach: bool = False
    """Whether the optimizer updates all weights at once, as it does on CUDA; on a CPU, one by one."""

    @classmethod
    def of(cls, optimizer: str = "", amp: str = "", foreach: bool = False) -> Self:
        """From texts as on the command line: `"sgd?momentum=0.9"`, `"bf16"`. Raises `SpecError`."""
        if not isinstance(optimizer, str):
            raise SpecError(
                f"optimizer {optimizer!r} is no text", hint="such as 'sgd?momentum=0.9' or 'adamw'"
            )
        name, mark, query = optimizer.strip().partition("?")
        given = f"optimizer {optimizer!r}"
        options = arguments(query, given, "sgd?momentum=0.9&nesterov=true") if mark else {}
        if (optimizer or mark) and not name:
            raise SpecError(f"{given} has no name", hint="such as sgd?momentum=0.9 or adamw")
        if amp and (not isinstance(amp, str) or amp not in {*AUTOCAST, *AUTOCAST.values()}):
            raise SpecError(f"cannot autocast to {amp!r}", hint=f"one of: {', '.join(AUTOCAST)}")
        return cls(name.lower(), options, AUTOCAST.get(amp, amp), foreach)

    @property
    def trains(self) -> bool:
        """Whether it has a backward pass and an update."""
        return bool(self.optimizer)

    def __str__(self) -> str:
        """`adamw(lr=0.1), autocast to bfloat16`."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        words = [f"{self.optimizer}({options})" if options else self.optimizer or "inference"]
        return ", ".join(words + [f"autocast to {self.amp}"] * bool(self.amp))
