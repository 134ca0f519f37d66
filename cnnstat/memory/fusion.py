"""What runtimes run as part of the operation before it. Data, with the source for each runtime."""

from __future__ import annotations

from dataclasses import dataclass

ACTIVATIONS = frozenset(
    "relu hardtanh leaky_relu sigmoid tanh silu log_sigmoid mish softplus elu hardsigmoid hardswish "
    "hardshrink gelu".split()
)
"""Rules of the activation functions of one element: not softmax or GLU."""

WEIGHTED = frozenset({"convolution", "linear"})
"""Families whose weights take in a batch norm that follows."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """What a runtime runs as part of the operation before it. By default: nothing, as PyTorch itself.

    Only ever into the sole producer of a tensor that has no other reader.
    """

    activations: frozenset[str] = frozenset()
    """Activation functions that are folded, by the names of their rules (`ACTIVATIONS`)."""
    after: frozenset[str] | None = None
    """Families of operations that they are folded into; `None`: any."""
    norms_after: frozenset[str] | None = frozenset()
    """Families of operations that batch normalisation is folded into; `None`: any."""
    gated: frozenset[str] = frozenset()
    """Activations x·g(x) that stay two nodes, so that x, g(x) and the product exist at the same time."""
    in_place: bool = True
    """Whether a sum that the model writes in place (`x += y`) stays so. Where a model is converted, each
    result becomes a tensor of its own, and what is shared after all is up to the runtime's planner."""


GENERAL = Fusion(ACTIVATIONS, after=None, norms_after=None)
"""Whatever is done element by element happens as its input is written: as in a compiler, or by hand."""

# TensorFlow, tensorflow/compiler/mlir/lite/transforms/optimize_patterns.td and optimize.cc: activations that
# only clamp, after Conv2D, DepthwiseConv2D, FullyConnected, pooling and binary operations; constants are
# multiplied and added into convolutions and FullyConnected only. HARD_SWISH and GELU are operations; SiLU
# becomes LOGISTIC and MUL.
TFLITE = Fusion(
    activations=frozenset({"relu", "hardtanh"}),
    after=frozenset({"convolution", "linear", "pooling", "elementwise"}),
    norms_after=WEIGHTED,
    gated=frozenset({"silu"}),
    in_place=False,
)
"""TensorFlow Lite (LiteRT) and its interpreter for microcontrollers."""

# ONNX Runtime, onnxruntime/core/optimizer: conv_activation_fusion.cc (Relu, Sigmoid, Tanh, LeakyRelu, Clip,
# HardSigmoid on the CPU) and gemm_activation_fusion.cc. SiLU is exported as Sigmoid and Mul, which
# quick_gelu_fusion.cc makes one again; HardSwish is a function that is inlined to HardSigmoid and Mul.
ONNXRUNTIME = Fusion(
    activations=frozenset({"relu", "hardtanh", "leaky_relu", "sigmoid", "tanh", "hardsigmoid"}),
    after=WEIGHTED,
    norms_after=WEIGHTED,
    gated=frozenset({"hardswish"}),
    in_place=False,
)
"""ONNX Runtime on a CPU, without its blocked layout, in which sums are folded into convolutions, too."""

_FUSIONS = {"tflm": TFLITE, "litert": TFLITE, "ort": ONNXRUNTIME}


def fusion_for(runtime: str) -> Fusion:
    """What a runtime of `cnnstat.memory.planners` folds; the general plan where that is not known."""
    return _FUSIONS.get(runtime, GENERAL)
