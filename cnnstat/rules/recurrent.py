"""Recurrent networks: LSTM, GRU and plain RNN, in every kernel form.

Letters: R rows, which is time steps × batch; H hidden size; every weight matrix is used once a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work
from cnnstat.rules.base import counts, tensor, times
from cnnstat.rules.derivation import Derivation, Letter, sizes

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_SIGMOID = Work(adds=1, special=2)
_CELL = {
    # c = f·c + i·g, h = o·tanh(c), after four sums of gates, three sigmoids and a tanh
    "lstm": Work(adds=4 + 1, muls=3, special=1 + 1) + times(3, _SIGMOID),
    # h = (h − n)·z + n, n = tanh(i + r·h), after two sums of gates and two sigmoids
    "gru": Work(adds=2 + 1 + 2, muls=2, special=1) + times(2, _SIGMOID),
    "rnn_tanh": Work(adds=1, special=1),
    "rnn_relu": Work(adds=1, compares=1),
}


def _cell(kind: str, rows: int, weights: Sequence[TensorSpec]) -> Work:
    """One direction of one layer: input and hidden matrix, two biases or none, a projection or none."""
    total = times(rows * (weights[0].shape[0] // _GATES[kind]), _CELL[kind])
    for weight in weights:
        if len(weight.shape) == 1:
            total += Work(adds=rows * weight.numel)
        else:
            total += Work(macs=rows * weight.numel)
    return total


def _network(kind: str, rows: int, weights: Sequence[TensorSpec], cells: int) -> Work:
    each = len(weights) // cells
    chunks = (weights[start : start + each] for start in range(0, each * cells, each))
    return sum((_cell(kind, rows, chunk) for chunk in chunks), Work())


def _derive(call: OpCall) -> Derivation:
    x = tensor(call, "input", "data").shape
    packed = "batch_sizes" in call.args
    rows, of = (x[0], "packed") if packed else (x[0] * x[1], "steps × batch")
    matrices = [spec for spec in call.args["params"] if len(spec.shape) == 2]
    named = tuple(
        Letter(f"W{n}", spec.numel, f"elements of a weight matrix {sizes(spec.shape)}")
        for n, spec in enumerate(matrices, start=1)
    )
    total = " + ".join(letter.symbol for letter in named)
    kind = call.op.removeprefix("aten.")
    biases = sum(spec.numel for spec in call.args["params"] if len(spec.shape) == 1)
    cells = int(call.args["num_layers"]) * (2 if call.get("bidirectional") else 1)
    units = sum(spec.shape[0] for spec in matrices[:: len(matrices) // cells]) // _GATES[kind]
    cell = _CELL[kind]
    formulas = {"macs": f"R·({total})"}
    formulas |= {
        name: f"{times}·R·U" if times > 1 else "R·U"
        for name, times in (
            ("adds", cell.adds),
            ("muls", cell.muls),
            ("compares", cell.compares),
            ("special", cell.special),
        )
        if times
    }
    letters = [Letter("R", rows, f"rows, {of}: input {sizes(x)}"), *named]
    letters.append(Letter("U", units, "hidden units of all layers and directions, each a cell"))
    if biases:
        formulas["adds"] += " + R·B"
        letters.append(Letter("B", biases, "elements of all biases"))
    return Derivation(formulas, tuple(letters))


@counts(
    *(f"aten.{kind}" for kind in _GATES),
    family="recurrent",
    formula="R·Σ|W| MACs over all weight matrices, R additions a bias, and the cells' own operations",
    source="Hochreiter & Schmidhuber 1997; Cho et al. 2014 (arXiv 1406.1078); as torch.nn writes them",
    derive=_derive,
)
def recurrent(call: OpCall) -> Work:
    """A whole network of layers and directions, padded or packed."""
    x = tensor(call, "input", "data")
    packed = "batch_sizes" in call.args
    rows = x.shape[0] if packed else x.shape[0] * x.shape[1]
    cells = int(call.args["num_layers"]) * (2 if call.get("bidirectional") else 1)
    return _network(call.op.removeprefix("aten."), rows, call.args["params"], cells)


_MODES = ("rnn_relu", "rnn_tanh", "lstm", "gru")


@counts(
    "aten.mkldnn_rnn_layer",
    family="recurrent",
    formula="as recurrent, for one layer in one direction",
    source="oneDNN's kernel of the same cells",
)
def mkldnn_rnn_layer(call: OpCall) -> Work:
    """The CPU's fused LSTM layer."""
    x = call.inputs[0]
    weights = [call.args[f"weight{n}"] for n in range(4)]
    if not call.get("has_biases", True):
        weights = weights[:2]
    return _cell(_MODES[int(call.args["mode"])], x.shape[0] * x.shape[1], weights)


@counts(
    "aten._cudnn_rnn",
    family="recurrent",
    formula="as recurrent",
    source="cuDNN's kernel of the same cells",
)
def cudnn_rnn(call: OpCall) -> Work:
    """The GPU's fused network."""
    x, weights = call.inputs[0], call.args["weight"]
    rows = x.shape[0] if call.get("batch_sizes") else x.shape[0] * x.shape[1]
    cells = int(call.args["num_layers"]) * (2 if call.get("bidirectional") else 1)
    return _network(_MODES[int(call.args["mode"])], rows, weights, cells)


@counts(
    "aten._thnn_fused_lstm_cell",
    "aten._thnn_fused_gru_cell",
    family="recurrent",
    formula="the cell's own operations, and two biases where it adds them",
    source="as recurrent; the products are linear layers of their own",
)
def fused_cell(call: OpCall) -> Work:
    """The elementwise part of one step."""
    gates = call.inputs[0]
    kind = "lstm" if "lstm" in call.op else "gru"
    biases = 2 * gates.numel if call.get("input_bias") else 0
    return times(gates.numel // _GATES[kind], _CELL[kind]) + Work(adds=biases)


@counts(
    "aten.mkldnn_rnn_layer_backward",
    family="recurrent",
    formula="2·R·Σ|W| MACs, a sum over the rows for each bias, and per unit 6 additions and 16 products",
    source="every product w·x of the forward pass gives one w·dy and one x·dy; the cell's chain rule",
)
def mkldnn_rnn_layer_backward(call: OpCall) -> Work:
    """All gradients, also those of input and first state that nobody asked for: the kernel gives them."""
    x, matrices = call.inputs[0], [call.args[name] for name in ("weight1", "weight2")]
    rows = x.shape[0] * x.shape[1]
    gates = matrices[0].shape[0]
    biases = 2 * rows * gates if call.get("has_biases", True) else 0
    macs = 2 * rows * sum(matrix.numel for matrix in matrices)
    return Work(macs=macs, adds=biases) + times(rows * gates // 4, Work(adds=6, muls=16))
