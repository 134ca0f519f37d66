"""Recurrent networks that read a digit row by row."""

from __future__ import annotations

import torch
from torch import nn

from cnnstat.zoo.blocks import positive


def rnn_classifier(hidden: int = 128) -> nn.Module:
    """A plain recurrent network (Elman, "Finding Structure in Time", Cognitive Science 1990) and a
    linear layer on its last state. Input 28×28: a digit of MNIST as 28 steps of 28 pixels.

    h(t) = tanh(W x(t) + U h(t−1) + b), the classes from h(28).

    Deviations: an example and no network of the paper; torch adds a second bias beside U, which
    changes parameters but no MAC.
    """
    return RowReader(nn.RNN, hidden)


def lstm_classifier(hidden: int = 128) -> nn.Module:
    """Long short-term memory (Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation
    1997) and a linear layer on its last state. Input 28×28: a digit of MNIST as 28 steps of 28
    pixels.

    Four times the work of a plain recurrent network: input, forget and output gate, and candidate.

    Deviations: an example and no network of the paper, whose cell has no forget gate (Gers,
    Schmidhuber, Cummins, "Learning to Forget", 2000); torch adds a second bias for each gate.
    """
    return RowReader(nn.LSTM, hidden)


class RowReader(nn.Module):
    """A recurrent layer over the rows of an image; classes from its last output."""

    def __init__(self, layer: type[nn.RNN] | type[nn.LSTM], hidden: int) -> None:
        super().__init__()
        positive(hidden=hidden)
        self.rnn = layer(28, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classes of digits."""
        outputs, _ = self.rnn(x)
        classes: torch.Tensor = self.fc(outputs[:, -1])
        return classes
