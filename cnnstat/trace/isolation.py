"""Runs a body so that nothing of it stays: random state, attention fast path, compiler stance."""

from __future__ import annotations

import logging
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def isolated(seed: int = 0) -> Iterator[None]:
    """Seed every random generator, and put all of it back afterwards.

    Meanwhile `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` do not take their fused fast
    path, which only some devices have, and compiled functions run as they were written.
    """
    with ExitStack() as stack:
        stack.enter_context(_seeded(seed))
        stack.enter_context(_no_fast_path())
        stack.enter_context(_quiet("torch._subclasses.fake_tensor"))
        if "torch._dynamo" in sys.modules:  # otherwise nothing can have been compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of the model's, about training; ours are notes
        yield


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    torch_state, python_state = torch.random.get_rng_state(), random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    if numpy:
        numpy.random.seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(torch_state)
        random.setstate(python_state)
        if numpy and numpy_state is not None:
            numpy.random.set_state(numpy_state)


@contextmanager
def _no_fast_path() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """A logger says nothing: what it would log is raised as well, and told from there."""
    logger = logging.getLogger(name)
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled
