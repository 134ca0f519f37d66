"""The small networks that articles work out by hand: one convolution, or a few in a row, without biases."""

from __future__ import annotations

from torch import nn

from cnnstat.zoo.blocks import Branches, positive, sequence


def standard_conv(inputs: int = 3, outputs: int = 4, kernel: int = 3) -> nn.Conv2d:
    """One convolution, stride 1, whose output is as large as its input. Input 3×5×5.

    The example of depthwise separable convolution in articles: 5×5×3 to 5×5×4 takes 3·4·9 = 108 weights
    and 2,700 multiplications, Howard et al. 2017 (arXiv:1704.04861), equation 2.

    Deviations: none.
    """
    return _conv(inputs, outputs, kernel)


def separable_conv(inputs: int = 3, outputs: int = 4, kernel: int = 3) -> nn.Sequential:
    """A depthwise convolution and then a pointwise one: MobileNet's order. Input 3×5×5.

    Against `standard_conv` it costs 1/`outputs` + 1/`kernel`² as much, Howard et al. 2017, equation 5.

    Deviations: none; the norms and activations between the two are left out, as in the formula.
    """
    depthwise = _conv(inputs, inputs, kernel, groups=inputs)
    return sequence({"depthwise": depthwise, "pointwise": _conv(inputs, outputs, 1)})


def pointwise_first(inputs: int = 32, outputs: int = 64, kernel: int = 3) -> nn.Sequential:
    """A pointwise convolution and then a depthwise one: Xception's order, as Chollet 2016
    (arXiv:1610.02357, section 2) describes an extreme Inception module. Input 32×112×112.

    Deviations: the Xception network itself has the other order, as `zoo:xception`.
    """
    depthwise = _conv(outputs, outputs, kernel, groups=outputs)
    return sequence({"pointwise": _conv(inputs, outputs, 1), "depthwise": depthwise})


def bottleneck_conv(channels: int = 256, middle: int = 64) -> nn.Sequential:
    """1×1 to fewer channels, 3×3 on these, 1×1 back: He et al. 2015 (arXiv:1512.03385), figure 5. Input
    256×14×14.

    Deviations: none; without the shortcut, norms and activations.
    """
    return sequence(
        {
            "reduce": _conv(channels, middle, 1),
            "conv": _conv(middle, middle, 3),
            "expand": _conv(middle, channels, 1),
        }
    )


def factorised_conv(inputs: int = 3, outputs: int = 64, kernel: int = 7) -> nn.Module:
    """A column and a row of `kernel`, side by side on the same channels. Input 3×224×224.

    An article gives GoogLeNet's first convolution (7+7)·64·3 = 2,688 weights, as if it were these two. In
    sequence, 7×1 to 64 channels and then 1×7, they would have 7·3·64 + 7·64·64 = 30,016, more than the
    9,408 of the 7×7.

    Deviations: the paper (Szegedy et al. 2014, arXiv:1409.4842, table 1) has one 7×7 convolution.
    """
    positive(inputs=inputs, outputs=outputs, kernel=kernel)
    half = kernel // 2
    column = nn.Conv2d(inputs, outputs, (kernel, 1), 2, (half, 0), bias=False)
    row = nn.Conv2d(inputs, outputs, (1, kernel), 2, (0, half), bias=False)
    return Branches({"column": column, "row": row})


def _conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Conv2d:
    positive(inputs=inputs, outputs=outputs, kernel=kernel)
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
