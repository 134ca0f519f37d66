"""Networks as their papers describe them, in plain torch.nn; the registry must not import torch.

A model is a function in a file of its family, with the paper, its table and every deviation in the
docstring, and a line in `MODELS`. No name is one of torchvision's: a bare name stays what it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the zoo."""

    factory: str
    """`"module:function"` within `cnnstat.zoo`."""
    input: tuple[int, ...]
    """Shape of the input for which the paper states its numbers."""
    paper: str
    """Author, year and where the numbers stand."""

    def load(self) -> Callable[..., Any]:
        """The function that builds the model."""
        module, _, name = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(
            importlib.import_module(f"cnnstat.zoo.{module}"), name
        )
        return factory


MODELS = {
    "lenet5": Entry("lenet:lenet5", (1, 1, 32, 32), "LeCun et al. 1998, section II.B"),
    "mobilenet_v1": Entry(
        "mobilenet:mobilenet_v1", (1, 3, 224, 224), "Howard et al. 2017, tables 1 and 8"
    ),
}
"""All models by name."""
