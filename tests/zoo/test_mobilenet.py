"""Howard et al. 2017: table 1 (layers), tables 6 and 7 (widths and resolutions)."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton

# Table 1, from the depthwise convolution on: input channels and input size of each row.
ROWS = [
    (32, 112),
    (64, 112),
    (128, 56),
    (128, 56),
    (256, 28),
    (256, 28),
    *[(512, 14)] * 5,
    (512, 14),
    (1024, 7),
]


def model_of(text):
    return build_skeleton(resolve(text).build)


def params(model):
    return sum(param.numel() for param in model.parameters())


def test_params_by_hand():
    # Convolutions without bias and two numbers a channel for batch norm: 3·32·9 + 2·32, then for
    # c → d channels 9c + 2c + cd + 2d, then 1024·1000 + 1000.
    outs = [64, 128, 128, 256, 256, 512, *[512] * 5, 1024, 1024]
    expected = 3 * 32 * 9 + 2 * 32 + 1024 * 1000 + 1000
    expected += sum(11 * c + c * d + 2 * d for (c, _), d in zip(ROWS, outs, strict=True))
    assert params(model_of("mobilenet_v1")) == expected == 4_231_976


def test_rows_of_table_1():
    model = model_of("mobilenet_v1").to_empty(device="meta").eval()
    seen = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            layer.register_forward_hook(lambda m, args, out: seen.append(tuple(args[0].shape[1:])))
    assert model(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)
    assert seen == [(channels, size, size) for channels, size in ROWS]
    # "MobileNet has 28 layers", depthwise and pointwise counted separately.
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == 28


@pytest.mark.parametrize(
    ("width", "size", "mult_adds", "millions"),
    [
        # Table 6, and table 7 for the other resolutions.
        (1.0, 224, 569, 4.2),
        (0.75, 224, 325, 2.6),
        (0.5, 224, 149, 1.3),
        (0.25, 224, 41, 0.5),
        (1.0, 192, 418, 4.2),
        (1.0, 160, 290, 4.2),
        (1.0, 128, 186, 4.2),
    ],
)
def test_published_cost(width, size, mult_adds, millions):
    model = model_of(f"mobilenet_v1?width={width}").to_empty(device="meta").eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, size, size, device="meta"))
    macs = counter.get_total_flops() // 2
    # Printed in whole millions, and not always rounded to the nearest.
    assert macs / 1e6 == pytest.approx(mult_adds, abs=1)
    assert params(model) / 1e6 == pytest.approx(millions, abs=0.051)
