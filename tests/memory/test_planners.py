"""Plans by hand, and plans of random networks, in which nothing may overwrite what is still needed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.errors import SpecError
from cnnstat.memory.graph import Buffer, Graph, Step
from cnnstat.memory.planners import RUNTIMES, Plan, lower_bound_bytes, naive_bytes, plan
from tests.work import instructions

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def net(sizes: list[int], *steps: Step, outputs: tuple[int, ...] = ()) -> Graph:
    """A network of one input; `sizes` are in elements of one byte."""
    buffers = tuple(
        Buffer(id, f"b{id}", size, itemsize=1, shape=(size,)) for id, size in enumerate(sizes)
    )
    return Graph(buffers, steps, inputs=(0,), outputs=outputs or (len(sizes) - 1,))


def step(op: str, reads: str, write: int, *, patches: int = 0) -> Step:
    elementwise = op in ("add", "mul", "sigmoid")
    return Step(
        f"aten.{op}", f"b{write}", tuple(map(int, reads)), (write,), elementwise, patches=patches
    )


def chain(*sizes: int) -> Graph:
    return net(list(sizes), *(step("conv2d", str(n), n + 1) for n in range(len(sizes) - 1)))


# ---- by hand


@each_runtime
def test_a_chain_needs_the_largest_pair(runtime: str) -> None:
    made = plan(chain(128, 256, 512, 64), runtime)
    # The second step's input and output. LiteRT keeps the network's input as well, and ONNX Runtime has
    # its output apart.
    kept = {"litert": 128, "ort": 64}.get(runtime, 0)
    assert made.arena_bytes == 256 + 512 + kept
    assert made.naive_bytes == 128 + 256 + 512 + 64
    assert made.scope == 2
    assert made.step is not None
    assert made.step.path == "b2"


def test_an_array_of_the_callers_is_not_in_the_arena_of_onnxruntime() -> None:
    graph = chain(512, 128, 64)
    assert plan(graph, "greedy").arena_bytes == 512 + 128
    assert plan(graph, "ort").offsets == {1: 0, 2: 128}


def test_alive_names_what_fills_the_arena() -> None:
    made = plan(chain(128, 256, 512, 64), "greedy")
    assert [(block.name, block.nbytes) for block in made.alive] == [("b2", 512), ("b1", 256)]
    assert made.offsets == {0: 0, 1: 512, 2: 0, 3: 512}


def test_sizes_follow_the_precision() -> None:
    buffers = (
        Buffer(0, "input", 100),
        Buffer(1, "indices", 10, itemsize=8, floating=False),
        Buffer(2, "output", 50),
    )
    graph = Graph(buffers, (Step("aten.max_pool2d", "pool", (0,), (2, 1)),), (0,), (2,))
    assert naive_bytes(graph) == 400 + 80 + 200
    assert naive_bytes(graph, 1) == 100 + 80 + 50
    assert lower_bound_bytes(graph, 2) == 200 + 80 + 100
    assert plan(graph, "greedy", 1).arena_bytes == 230
    # 100, 80 and 50 are rounded up to 112, 80 and 64.
    assert plan(graph, "tflm", 1).arena_bytes == 256


def test_the_lower_bound_is_the_fullest_scope() -> None:
    # The input is read by both: 10 + 20 at the first step, 10 + 20 + 30 at the second, 50 at the third.
    graph = net(
        [10, 20, 30, 0],
        step("conv2d", "0", 1),
        step("conv2d", "0", 2),
        step("add", "12", 3),
        outputs=(2,),
    )
    assert lower_bound_bytes(graph) == 60


@pytest.mark.parametrize(("runtime", "offset"), [("tflm", 0), ("greedy", 176), ("litert", 176)])
def test_which_gap_is_taken(runtime: str, offset: int) -> None:
    # 1 (96) lies at 0, 2 (80) at 96, 3 (48) at 176, 4 (32) at 224, all in blocks of 64 bytes. When 5 (16) is
    # written, 1 and 3 are gone, which leaves 96 at 0 and 48 at 176: the first gap, and the smallest.
    graph = net(
        [64 * size for size in (0, 96, 80, 48, 32, 16, 0, 0)],
        Step("aten.split", "split", (0,), (1, 2, 3, 4)),
        step("conv2d", "13", 6),
        step("conv2d", "6", 5),
        step("cat", "245", 7),
    )
    offsets = plan(graph, runtime).offsets
    assert {id: at // 64 for id, at in offsets.items()} == {1: 0, 2: 96, 3: 176, 4: 224, 5: offset}


def test_onnxruntime_takes_what_is_left_at_the_top() -> None:
    # 1 lies at 0, 2 at 1024, 3 at 1280. When 5 is written, 1 and 3 are gone: 1024 bytes are free below 2,
    # and 512 between it and where the block ends so far, which is the smaller gap for its 500.
    graph = net(
        [0, 1024, 256, 512, 0, 500, 0],
        Step("aten.split", "split", (0,), (1, 2, 3)),
        step("conv2d", "13", 4),
        step("conv2d", "4", 5),
        step("cat", "25", 6),
    )
    assert plan(graph, "ort").offsets == {1: 0, 2: 1024, 3: 1280, 5: 1280}
    assert plan(graph, "greedy").offsets[5] == 0


def test_tflm_places_the_later_of_two_equals_first() -> None:
    assert plan(chain(64, 64), "tflm").offsets == {1: 0, 0: 64}
    assert plan(chain(64, 64), "greedy").offsets == {0: 0, 1: 64}


def test_litert_keeps_the_input_and_aligns_addresses() -> None:
    # The input stays, so three 100s are apart by 128: 0, 128, 256, and 100 more; sizes are not rounded.
    made = plan(chain(100, 100, 100), "litert")
    assert made.offsets[0] == 0
    assert made.arena_bytes == 256 + 100


def test_litert_unrolls_the_input_of_a_convolution() -> None:
    graph = net([64, 64, 64], step("conv2d", "0", 1, patches=576), step("conv2d", "1", 2))
    made = plan(graph, "litert", 1)
    assert made.arena_bytes == 64 + 576 + 64
    assert [block.name for block in made.alive] == ["b1 (im2col)", "b0", "b1"]
    assert plan(graph, "tflm", 1).arena_bytes == 128
    # Patches are as wide as the input.
    assert plan(graph, "litert", 4).arena_bytes == 4 * (64 + 576 + 64)


def test_litert_writes_a_product_over_the_factor_that_nobody_else_reads() -> None:
    # x · sigmoid(x), as SiLU is converted: x has two readers, its gate one.
    gate = [step("conv2d", "0", 1), step("sigmoid", "1", 2), step("mul", "12", 3)]
    graph = net([64] * 5, *gate, step("conv2d", "3", 4))
    made = plan(graph, "litert")
    assert made.offsets[3] == made.offsets[2] != made.offsets[1]
    assert made.arena_bytes == 3 * 64
    # Activations of their own are not written in place.
    assert plan(net([64] * 4, *gate[:2], step("conv2d", "2", 3)), "litert").arena_bytes == 3 * 64


@pytest.mark.parametrize(
    ("why", "sizes", "outputs"),
    [
        ("another size", [64, 128, 64, 64], (3,)),
        ("an output", [64, 64, 64, 64], (2, 3)),
        ("an output is read", [64, 64, 64, 64], (1, 3)),
        ("a scalar", [4, 4, 4, 4], (3,)),
    ],
)
def test_litert_does_not_write_over(why: str, sizes: list[int], outputs: tuple[int, ...]) -> None:
    steps = [step("conv2d", "0", 1), step("mul", "1", 2), step("conv2d", "2", 3)]
    assert plan(net([64] * 4, *steps), "litert").offsets[2] == 64
    offsets = plan(net(sizes, *steps, outputs=outputs), "litert").offsets
    assert offsets[2] != offsets[1], why


def test_litert_does_not_write_over_the_input() -> None:
    offsets = plan(net([64, 64, 64], step("mul", "0", 1), step("conv2d", "1", 2)), "litert").offsets
    assert offsets == {0: 0, 1: 64, 2: 128}


def test_litert_places_what_it_never_frees_first_if_it_is_there_from_the_first_step() -> None:
    graph = chain(64, 64, 256, 128)
    assert plan(graph, "litert").offsets == {0: 0, 1: 320, 2: 64, 3: 320}
    returned = replace(graph, outputs=(1, 3))
    assert plan(returned, "litert").offsets == {0: 0, 1: 64, 2: 128, 3: 384}


def test_onnxruntime_is_a_band() -> None:
    # A residual block: at its sum, the shortcut 1, the convolution 3 and the sum 4 are alive.
    steps = [
        step("conv2d", "0", 1),
        step("conv2d", "1", 2),
        step("conv2d", "2", 3),
        step("add", "13", 4),
        step("conv2d", "4", 5),
    ]
    graph = net([512, 2048, 512, 2048, 2048, 512], *steps)
    unfused = net([512, 2048, 512, 2048, 2048, 512, 8192], *steps, step("relu", "5", 6))
    made = plan(graph, "ort", unfused=unfused)
    assert made.lower_bound_bytes == 3 * 2048
    # 4 does not fit where 2 was, between 1 and 3, and is above them; the output is apart.
    assert made.arena_bytes == 3 * 2048 + 512 + 512
    # A convolution that adds to the shortcut leaves one of the three, beside what it reads.
    assert made.low_bytes == 2048 + 512
    assert made.high_bytes == 3 * 2048 + 512 + 8192
    assert plan(graph, "ort").high_bytes == made.arena_bytes


@pytest.mark.parametrize("runtime", ["tflm", "litert", "greedy"])
def test_the_others_are_not(runtime: str) -> None:
    made = plan(chain(128, 256), runtime)
    assert made.low_bytes == made.arena_bytes == made.high_bytes


def test_nothing_but_an_input() -> None:
    made = plan(net([64]), "greedy")
    assert (made.arena_bytes, made.scope, made.step) == (64, 0, None)
    assert plan(Graph((), (), (), ()), "tflm").arena_bytes == 0


def test_an_unknown_runtime_lists_the_choices() -> None:
    with pytest.raises(SpecError, match="unknown runtime 'tflite'") as raised:
        plan(chain(1, 1), "tflite")
    assert raised.value.hint == "one of: tflm, litert, greedy, ort"


def dense_block(buffers: int) -> Graph:
    """All that was made is read again: the worst case, since all overlap."""
    sizes = [96 + 16 * (n % 7) for n in range(buffers)]
    steps = (Step("aten.cat", f"b{n}", tuple(range(n)), (n,)) for n in range(1, buffers))
    return net(sizes, *steps)


@each_runtime
def test_each_buffer_is_set_beside_every_other_and_no_more(runtime: str) -> None:
    # Twice as many buffers have four times as many pairs; a walk over triples would be eight times.
    one, two = (instructions(lambda n=n: plan(dense_block(n), runtime)) for n in (60, 120))
    assert two < 4 * one
    assert two < 200 * (120 * 119 // 2)  # 50 to 110 instructions a pair


# ---- random networks


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    size = st.sampled_from([0, 1, 4, 15, 16, 48, 64, 64, 64, 100, 256])
    sizes = [draw(size) for _ in range(draw(st.integers(1, 2)))]
    inputs = tuple(range(len(sizes)))
    steps: list[Step] = []
    for _ in range(draw(st.integers(0, 12))):
        # Mostly what was made last, so that much is read for the last time.
        back = st.integers(1, min(4, len(sizes)))
        reads = tuple({len(sizes) - draw(back): None for _ in range(draw(st.integers(1, 2)))})
        op = draw(st.sampled_from(["conv2d", "add", "mul", "sigmoid", "split"]))
        writes = tuple(
            len(sizes) + n for n in range(draw(st.integers(1, 3)) if op == "split" else 1)
        )
        elementwise = op in ("add", "mul", "sigmoid")
        # The result of these is as large as the largest of what they read.
        sizes += [max(sizes[id] for id in reads) if elementwise else draw(size) for _ in writes]
        patches = draw(st.sampled_from([0, 0, 100])) if op == "conv2d" else 0
        steps.append(
            Step(f"aten.{op}", f"s{len(steps)}", reads, writes, elementwise, patches=patches)
        )
    buffers = tuple(
        Buffer(id, f"b{id}", size, itemsize=1, shape=(size,)) for id, size in enumerate(sizes)
    )
    outputs = draw(
        st.lists(st.sampled_from(range(len(sizes))), min_size=1, max_size=3, unique=True)
    )
    return Graph(buffers, tuple(steps), inputs, tuple(outputs))


def check(graph: Graph, made: Plan) -> None:
    """Run the network on the plan: everything is where it was put whenever it is read."""
    memory: dict[int, int] = {}  # by address, the buffer whose byte is there

    def spread(id: int) -> range:
        start = made.offsets.get(id, 0)
        return range(start, start + graph.buffers[id].numel)

    planned = [buffer.id for buffer in graph.buffers if buffer.id in made.offsets]
    for id in set(graph.inputs) & set(planned):
        memory.update(dict.fromkeys(spread(id), id))
    for step in graph.steps:
        for id in set(step.reads) & set(planned):
            assert all(memory[address] == id for address in spread(id)), f"{id} is gone at {step}"
        for id in set(step.writes) & set(planned):
            for read in set(step.reads) & set(planned):
                over = not set(spread(id)).isdisjoint(spread(read))
                assert not over or (step.elementwise and spread(id) == spread(read))
            memory.update(dict.fromkeys(spread(id), id))
    for id in set(graph.outputs) & set(planned):
        assert all(memory[address] == id for address in spread(id)), f"output {id} is gone"


@each_runtime
@given(graph=networks())
def test_nothing_is_overwritten_that_is_still_needed(runtime: str, graph: Graph) -> None:
    made = plan(graph, runtime)
    check(graph, made)
    for n, one in enumerate(made.blocks):
        for other in made.blocks[:n]:
            apart = one.last < other.first or other.last < one.first
            above = one.offset >= other.offset + other.nbytes
            assert apart or above or other.offset >= one.offset + one.nbytes


@each_runtime
@given(graph=networks())
def test_every_figure_is_within_its_bounds(runtime: str, graph: Graph) -> None:
    made = plan(graph, runtime, unfused=graph)
    assert sum(block.nbytes for block in made.alive) == made.lower_bound_bytes <= made.arena_bytes
    scratch = sum(block.nbytes for block in made.blocks if not block.buffers)
    assert made.arena_bytes <= made.naive_bytes + scratch + 256 * len(made.blocks)
    assert made.low_bytes <= made.arena_bytes <= made.high_bytes
    if runtime in ("greedy", "tflm"):
        assert made.arena_bytes >= lower_bound_bytes(graph)
    placed = {buffer.id for buffer in graph.buffers if buffer.numel}
    assert made.offsets.keys() == placed - (set(graph.inputs) if runtime == "ort" else set())
