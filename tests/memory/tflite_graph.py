"""Reads a `.tflite` file as the `Graph` that its interpreter plans.

Constants are not buffers, and buffers keep the order of the file's tensors, by which runtimes break ties.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from cnnstat.memory.graph import Buffer, Graph, Step

VIEWS = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}
"""LiteRT leaves their data where it is; TensorFlow Lite Micro copies it."""
ELEMENTWISE = {"ADD", "SUB", "MUL", "DIV", "LOGISTIC", "TANH", "HARD_SWISH", "RELU", "RELU6"}
ITEMSIZE = {"FLOAT32": 4, "INT32": 4, "INT8": 1, "UINT8": 1, "BOOL": 1, "INT64": 8}


def read(path: Path, *, merge_views: bool) -> Graph:
    """The subgraph of `path`, one step an operator; with `merge_views`, a view is in its input's buffer."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (net,) = model.subgraphs
    ops = [(_names(schema.BuiltinOperator)[_code(model, op)], op) for op in net.operators]
    same = _views(net, ops) if merge_views else {}
    planned = [
        index
        for index, tensor in enumerate(net.tensors)
        if model.buffers[tensor.buffer].data is None and index not in same and not tensor.isVariable
    ]
    ids = {index: id for id, index in enumerate(planned)}

    def those(indices: Any) -> tuple[int, ...]:
        roots = (same.get(index, index) for index in indices)
        return tuple(ids[root] for root in roots if root in ids)

    return Graph(
        buffers=tuple(_buffer(ids[index], net.tensors[index]) for index in planned),
        steps=tuple(
            Step(
                op=name.lower(),
                path=net.tensors[op.outputs[0]].name.decode(),
                reads=those(op.inputs),
                writes=those(op.outputs),
                elementwise=name in ELEMENTWISE,
                patches=_patches(net, op) if name == "CONV_2D" else 0,
            )
            for name, op in ops
            if op.outputs[0] not in same
        ),
        inputs=those(net.inputs),
        outputs=those(net.outputs),
    )


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


def _code(model: Any, op: Any) -> int:
    code = model.operatorCodes[op.opcodeIndex]
    # Files of before 2020 hold it in a byte.
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _views(net: Any, ops: list[tuple[str, Any]]) -> dict[int, int]:
    same: dict[int, int] = {}
    for name, op in ops:
        source, result = op.inputs[0], op.outputs[0]
        if name in VIEWS and source not in net.inputs and result not in net.outputs:
            same[result] = same.get(source, source)
    return same


def _buffer(id: int, tensor: Any) -> Buffer:
    type_name = _names(schema.TensorType)[tensor.type]
    floating = type_name in ("FLOAT32", "INT8")
    return Buffer(id, tensor.name.decode(), int(prod(tensor.shape)), ITEMSIZE[type_name], floating)


def _patches(net: Any, op: Any) -> int:
    options = op.builtinOptions
    _, height, width, channels = net.tensors[op.inputs[1]].shape
    steps = (options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor)
    if height == width == 1 and set(steps) == {1}:
        return 0
    batch, out_height, out_width, _ = net.tensors[op.outputs[0]].shape
    return int(batch * out_height * out_width * height * width * channels)
