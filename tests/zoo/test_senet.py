"""Hu et al. 2017: tables 2 and 3 (../shared/published/senet_table2.toml, senet_table3.toml); timm."""

import pytest

from cnnstat.errors import BuildError
from tests.measured import analyze

# Blocks of conv2_x to conv5_x, and channels and size of their outputs.
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STAGES = ((256, 56), (512, 28), (1024, 14), (2048, 7))


def scalings(depth, size=224):
    """Outputs of the blocks' bodies, which squeeze-and-excitation scales."""
    return sum(
        n * c * (s * size // 224) ** 2 for n, (c, s) in zip(BLOCKS[depth], STAGES, strict=True)
    )


def norms(depth, *, narrow, late):
    """Outputs of batch norms: the first convolution's, and of each stage those of n blocks and a projection.

    A block has two convolutions of a `narrow`-th of its output channels; where the second has the stride
    (`late`), the first puts out four times as much in the first block of a stage that halves the size.
    """
    total = 64 * 112**2
    for n, (c, s) in zip(BLOCKS[depth], STAGES, strict=True):
        total += (n * (2 * c // narrow + c) + c) * s * s
        if late and s < 56:
            total += 3 * c // narrow * s * s
    return total


def cut(gflops):
    """To hundredths."""
    return int(gflops / 1e7) / 100


def weights(depth, reduction=16):
    """Section 4: 2/r · Σ N C²."""
    return sum(n * 2 * c * c // reduction for n, (c, _) in zip(BLOCKS[depth], STAGES, strict=True))


def totals(spec, size=224):
    return analyze(spec, (1, 3, size, size)).totals


@pytest.mark.parametrize(
    ("name", "legacy"),
    [
        ("se_resnet50", "seresnet50"),
        ("se_resnet101", "seresnet101"),
        ("se_resnet152", "seresnet152"),
        ("se_resnext50", "seresnext50_32x4d"),
        ("se_resnext101", "seresnext101_32x4d"),
        ("senet154", "senet154"),
    ],
)
def test_the_published_models_in_timm(name, legacy):
    ours, theirs = totals(f"zoo:{name}"), totals(f"timm:legacy_{legacy}")
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)


@pytest.mark.parametrize(
    ("depth", "se", "without", "added"),
    [
        (50, "se_resnet50", "resnet50_v1", 2_514_944),
        (101, "se_resnet101", "resnet101_v1", 4_743_168),
        (152, "se_resnet152", "resnet152_v1", 6_578_176),
        (50, "se_resnext50", "resnext50_32x4d", 2_514_944),
        (101, "se_resnext101", "resnext101_32x4d", 4_743_168),
    ],
)
def test_what_squeeze_and_excitation_adds(depth, se, without, added):
    more, less = totals(f"zoo:{se}"), totals(f"zoo:{without}")
    assert more.macs - less.macs == weights(depth) == added
    # C/16 + C biases a block.
    biases = sum(n * (c // 16 + c) for n, (c, _) in zip(BLOCKS[depth], STAGES, strict=True))
    assert more.params - less.params == added + biases


@pytest.mark.parametrize(
    ("name", "depth", "gflops", "se_gflops"),
    [
        ("resnet50", 50, 3.86, 3.87),
        # Printed 7.60 with excitation: 7.5996 G, rounded.
        ("resnet101", 101, 7.58, 7.59),
        ("resnet152", 152, 11.30, 11.32),
        ("resnext50", 50, 4.24, 4.25),
        ("resnext101", 101, 7.99, 8.00),
    ],
)
def test_table_2(name, depth, gflops, se_gflops):
    # Multiply–adds alone are 3.86, 7.57, 11.28, 4.23 and 7.97.
    aggregated = name.startswith("resnext")
    plain = f"zoo:{name}_32x4d" if aggregated else f"zoo:{name}_v1"
    more = norms(depth, narrow=2 if aggregated else 4, late=aggregated)
    assert cut(totals(plain).macs + more) == gflops
    assert cut(totals(f"zoo:se_{name}").macs + more + scalings(depth)) == se_gflops


def test_table_3():
    se, without = totals("zoo:se_mobilenet"), totals("zoo:mobilenet_v1")
    assert (round(without.params / 1e6, 1), round(se.params / 1e6, 1)) == (4.2, 4.7)
    # Outputs of the 13 separable convolutions, by channels, number and size: each is scaled.
    outputs = ((64, 1, 112), (128, 2, 56), (256, 2, 28), (512, 6, 14), (1024, 2, 7))
    scaled = sum(c * n * s * s for c, n, s in outputs)
    assert (round(without.macs / 1e6), round((se.macs + scaled) / 1e6)) == (569, 572)
    added = sum(n * 2 * c * c // 16 for c, n, _ in outputs)
    assert se.macs - without.macs == added
    assert se.params - without.params == added + sum(n * (c // 16 + c) for c, n, _ in outputs)


def test_senet154_in_nasnet_table_2():
    # ../shared/published/nasnet_table2.toml, at 320×320: 42.3 G, norms and scalings included. Its
    # 145.8 M parameters are not those of the published model, which timm has.
    normed = 160**2 * (64 + 64 + 128)
    for n, (c, s) in zip(BLOCKS[152], STAGES, strict=True):
        # Half of the output channels, all of them, and all again; and a projection.
        size = s * 320 // 224
        normed += (n * (c // 2 + c + c) + c) * size**2
        # The first convolution of a stage that halves the size.
        normed += 3 * c // 2 * size**2 if s < 56 else 0
    macs = totals("zoo:senet154", 320).macs
    assert normed == 78_848_000
    assert round((macs + normed + scalings(152, 320)) / 1e9, 1) == 42.3
    assert totals("zoo:senet154").params == 115_088_984


def test_senet154_by_the_appendix():
    report = analyze("zoo:senet154")
    # 64×4d doubles the channels of 32×4d; the first convolution of a bottleneck has half of them.
    block = report.layer("conv2_x.block1.body.conv1"), report.layer("conv2_x.block1.body.conv2")
    assert [layer.outputs[0][1] for layer in block] == [128, 256]
    assert report.layer("conv2_x.block1.body.conv2.conv").attrs["groups"] == 64
    kernels = [
        report.layer(f"conv{stage}_x.block1.shortcut.conv").attrs["kernel"]
        for stage in (2, 3, 4, 5)
    ]
    assert [tuple(kernel) for kernel in kernels] == [(1, 1), (3, 3), (3, 3), (3, 3)]


@pytest.mark.parametrize("reduction", (2, 4, 8, 16, 32))
def test_reduction(reduction):
    se = totals(f"zoo:se_resnet50?reduction={reduction}")
    assert se.macs - totals("zoo:resnet50_v1").macs == weights(50, reduction)


def test_a_wrong_reduction():
    with pytest.raises(BuildError, match="reduction is 512; expected at most 256"):
        analyze("zoo:se_resnet50?reduction=512")
    with pytest.raises(BuildError, match="reduction is 0; expected a whole number"):
        analyze("zoo:se_resnet50?reduction=0")
