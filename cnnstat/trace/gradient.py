"""Which layer a backward operation belongs to.

When values cross a module's border, every node of the autograd graph behind them that is not yet
marked is marked with the path of the module that made it; while the backward pass runs, the current
node tells whose it is. Unlike backward hooks this adds nothing to the graph, and it does not mind
parameters without gradients.
"""

from __future__ import annotations

from typing import Any

import torch

from cnnstat.errors import TraceError
from cnnstat.trace.modules import ModuleStack, tensors_of

_KEY = "cnnstat.scope"


class GradientScopes:
    """Marks the graph while forward runs, then runs backward."""

    def __init__(self, stack: ModuleStack) -> None:
        stack.on_border = self._mark

    def _mark(self, path: str, output: Any) -> None:
        pending = [tensor.grad_fn for tensor in tensors_of(output)]
        while pending:
            node = pending.pop()
            if node is None:
                continue
            marks: Any = node.metadata  # a dictionary, whatever its annotation says
            if _KEY in marks:
                continue
            marks[_KEY] = path
            pending.extend(following for following, _ in node.next_functions)

    def current(self) -> str:
        """Path of the module whose gradient is being computed; `""` if it is not known."""
        node: Any = torch._C._current_autograd_node()
        return str(node.metadata.get(_KEY, "")) if node is not None else ""

    def run(self, output: Any) -> None:
        """Back-propagate ones from every output that has a gradient."""
        outputs = [tensor for tensor in tensors_of(output) if tensor.requires_grad]
        if not outputs:
            raise TraceError(
                "there is no backward pass: no output depends on a trainable parameter",
                hint="leave out --backward, --train and --optimizer",
            )
        torch.autograd.backward(outputs, [torch.ones_like(tensor) for tensor in outputs])
