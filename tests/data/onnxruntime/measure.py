"""Measures what ONNX Runtime allocates for the tensors of networks: writes `peaks.json` beside this file.

Run on 2026-11-22 with Python 3.11, torch 2.13.0, torchvision 0.28.0, onnx 1.23.2, onnxruntime 1.31.1 on an
x86-64 processor with AVX-512 (onnx and onnxruntime are no dependencies of the tests):

    pip install onnx==1.23.2 onnxruntime==1.31.1
    python tests/data/onnxruntime/measure.py resnet18 mobilenet_v2 …

The profile of a session says after each node how many bytes are in use (`mem_bytes_requested_in_use`).
What was in use before the first node is weights, packed for its kernels, and is taken off.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from cnnstat.sources.base import resolve

HERE = Path(__file__).parent
LEVELS = {
    "plain": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "blocked": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
"""`ORT_ENABLE_ALL` adds the blocked layout (NCHWc)."""


def exported(name: str) -> tuple[bytes, np.ndarray[Any, Any]]:
    size = 299 if name == "inception_v3" else 224
    x = torch.rand(1, 3, size, size)
    file = io.BytesIO()
    torch.onnx.export(resolve(name).build().eval(), (x,), file, dynamo=False)
    return file.getvalue(), x.numpy()


def peaks(model: bytes, x: np.ndarray[Any, Any], level: Any) -> list[int]:
    """The most bytes in use in each of two runs; the second allocates one block for all that it reuses."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(2):
            session.run(None, {session.get_inputs()[0].name: x})
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = sorted(
        (e for e in events if "mem_bytes_requested_in_use" in e.get("args", {})),
        key=lambda e: e["ts"],
    )
    used = [int(e["args"]["mem_bytes_requested_in_use"]) for e in nodes]
    before = used[0] - int(nodes[0]["args"]["mem_requested_in_use_delta"])
    half = len(used) // 2
    return [max(used[:half]) - before, max(used[half:]) - before]


if __name__ == "__main__":
    figures: dict[str, dict[str, int]] = {}
    for name in sys.argv[1:]:
        model, x = exported(name)
        (live, block), (blocked, _) = (peaks(model, x, level) for level in LEVELS.values())
        figures[name] = {"live": live, "block": block, "blocked_live": blocked}
        print(name, figures[name])
    versions = {"torch": torch.__version__, "onnxruntime": ort.__version__}
    text = json.dumps({"versions": versions, "bytes": figures}, indent=1)
    (HERE / "peaks.json").write_text(text + "\n")
