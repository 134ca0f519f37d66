"""Howard et al. 2017, Sandler et al. 2018, Howard et al. 2019: their tables, TF-Slim's pages, timm."""

import pytest
import torch
from torch import nn

import cnnstat
from cnnstat.errors import BuildError
from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton

# Version 1, table 1, from the depthwise convolution on: input channels and input size of each row.
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

# Version 2, table 2: input size and channels, t, c, n, s.
V2_ROWS = [
    (112, 32, 1, 16, 1, 1),
    (112, 16, 6, 24, 2, 2),
    (56, 24, 6, 32, 3, 2),
    (28, 32, 6, 64, 4, 2),
    (14, 64, 6, 96, 3, 1),
    (14, 96, 6, 160, 3, 2),
    (7, 160, 6, 320, 1, 1),
]

# Version 3, tables 1 and 2: input size and channels, kernel, expansion, output, SE, nonlinearity, stride.
V3_ROWS = {
    "large": """
        112 16 3 16 16 - RE 1
        112 16 3 64 24 - RE 2
        56 24 3 72 24 - RE 1
        56 24 5 72 40 SE RE 2
        28 40 5 120 40 SE RE 1
        28 40 5 120 40 SE RE 1
        28 40 3 240 80 - HS 2
        14 80 3 200 80 - HS 1
        14 80 3 184 80 - HS 1
        14 80 3 184 80 - HS 1
        14 80 3 480 112 SE HS 1
        14 112 3 672 112 SE HS 1
        14 112 5 672 160 SE HS 2
        7 160 5 960 160 SE HS 1
        7 160 5 960 160 SE HS 1
    """,
    "small": """
        112 16 3 16 16 SE RE 2
        56 16 3 72 24 - RE 2
        28 24 3 88 24 - RE 1
        28 24 5 96 40 SE HS 2
        14 40 5 240 40 SE HS 1
        14 40 5 240 40 SE HS 1
        14 40 5 120 48 SE HS 1
        14 48 5 144 48 SE HS 1
        14 48 5 288 96 SE HS 2
        7 96 5 576 96 SE HS 1
        7 96 5 576 96 SE HS 1
    """,
}


def model_of(text):
    return build_skeleton(resolve(text).build)


def params(model):
    return sum(param.numel() for param in model.parameters())


def analyzed(text, size=224):
    return cnnstat.analyze(text, (1, 3, size, size))


def without_norms(report):
    return report.totals.params - sum(
        layer.params for layer in report.layers if layer.type == "BatchNorm2d"
    )


def printed(value, digits=0):
    """What a paper may print: rounded, or cut."""
    return {round(value, digits), int(value * 10**digits) / 10**digits}


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
    ("spec", "size", "mult_adds", "millions"),
    [
        # Table 6, and table 7 for the other resolutions: 290.7 is cut to 290 there.
        ("mobilenet_v1", 224, 569, 4.2),
        ("mobilenet_v1?width=0.75", 224, 325, 2.6),
        ("mobilenet_v1?width=0.5", 224, 149, 1.3),
        ("mobilenet_v1?width=0.25", 224, 41, 0.5),
        ("mobilenet_v1", 192, 418, 4.2),
        ("mobilenet_v1", 160, 290, 4.2),
        ("mobilenet_v1", 128, 186, 4.2),
        # Table 9, which prints 1.32.
        ("mobilenet_v1?width=0.5", 160, 76, 1.3),
        # Table 5.
        ("mobilenet_v1_shallow", 224, 307, 2.9),
    ],
)
def test_published_cost(spec, size, mult_adds, millions):
    totals = analyzed(spec, size).totals
    assert mult_adds in printed(totals.macs / 1e6)
    assert round(totals.params / 1e6, 1) == millions


def test_table_4_leaves_the_classifier_of_the_full_convolutions_out():
    report = analyzed("mobilenet_v1_conv")
    assert round((report.totals.macs - report.layer("classifier").macs) / 1e6) == 4866
    assert round(report.totals.macs / 1e6) == 4867
    assert round(report.totals.params / 1e6, 1) == 29.3


@pytest.mark.parametrize(("width", "millions"), [(1.0, 3.3), (0.75, 1.9)])
def test_table_10_has_120_classes(width, millions):
    totals = analyzed(f"mobilenet_v1?width={width}&num_classes=120").totals
    assert round(totals.params / 1e6, 1) == millions


def test_shares_of_table_2():
    report = analyzed("mobilenet_v1")
    biases = {"linear": 1000}
    weights = without_norms(report) - 1000
    rows = {"pointwise": (94.86, 74.59), "depthwise": (3.06, 1.06), "linear": (0.18, 24.33)}
    # A misprint: 1.19 for 1.91, with which the column adds up.
    rows["standard"] = (1.91, 0.02)
    for kind, (macs, parameters) in rows.items():
        part = report.kinds[kind]
        assert macs in printed(100 * part.macs / report.totals.macs, 2)
        assert parameters in printed(100 * (part.params - biases.get(kind, 0)) / weights, 2)


def test_rows_of_version_2():
    report = analyzed("zoo:mobilenet_v2")
    number = 1
    for size, channels, t, c, repeats, stride in V2_ROWS:
        for repeat in range(repeats):
            block = report.layer(f"features.{number}")
            assert block.inputs[0] == (1, channels, size, size)
            middle = [layer for layer in report.layers if layer.path.startswith(f"{block.path}.")]
            assert {x.outputs[0][1] for x in middle if x.kind == "depthwise"} == {channels * t}
            size //= stride if repeat == 0 else 1
            assert block.outputs[0] == (1, c, size, size)
            channels = c
            number += 1
    assert number - 1 == 17
    assert report.layer("features.18").outputs[0] == (1, 1280, 7, 7)


@pytest.mark.parametrize(
    ("width", "macs", "millions"),
    [
        # TF-Slim's page (nets/mobilenet), whose parameters leave batch norm out.
        (1.4, 582, 6.06),
        (1.3, 509, 5.34),
        (1.0, 300, 3.47),
        (0.75, 209, 2.61),
        (0.5, 97, 1.95),
        (0.35, 59, 1.66),
    ],
)
def test_widths_of_version_2(width, macs, millions):
    report = analyzed(f"zoo:mobilenet_v2?width={width}")
    assert macs in printed(report.totals.macs / 1e6)
    assert millions in printed(without_norms(report) / 1e6, 2)


@pytest.mark.parametrize(
    ("width", "macs", "digits", "millions"),
    [
        # Table 4.
        (1.0, 300, 0, 3.4),
        # Version 3's table 3.
        (0.35, 59.2, 1, 1.6),
    ],
)
def test_published_cost_of_version_2(width, macs, digits, millions):
    report = analyzed(f"zoo:mobilenet_v2?width={width}")
    assert macs in printed(report.totals.macs / 1e6, digits)
    assert millions in printed(without_norms(report) / 1e6, 1)


@pytest.mark.parametrize("name", V3_ROWS)
def test_rows_of_version_3(name):
    spec = f"zoo:mobilenet_v3_{name}"
    report, model = analyzed(spec), model_of(spec)
    rows = [line.split() for line in V3_ROWS[name].split("\n") if line.strip()]
    for number, row in enumerate(rows, start=1):
        size, channels, kernel, expanded, out = map(int, row[:5])
        stride = int(row[7])
        path = f"features.{number}"
        assert report.layer(path).inputs[0] == (1, channels, size, size)
        assert report.layer(path).outputs[0] == (1, out, size // stride, size // stride)
        parts = list(model.get_submodule(path).modules())
        depthwise = [m for m in parts if isinstance(m, nn.Conv2d) and m.groups > 1]
        assert [(m.out_channels, m.kernel_size[0]) for m in depthwise] == [(expanded, kernel)]
        assert any(type(m).__name__ == "SqueezeExcitation" for m in parts) == (row[5] == "SE")
        assert any(isinstance(m, nn.Hardswish) for m in parts) == (row[6] == "HS")
    last = {"large": (960, 1280), "small": (576, 1024)}[name]
    assert report.layer(f"features.{len(rows) + 1}").outputs[0] == (1, last[0], 7, 7)
    assert report.layer("classifier.0").outputs[0] == (1, last[1])


@pytest.mark.parametrize(
    ("spec", "macs", "millions"),
    [
        # Table 3; 217 is TF-Slim's page, where the paper says 219.
        ("mobilenet_v3_large", 217, 5.4),
        ("mobilenet_v3_large?width=0.75", 155, 4.0),
        ("mobilenet_v3_small", 56, 2.5),
        # The first arXiv version.
        ("mobilenet_v3_small?last=1280&width=0.75", 44, 2.4),
    ],
)
def test_published_cost_of_version_3(spec, macs, millions):
    totals = analyzed(f"zoo:{spec}").totals
    assert macs in printed(totals.macs / 1e6)
    assert millions in printed(totals.params / 1e6, 1)


def test_what_cannot_be_had_of_version_3():
    # 2.0 M parameters go with 1024 channels at the end, 44 M multiply–adds with 1280.
    totals = analyzed("zoo:mobilenet_v3_small?width=0.75").totals
    assert 2.0 in printed(totals.params / 1e6, 1)
    assert round(totals.macs / 1e6, 1) == 43.4
    # The first arXiv version has 2.9 M parameters, but 66 M multiply–adds.
    totals = analyzed("zoo:mobilenet_v3_small?last=1280").totals
    assert 2.9 in printed(totals.params / 1e6, 1)
    assert round(totals.macs / 1e6, 1) == 56.9


@pytest.mark.parametrize("name", V3_ROWS)
def test_width_of_version_3_against_timm(name):
    pytest.importorskip("timm")
    ours = analyzed(f"zoo:mobilenet_v3_{name}?width=0.75").totals
    theirs = analyzed(f"timm:mobilenetv3_{name}_075").totals
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mobilenet_v1?width=0", "width is 0; expected more than 0 and at most 1"),
        ("mobilenet_v1?width=wide", "width is 'wide'"),
        ("mobilenet_v2?width=2", "width is 2; expected 0.35, 0.5"),
        ("mobilenet_v3_large?width=0.5", "width is 0.5; expected 0.75, 1.0"),
        ("mobilenet_v3_small?last=960", "last is 960; expected 1024, 1280"),
        ("mobilenet_v1_conv?num_classes=0", "num_classes is 0"),
    ],
)
def test_what_the_papers_do_not_have(spec, message):
    with pytest.raises(BuildError, match=message):
        resolve(f"zoo:{spec}").build()
