"""The plans of two runtimes beside what the real interpreters do with the files in tests/data/tflite.

Each file is loaded in a process of its own, because an interpreter may abort on what it cannot run.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnstat.memory.graph import Graph
from cnnstat.memory.planners import Plan, plan
from tests.processes import call

# Both have wheels for Linux on x86-64; where they do not, the planners have the tests by hand.
pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")

from tests.memory.tflite_graph import read

FILES = sorted((Path(__file__).parents[1] / "data" / "tflite").glob("*.tflite"))

TFLM = """
import sys
from tflite_micro import runtime
runtime.Interpreter.from_file(sys.argv[1], arena_size=1 << 20).print_allocations()
"""
"""Prints the sections of the arena: the tensors are in its head."""

LITERT = """
import json, sys
from ai_edge_litert.interpreter import Interpreter, OpResolverType
builtin = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
interpreter = Interpreter(sys.argv[1], experimental_op_resolver_type=builtin, num_threads=1)
interpreter.allocate_tensors()
interpreter.invoke()
arrays = ((d, interpreter.tensor(d["index"])()) for d in interpreter.get_tensor_details())
print(json.dumps([
    {"name": d["name"], "address": a.__array_interface__["data"][0], "nbytes": a.nbytes} for d, a in arrays
]))
"""
"""Prints where each tensor is; those without a name are scratch of a kernel."""


def interpret(code: str, file: Path) -> str:
    done = call([sys.executable, "-c", code, file])
    assert done.returncode == 0, f"{file.name}: {done.stderr}"
    return done.stdout + done.stderr


def each_file(*without: str) -> pytest.MarkDecorator:
    files = [file for file in FILES if not file.stem.startswith(without)]
    return pytest.mark.parametrize("file", files, ids=lambda file: file.stem)


def test_there_are_files() -> None:
    assert len(FILES) == 13


@each_file()
def test_tflm_plans_as_many_bytes(file: Path) -> None:
    head = re.search(r"Arena allocation head (\d+) bytes", interpret(TFLM, file))
    assert head is not None
    assert plan(read(file, merge_views=False), "tflm").arena_bytes == int(head[1])


def litert(file: Path) -> tuple[Graph, Plan, list[dict[str, Any]]]:
    graph = read(file, merge_views=True)
    printed = interpret(LITERT, file).splitlines()
    return (
        graph,
        plan(graph, "litert"),
        json.loads(next(line for line in printed if line[0] == "[")),
    )


@each_file()
def test_litert_plans_as_many_bytes(file: Path) -> None:
    graph, plan, tensors = litert(file)
    names = {buffer.name for buffer in graph.buffers}
    patches = {block.nbytes for block in plan.blocks if not block.buffers}
    in_arena = [
        t for t in tensors if t["name"] in names or (not t["name"] and t["nbytes"] in patches)
    ]
    start = min(t["address"] for t in in_arena)
    assert plan.arena_bytes == max(t["address"] + t["nbytes"] for t in in_arena) - start


# MEAN has some bytes of scratch, which are not in a graph; what comes after it may lie elsewhere.
@each_file("depthwise")
def test_litert_puts_every_tensor_at_the_same_address(file: Path) -> None:
    graph, plan, tensors = litert(file)
    addresses = {t["name"]: t["address"] for t in tensors}
    start = min(addresses[buffer.name] for buffer in graph.buffers)
    assert {buffer.name: plan.offsets[buffer.id] for buffer in graph.buffers} == {
        buffer.name: addresses[buffer.name] - start for buffer in graph.buffers
    }
