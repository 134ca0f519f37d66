"""The CUDA allocator's rules by hand, and whole processes as others measured them."""

import random

import pytest

from cnnstat.analysis import prepare
from cnnstat.memory.caching_allocator import CachingAllocator, CudaMemory, replay
from cnnstat.memory.step import Step
from cnnstat.record import OpCall, Storage, Trace
from cnnstat.trace.engines import record

KIB, MIB = 1 << 10, 1 << 20


def test_sizes_are_rounded_to_512_bytes() -> None:
    allocator = CachingAllocator()
    for id, nbytes in enumerate((1, 512, 513)):
        allocator.allocate(id, nbytes)
    assert allocator.allocated == 512 + 512 + 1024
    assert allocator.reserved == 2 * MIB  # one segment of the small pool


@pytest.mark.parametrize(
    ("nbytes", "reserved"),
    [
        (MIB, 2 * MIB),  # the largest of the small pool
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),  # a segment of its own, a multiple of 2 MiB
        (11 * MIB, 12 * MIB),
    ],
)
def test_segments(nbytes: int, reserved: int) -> None:
    allocator = CachingAllocator()
    allocator.allocate(0, nbytes)
    assert allocator.reserved == reserved


def test_a_large_rest_of_a_megabyte_is_not_split_off() -> None:
    allocator = CachingAllocator()
    allocator.allocate(0, 11 * MIB)  # in 12 MiB; the rest of 1 MiB stays with it
    assert allocator.allocated == 12 * MIB


def test_the_smallest_that_fits_is_taken() -> None:
    allocator = CachingAllocator()
    for id, size in enumerate((40, 20, 30)):
        allocator.allocate(id, size * MIB)
    for id in (0, 1, 2):
        allocator.free(id)
    allocator.allocate(3, 30 * MIB)
    allocator.allocate(4, 20 * MIB)
    allocator.allocate(5, 40 * MIB)
    assert allocator.reserved == 90 * MIB


def test_neighbours_merge() -> None:
    allocator = CachingAllocator()
    for id in range(4):
        allocator.allocate(id, 5 * MIB)  # 20 MiB, one segment
    for id in range(4):
        allocator.free(id)
    allocator.allocate(4, 9 * MIB)
    allocator.allocate(5, 9 * MIB)
    assert allocator.reserved == 20 * MIB


def test_what_is_cut_in_pieces_does_not_hold_a_larger_one() -> None:
    allocator = CachingAllocator()
    for id in range(4):
        allocator.allocate(id, 5 * MIB)
    allocator.free(0)
    allocator.free(2)  # 10 MiB free, in two places
    allocator.allocate(4, 6 * MIB)
    assert allocator.reserved == 40 * MIB


def test_any_order_comes_out_even() -> None:
    """Whatever is allocated and freed: bytes in use add up, and at the end everything has merged."""
    chance = random.Random(0)
    allocator, sizes = CachingAllocator(), {}
    for id in range(2000):
        size = int(2 ** chance.uniform(0, 25))
        allocator.allocate(id, size)
        sizes[id] = size
        while len(sizes) > 40:
            gone = chance.choice(sorted(sizes))
            del sizes[gone]
            allocator.free(gone)
        assert sum(sizes.values()) <= allocator.allocated <= allocator.reserved
    for id in sizes:
        allocator.free(id)
    assert allocator.allocated == 0
    assert sum(size for pool in allocator._pools for size, _, _ in pool) == allocator.reserved
    assert all(b.before is b.after is None for pool in allocator._pools for _, _, b in pool)


def test_a_step_by_hand() -> None:
    """Weight 4 MiB and state 4 MiB; forward makes 12 MiB and 2 MiB, of which the first goes at once."""
    ops = tuple(
        OpCall(n, "op", "", {}, (), phase=phase)
        for n, phase in enumerate(("forward", "forward", "optimizer"))
    )
    storages = (
        Storage(0, 4 * MIB, -1, role="weight"),
        Storage(1, 4 * MIB, -1, role="optimizer"),
        Storage(2, 12 * MIB, 0, 1),
        Storage(3, 2 * MIB, 1),
    )
    taken = replay(Trace(ops, (), storages=storages))
    # 20 MiB hold the weight, then 2 MiB, then the state; 12 MiB hold the first tensor. Most at once is in
    # the second round: weight, state and the 12 MiB.
    assert taken == CudaMemory(allocated=20 * MIB, reserved=32 * MIB)


# itu-rad/GPUMemNet (arXiv 2602.17817): timm's models trained for a minute on an A100 of 40 GB, SGD with
# momentum, no mixed precision; MiB of the process as the driver reports them.
A100 = [
    ("resnet50", 8, 2875),
    ("resnet50", 32, 5229),
    ("resnet50", 128, 15169),
    ("mobilenetv2_100", 8, 2489),
    ("mobilenetv2_100", 32, 4535),
    ("mobilenetv2_100", 128, 12721),
    ("vit_tiny_patch16_224", 8, 2039),
    ("vit_tiny_patch16_224", 32, 2901),
    ("vit_tiny_patch16_224", 128, 5959),
    ("convnext_tiny", 32, 5965),
    ("convnext_tiny", 128, 16857),
    ("swin_tiny_patch4_window7_224", 128, 16643),
    ("resnet18", 32, 3291),
    ("vgg16", 32, 7507),
    ("efficientnet_b0", 32, 4969),
]


def test_processes_measured_on_an_a100() -> None:
    """Each within 10 %, half of them within 3 %."""
    off = []
    for name, batch, measured in A100:
        prepared = prepare(f"timm:{name}", batch=batch)
        step = Step.of("sgd?momentum=0.9", foreach=True)
        taken = replay(record(prepared.makers, prepared.inputs, step=step))
        off.append(abs(taken.process / 2**20 / measured - 1))
    assert max(off) < 0.10
    assert sorted(off)[len(off) // 2] < 0.03
