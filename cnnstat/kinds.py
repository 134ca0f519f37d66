"""The kinds that a layer, an operation or a group can have, in the order in which they are shown."""

from __future__ import annotations

SQUEEZE_EXCITATION = "squeeze-excitation"
DATA_MOVEMENT = "data-movement"

KINDS = (
    *"attention recurrent standard depthwise pointwise grouped grouped-pointwise transposed".split(),
    *(
        "linear",
        "matmul",
        SQUEEZE_EXCITATION,
        "embedding",
        "normalisation",
        "activation",
        "pooling",
    ),
    *"resize dropout elementwise reduction comparison communication".split(),
    DATA_MOVEMENT,
    *"identity container never-called".split(),
)
"""Convolutions are `standard` to `transposed`; `identity` ran nothing; `container` only holds others."""
