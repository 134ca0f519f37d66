import pytest
import torch
import torch.nn.functional as F

from cnnstat.report import Work
from cnnstat.rules import VIEWS, ZERO
from tests.rules.record import report_of, same_on_every_path

X = torch.rand(2, 3, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.view(6, 4),
        lambda x: x.reshape(4, 6),
        lambda x: x.transpose(0, 1).reshape(-1),
        lambda x: x.permute(2, 0, 1).contiguous(),
        lambda x: x.flatten(1),
        lambda x: x.unsqueeze(0).squeeze(0),
        lambda x: x.chunk(2, -1),
        lambda x: x.split([1, 3], -1),
        lambda x: x.unbind(0),
        lambda x: x[:, 1:, ::2],
        lambda x: x[..., None, :],
        lambda x: x[:, torch.tensor([0, 2])],
        lambda x: x.expand(5, 2, 3, 4),
        lambda x: x.repeat(1, 2, 1),
        lambda x: torch.cat([x, x], 1),
        lambda x: torch.stack([x, x]),
        lambda x: F.pad(x, (1, 1)),
        lambda x: F.pad(x, (1, 1), mode="reflect"),
        lambda x: x.roll(1, 0),
        lambda x: x.flip(0),
        lambda x: x.tril(),
        lambda x: x.masked_fill(torch.ones(4, dtype=torch.bool), 0.0),
        lambda x: x.gather(2, torch.zeros(2, 3, 1, dtype=torch.long)),
        lambda x: x.index_select(1, torch.tensor([0, 2])),
        lambda x: x.clone().zero_(),
        lambda x: x.clone().fill_(1.0),
        lambda x: x.to(torch.float64).to(torch.float32),
        lambda x: x.detach(),
        lambda x: torch.meshgrid(x[0, 0], x[0, 0], indexing="ij"),
        lambda x: x.unfold(2, 2, 1),
        lambda x: F.pixel_shuffle(x.reshape(1, 4, 2, 3), 2),
        lambda x: x.new_zeros(3),
        lambda x: torch.zeros_like(x),
        lambda x: torch.full_like(x, 2.0),
        lambda x: torch.arange(5),
        lambda x: torch.linspace(0, 1, 5),
        lambda x: torch.randn(3),
        lambda x: torch.rand_like(x),
        lambda x: x.size(0),
        lambda x: x.is_floating_point(),
        lambda x: x.repeat_interleave(2, dim=1),
        lambda x: x.diagonal(dim1=1, dim2=2),
        lambda x: x.movedim(0, 2),
        lambda x: x.swapaxes(0, 1),
    ],
)
def test_nothing_is_computed(call):
    assert same_on_every_path(call, X) == Work()


def test_what_moves_is_no_flop():
    report = report_of(lambda x: torch.cat([x, x]), X)
    assert report.totals.flops == 0
    # 24 elements of 4 bytes are read, 48 are written
    assert report.totals.moved_bytes == (24 + 48) * 4


def test_views_move_nothing():
    assert report_of(lambda x: x.view(6, 4).transpose(0, 1), X).totals.moved_bytes == 0


def signatures(name):
    packet = getattr(torch.ops.aten, name.removeprefix("aten."))
    return [
        getattr(packet, overload)._schema
        for overload in packet.overloads()
        if "out" not in overload and isinstance(getattr(packet, overload), torch._ops.OpOverload)
    ]


# They return the memory that they were given, though their schemas do not say so, or a token.
UNDECLARED = {
    *(
        "aten._unsafe_view",
        "aten.unsafe_chunk",
        "aten.unsafe_split",
        "aten.unsafe_split_with_sizes",
    ),
    *("aten.atleast_1d", "aten.atleast_2d", "aten.atleast_3d", "aten.lift"),
    *("aten._functional_assert_async", "aten._nested_get_offsets"),
}


def test_views_share_memory():
    """Torch's own schemas mark a result that shares the memory of an argument: `Tensor(a)`."""
    fresh = set()
    for name in VIEWS - UNDECLARED:
        for schema in signatures(name):
            tensors = [item for item in schema.returns if "Tensor" in str(item.type)]
            if any(item.alias_info is None for item in tensors):
                fresh.add(name)
    assert sorted(fresh) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.ops.aten._unsafe_view(x, [6, 4]),
        lambda x: torch.unsafe_chunk(x, 2)[0],
        lambda x: torch.unsafe_split(x, 1)[0],
        lambda x: torch.unsafe_split_with_sizes(x, [1, 1])[0],
        torch.atleast_1d,
        torch.atleast_2d,
        torch.atleast_3d,
        torch.ops.aten.lift,
    ],
)
def test_those_whose_schema_does_not_say_so(call):
    assert call(X).untyped_storage().data_ptr() == X.untyped_storage().data_ptr()


def test_nothing_that_computes_is_zero():
    for name in ("add", "mul", "mm", "convolution", "relu", "sum", "exp", "softmax", "max_pool2d"):
        assert f"aten.{name}" not in ZERO
