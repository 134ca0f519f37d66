"""28 steps of 28 pixels, by hand: the papers state no cost."""

import pytest

from cnnstat.zoo.rnn import lstm_classifier
from tests.measured import analyze


@pytest.mark.parametrize(
    ("name", "gates", "hidden"),
    [("rnn_classifier", 1, 128), ("rnn_classifier", 1, 64), ("lstm_classifier", 4, 128)],
)
def test_cost_by_hand(name, gates, hidden):
    report = analyze(f"zoo:{name}?hidden={hidden}")
    # A step: each gate takes 28 pixels and the state to the state.
    step = gates * hidden * (28 + hidden)
    assert report.totals.macs == 28 * step + hidden * 10
    # Weights are shared by the steps; torch has two biases a unit and gate.
    assert report.totals.params == step + gates * 2 * hidden + hidden * 10 + 10
    assert report.layer("rnn").kind == "recurrent"
    assert report.uncounted == ()


def test_hidden_must_be_a_size():
    with pytest.raises(ValueError, match="hidden is 0"):
        lstm_classifier(hidden=0)
