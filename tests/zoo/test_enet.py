"""Paszke et al. 2016: table 1 (sizes) and the table of hardware requirements."""

from tests.measured import analyze


def test_sizes_of_table_1():
    report = analyze("zoo:enet", (1, 3, 512, 512))
    sizes = {
        "initial": (16, 256),
        "section1": (64, 128),
        "section2and3": (128, 64),
        "section4": (64, 128),
        "section5": (16, 256),
        "fullconv": (20, 512),
    }
    for path, (channels, size) in sizes.items():
        assert report.layer(path).outputs[0] == (1, channels, size, size)
    sections = {"section1": 4, "section2and3": 16, "section4": 2, "section5": 1}
    for path, bottlenecks in sections.items():
        assert report.layer(f"{path}.bottleneck{bottlenecks}")
        assert sum(
            x.path.startswith(f"{path}.") and x.path.count(".") == 1 for x in report.layers
        ) == (bottlenecks)


def test_cost_by_hand():
    # A bottleneck of C channels with c = C/4: 1×1, 3×3 or 5×1 and 1×5, 1×1. In the encoder without the
    # convolutions' own: c bias, norms 2c, 2c, 2C, PReLU c, c, C, that is 7c + 3C.
    def encoder(channels, kinds):
        c = channels // 4
        weights = [2 * channels * c + (9 if kind == "3x3" else 10) * c * c for kind in kinds]
        return sum(weights), len(kinds) * (7 * c + 3 * channels)

    # In the decoder there is no PReLU: c bias, norms 2c, 2c, 2C.
    def decoder(channels, number):
        c = channels // 4
        return number * (2 * channels * c + 9 * c * c), number * (5 * c + 2 * channels)

    kinds = ["3x3", "3x3", "5x5", "3x3"] * 4
    # From 16 to 64 and from 64 to 128: 2×2, 3×3, 1×1; from 128 to 64 and from 64 to 16 a 1×1 beside them.
    down1, down2 = 4 * 16 * 16 + 9 * 16**2 + 16 * 64, 4 * 64 * 32 + 9 * 32**2 + 32 * 128
    parts = {
        # Multiply–adds a position, other parameters, positions of 640×360 halved once, twice, thrice.
        "initial": (27 * 13, 13 + 2 * 16 + 16, 180 * 320),
        "down1": (down1, 7 * 16 + 3 * 64, 90 * 160),
        "section1": (*encoder(64, ["3x3"] * 4), 90 * 160),
        "down2": (down2, 7 * 32 + 3 * 128, 45 * 80),
        "section2and3": (*encoder(128, kinds), 45 * 80),
        "section4": (*decoder(64, 2), 90 * 160),
        "section5": (*decoder(16, 1), 180 * 320),
        "fullconv": (16 * 20 * 9, 20, 180 * 320),
    }
    report = analyze("zoo:enet")
    for path, (weights, others, positions) in parts.items():
        part = report.subtree(path)
        assert (part.params, part.macs) == (weights + others, weights * positions), path
    # Two 1×1 and the full convolution run on the small map, the last 1×1 on the large one.
    for path, big, small, positions in (("up4", 128, 64, 45 * 80), ("up5", 64, 16, 90 * 160)):
        c = small // 4
        part = report.subtree(path)
        before = big * small + big * c + 9 * c * c
        assert part.macs == positions * (before + 4 * c * small)
        assert part.params == before + c * small + 5 * c + 4 * small


def test_published_cost():
    totals = analyze("zoo:enet").totals
    # 0.37 M parameters, 0.7 MB with 16 bits each.
    assert round(totals.params / 1e6, 2) == 0.37
    assert round(2 * totals.params / 2**20, 1) == 0.7
    # 3.83 GFLOPs hold more than two a multiply–add, and more than our one for every other operation.
    assert round(2 * totals.macs / 1e9, 2) == 3.64
    assert round(totals.flops / 1e9, 2) == 3.77
