"""Which buffer takes over the memory of which, where a runtime decides so before it places any.

Each function answers with the buffer in whose memory another is written, by id; a chain of such leads to its
first at once. Standard library only.
"""

from __future__ import annotations

from collections import Counter

from cnnstat.memory.graph import Buffer, Graph, Step

LITERT_SCALAR = 4
"""Bytes; nothing takes over a tensor that is no larger (`kScalarTensorBytes`)."""
LITERT_IN_PLACE = frozenset({"add", "sub", "mul", "div", "softmax"})
"""Operations whose kernels LiteRT lets write over an input; activations of their own are not among them."""
ONNXRUNTIME_IN_PLACE = frozenset(
    "relu hardtanh clamp leaky_relu elu selu celu softplus sigmoid hardsigmoid tanh".split()
)
"""Operations whose CPU kernels are registered with `MayInplace`; sums and products are not among them."""

Taken = dict[int, int]


def litert(graph: Graph, itemsize: int | None) -> Taken:
    """As `ArenaPlanner::IdentifyInPlaceTensors` of google-ai-edge/LiteRT.

    Nothing takes over a tensor with more than one reader, even at the last of them.
    """
    uses = _uses(graph)
    taken: Taken = {}
    for step in graph.steps:
        out = _new(step)
        if out is None or out in graph.outputs or kernel(step) not in LITERT_IN_PLACE:
            continue
        nbytes = graph.buffers[out].nbytes(itemsize)
        if nbytes <= LITERT_SCALAR:
            continue
        for id in step.reads:
            same = graph.buffers[id].nbytes(itemsize) == nbytes
            if same and uses[id] == 1 and id not in graph.inputs:
                taken[out] = taken.get(id, id)
                break
    return taken


def onnxruntime(graph: Graph) -> Taken:
    """As `PlannerImpl::ComputeReusePlan` in microsoft/onnxruntime, allocation_planner.cc.

    A result goes over an input of its shape at the last use of that, where the kernel can; else into the
    buffer of its shape that fell free last, which is then not given back in between.
    """
    left = _uses(graph) + Counter(graph.inputs)
    free: list[int] = []
    taken: Taken = {}
    for step in graph.steps:
        for out in step.writes:
            if out in step.reads or out in graph.outputs:
                continue
            home = _home(graph, step, out, left, taken, free)
            if home is not None:
                taken[out] = home
                left[home] += left[out]
        left.subtract(taken.get(id, id) for id in step.reads)
        for id in dict.fromkeys((*step.reads, *step.writes)):
            root = taken.get(id, id)
            if not left[root] and root not in free:
                free.insert(0, root)
    return taken


def _home(
    graph: Graph, step: Step, out: int, left: Counter[int], taken: Taken, free: list[int]
) -> int | None:
    """Where ONNX Runtime has `step` write `out`, if not into new memory; no longer free then."""
    buffers = graph.buffers
    if kernel(step) in ONNXRUNTIME_IN_PLACE:
        for id in step.reads:
            root = taken.get(id, id)
            if left[root] == 1 and _alike(buffers[id], buffers[out]):
                return root
    for id in free:
        if _alike(buffers[id], buffers[out]):
            free.remove(id)
            return id
    return None


def _alike(one: Buffer, other: Buffer) -> bool:
    """Whether two buffers have the same shape and type."""
    return one.shape != () and (one.shape, one.itemsize) == (other.shape, other.itemsize)


def shortcuts(graph: Graph, itemsize: int | None) -> Taken:
    """As if all that works element by element wrote over what it reads last, and convolutions added.

    ONNX Runtime fuses convolution, sum and activation where it has blocked kernels (`ConvAddActivation`,
    NCHWc): the result lands on the shortcut that it is added to.
    """
    first = [lifetime[0] for lifetime in graph.lifetimes]
    last = [lifetime[1] for lifetime in graph.lifetimes]
    makers = {id: step for step in graph.steps for id in step.writes}
    readers = Counter(id for step in graph.steps for id in set(step.reads))
    fixed = {*graph.inputs, *graph.outputs}
    taken: Taken = {}
    for scope, step in enumerate(graph.steps, 1):
        out = _new(step)
        if out is None or out in fixed or not step.elementwise:
            continue
        nbytes = graph.buffers[out].nbytes(itemsize)
        free = [
            id
            for id in sorted(set(step.reads) - fixed, key=lambda id: first[id])
            if last[id] == scope and graph.buffers[id].nbytes(itemsize) == nbytes
        ]
        if not free:
            continue
        # The shortcut of a block is there first, and the convolution adds to it, if it does not read it.
        shortcut, *summands = free
        root = taken[out] = taken.get(shortcut, shortcut)
        for id in summands:
            maker = makers.get(id)
            if kernel(step) != "add" or maker is None or readers[id] != 1:
                continue
            reads = {taken.get(read, read) for read in maker.reads}
            if kernel(maker).startswith("conv") and root not in reads:
                taken[id] = root
    return taken


def kernel(step: Step) -> str:
    """`"add"` for `"aten.add_"`, `"softmax"` for `"aten._softmax"`."""
    return step.op.rpartition(".")[2].strip("_")


def _uses(graph: Graph) -> Counter[int]:
    """How often each buffer is read, by the steps or by whoever gets the outputs."""
    return Counter(id for step in graph.steps for id in step.reads) + Counter(graph.outputs)


def _new(step: Step) -> int | None:
    """The one buffer that a step makes; none where it makes several, or changes what is there."""
    return step.writes[0] if len(step.writes) == 1 and step.writes[0] not in step.reads else None
