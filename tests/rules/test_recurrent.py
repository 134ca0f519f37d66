import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cnnstat.analysis import analyze
from cnnstat.report import Work
from tests.rules.record import (
    PATHS,
    backward_macs,
    count_op,
    report_of,
    same_on_every_path,
    spec,
    work_of,
)

GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}
KINDS = list(GATES)


def looped(layer, lengths):
    """MACs of a recurrent network, gate by gate and step by step, as torch's documentation writes it."""
    products = 0
    directions = 2 if layer.bidirectional else 1
    state = layer.proj_size or layer.hidden_size
    for number in range(layer.num_layers):
        width = layer.input_size if number == 0 else state * directions
        for _direction in range(directions):
            for length in lengths:
                for _step in range(length):
                    for _unit in range(layer.hidden_size):
                        for _gate in range(GATES[type(layer)]):
                            products += sum(1 for _ in range(width))  # W_i·x
                            products += sum(1 for _ in range(state))  # W_h·h
                    for _unit in range(layer.proj_size):
                        products += sum(1 for _ in range(layer.hidden_size))
    return products


small = st.integers(1, 3)


@st.composite
def layers(draw):
    kind = draw(st.sampled_from(KINDS))
    hidden = draw(st.integers(2, 4))
    chosen = {
        "num_layers": draw(small),
        "bidirectional": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
    }
    if kind is nn.LSTM:
        chosen["proj_size"] = draw(st.integers(0, hidden - 1))
    return kind(draw(small), hidden, **chosen)


@given(layers(), small, small)
@settings(max_examples=20, deadline=None)
def test_loops_count_the_same(layer, steps, batch):
    shape = (batch, steps) if layer.batch_first else (steps, batch)
    x = torch.rand(*shape, layer.input_size)
    macs = looped(layer, [steps] * batch)
    for path in ("meta", "meta, autograd", "cpu, autograd"):
        assert work_of(layer, x, path=path).macs == macs


@given(layers(), st.lists(small, min_size=1, max_size=3))
@settings(max_examples=8, deadline=None)
def test_packed_sequences_cost_their_own_length(layer, lengths):
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            packed = pack_padded_sequence(
                x, lengths, batch_first=layer.batch_first, enforce_sorted=False
            )
            return pad_packed_sequence(self.layer(packed)[0])[0]

    shape = (len(lengths), max(lengths)) if layer.batch_first else (max(lengths), len(lengths))
    x = torch.rand(*shape, layer.input_size)
    for path in ("cpu", "cpu, autograd"):
        assert report_of(Packed(), x, path=path).totals.macs == looped(layer, lengths)


def test_packed_sequences_through_analyze():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.LSTM(5, 6)

        def forward(self, x):
            packed = pack_padded_sequence(x, torch.tensor([4, 2]))
            return pad_packed_sequence(self.layer(packed)[0])[0]

    # 4 + 2 rows of 4·6·(5 + 6)
    report = analyze(Packed(), (4, 2, 5))
    assert (report.totals.macs, report.uncounted) == (1584, ())


# 4 steps of 2 rows: 8·gates·6·(5 + 6)
ROWS = 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("settings", "weights"),
    # the elements of all matrices but for the gates: each is used once a row
    [
        ({}, 6 * (5 + 6)),
        ({"bias": False}, 6 * (5 + 6)),
        ({"bidirectional": True}, 2 * 6 * (5 + 6)),
        ({"num_layers": 2}, 6 * (5 + 6) + 6 * (6 + 6)),
        ({"num_layers": 2, "bidirectional": True}, 2 * (6 * (5 + 6) + 6 * (12 + 6))),
        ({"num_layers": 2, "dropout": 0.5}, 6 * (5 + 6) + 6 * (6 + 6)),
    ],
    ids=str,
)
def test_by_hand(kind, settings, weights):
    layer, x = kind(5, 6, **settings), torch.rand(4, 2, 5)
    work = same_on_every_path(layer, x)
    assert work.macs == ROWS * GATES[kind] * weights
    unbatched = same_on_every_path(layer, x[:, 0])
    assert 2 * unbatched.macs == work.macs and 2 * unbatched.flops == work.flops
    first = kind(5, 6, batch_first=True, **settings)
    assert same_on_every_path(first, x.transpose(0, 1)) == work


@pytest.mark.parametrize(
    ("settings", "macs"),
    [
        # 8·(4·6·(5 + 3) + 3·6): the state is the projection
        ({"proj_size": 3}, 8 * (4 * 6 * 8 + 18)),
        # 8·2·((4·6·(5 + 3) + 18) + (4·6·(6 + 3) + 18)): layers of 2 projections each
        (
            {"proj_size": 3, "num_layers": 2, "bidirectional": True},
            8 * 2 * (4 * 6 * 8 + 18 + 4 * 6 * 9 + 18),
        ),
    ],
    ids=str,
)
def test_projections(settings, macs):
    assert same_on_every_path(nn.LSTM(5, 6, **settings), torch.rand(4, 2, 5)).macs == macs


# For each of 8·6 units, beside the products:
@pytest.mark.parametrize(
    ("layer", "unit"),
    [
        # 4 sums of two parts; 3 sigmoids 1/(1 + e^−x); tanh; c = f·c + i·g; h = o·tanh(c)
        (nn.LSTM(5, 6, bias=False), Work(adds=4 + 3 + 1, muls=2 + 1, special=3 * 2 + 1 + 1)),
        # and 8 biases
        (nn.LSTM(5, 6), Work(adds=4 + 3 + 1 + 8, muls=2 + 1, special=3 * 2 + 1 + 1)),
        # 2 sums, 2 sigmoids; n = tanh(i + r·h); h = (h − n)·z + n
        (nn.GRU(5, 6, bias=False), Work(adds=2 + 2 + 1 + 2, muls=1 + 1, special=2 * 2 + 1)),
        # and 6 biases
        (nn.GRU(5, 6), Work(adds=2 + 2 + 1 + 2 + 6, muls=1 + 1, special=2 * 2 + 1)),
        # tanh(i + h), 2 biases
        (nn.RNN(5, 6), Work(adds=1 + 2, special=1)),
        # max(i + h, 0)
        (nn.RNN(5, 6, nonlinearity="relu"), Work(adds=1 + 2, compares=1)),
    ],
    ids=str,
)
def test_cells_by_hand(layer, unit):
    work = same_on_every_path(layer, torch.rand(4, 2, 5))
    n = 8 * 6
    assert (work.adds, work.muls) == (n * unit.adds, n * unit.muls)
    assert (work.compares, work.special) == (n * unit.compares, n * unit.special)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_single_cells(kind, bias):
    cell = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}[kind](5, 6, bias=bias)
    work = same_on_every_path(cell, torch.rand(2, 5))
    one_step = work_of(kind(5, 6, bias=bias), torch.rand(1, 2, 5))
    # 2·gates·6·(5 + 6)
    assert work.macs == one_step.macs == 2 * GATES[kind] * 66
    assert work.flops == one_step.flops
    assert 2 * same_on_every_path(cell, torch.rand(5)).macs == work.macs


@pytest.mark.instruction_set
def test_a_layer_on_the_cpu_is_one_of_mkldnn():
    layer, x = nn.LSTM(5, 6, num_layers=2, bidirectional=True), torch.rand(4, 2, 5)
    rules = {
        path: {tally.rule for row in report_of(layer, x, path=path).layers for tally in row.tallies}
        for path in PATHS
    }
    if torch.backends.mkldnn.is_available():
        assert "mkldnn_rnn_layer" in rules["cpu, no grad"]
    assert "recurrent" in rules["meta"] and "recurrent" not in rules["meta, autograd"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("mode", "layer"), [(2, nn.LSTM(5, 6)), (3, nn.GRU(5, 6)), (1, nn.RNN(5, 6))]
)
def test_cudnn(mode, layer, packed):
    weights = tuple(spec(*p.shape) for p in layer.parameters())
    x = spec(8, 5) if packed else spec(4, 2, 5)
    work = count_op(
        "aten._cudnn_rnn",
        spec(*x.shape[:-1], 6),
        input=x,
        weight=weights,
        mode=mode,
        num_layers=1,
        bidirectional=False,
        batch_sizes=(2, 2, 2, 2) if packed else (),
    )
    assert work == work_of(layer, torch.rand(4, 2, 5))


@pytest.mark.parametrize(
    ("op", "kind"), [("_thnn_fused_lstm_cell", nn.LSTM), ("_thnn_fused_gru_cell", nn.GRU)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_fused_cells(op, kind, bias):
    gates = spec(2, GATES[kind] * 6)
    biases = dict.fromkeys(("input_bias", "hidden_bias"), spec(GATES[kind] * 6) if bias else None)
    work = count_op(
        f"aten.{op}", spec(2, 6), input_gates=gates, hidden_gates=gates, cx=spec(2, 6), **biases
    )
    whole = work_of(kind(5, 6, bias=bias), torch.rand(1, 2, 5))
    assert work == Work(
        adds=whole.adds, muls=whole.muls, compares=whole.compares, special=whole.special
    )


# ---- backward


@pytest.mark.parametrize("kind", KINDS)
def test_backward(kind):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = kind(5, 6, bias=False)

        def forward(self, x):
            return self.layer(x)[0]

    gates = GATES[kind]
    # W_i: its own gradient for all 8 rows, x asks for none; W_h: its own for all 4 steps of 2 rows, the
    # state's but for the first step, whose state is a constant
    expected = 8 * gates * 30 + 8 * gates * 36 + 6 * gates * 36
    assert backward_macs(Net(), (4, 2, 5), "meta") == expected


@pytest.mark.instruction_set
@pytest.mark.skipif("not torch.backends.mkldnn.is_available()")
@pytest.mark.parametrize("engine", ["fake", "cpu"])
def test_backward_of_the_kernel(engine):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.LSTM(5, 6)

        def forward(self, x):
            return self.layer(x)[0]

    # the kernel gives every gradient: twice the 8·4·6·(5 + 6) of the forward pass
    assert backward_macs(Net(), (4, 2, 5), engine) == 2 * 8 * 4 * 66
