"""LeCun et al. 1998, section II.B: trainable parameters of each layer, in the paper's words."""

import math

import pytest
import torch

from cnnstat.sources.base import resolve
from tests.measured import analyze

PUBLISHED = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164, "output": 0}


def test_params_of_each_layer():
    model = resolve("zoo:lenet5").build()
    layers = dict(model.named_children())
    assert {
        name: sum(p.numel() for p in layers[name].parameters()) for name in PUBLISHED
    } == PUBLISHED
    # 156 + 12 + 1,516 + 32 + 48,120 + 10,164
    assert sum(p.numel() for p in model.parameters()) == 60_000


def test_c3_has_60_kernels():
    model = resolve("lenet5").build()
    # Table I: 6 maps see 3 maps, 9 see 4 and one sees all 6: 18 + 36 + 6 = 60 kernels of 5 × 5,
    # and 16 biases: 1,516. Each column of the table has ten crosses.
    connections = model.c3.connections
    assert sum(map(len, connections)) == 60
    assert [sum(i in maps for maps in connections) for i in range(6)] == [10] * 6
    assert [len(maps) for maps in connections] == [3] * 6 + [4] * 9 + [6]


def test_map_sizes():
    subject = resolve("lenet5")
    assert subject.inputs.args[0].shape == (1, 1, 32, 32)
    x = torch.zeros(1, 1, 32, 32)
    sizes = {}
    for name, layer in subject.build().named_children():
        x = layer(x)
        sizes[name] = tuple(x.shape[1:])
    assert sizes["c1"] == (6, 28, 28)
    assert sizes["s2"] == (6, 14, 14)
    assert sizes["c3"] == (16, 10, 10)
    assert sizes["s4"] == (16, 5, 5)
    assert sizes["c5"] == (120, 1, 1)
    assert sizes["f6"] == (84,)
    assert sizes["output"] == (10,)


def test_subsampling_sums():
    model = resolve("lenet5").build()
    ones = torch.ones(1, 6, 28, 28)
    # 4 units of 1, coefficient 1, bias 0.
    assert torch.allclose(model.s2(ones), torch.sigmoid(torch.tensor(4.0)).expand(1, 6, 14, 14))


def test_sparse_convolution_is_a_masked_dense_one():
    model = resolve("lenet5").build()
    x = torch.rand(1, 6, 14, 14)
    weight = torch.zeros(16, 6, 5, 5)
    for out, (maps, conv) in enumerate(zip(model.c3.connections, model.c3.maps, strict=True)):
        weight[out, list(maps)] = conv.weight[0].detach()
    bias = torch.cat([conv.bias for conv in model.c3.maps])
    dense = torch.nn.functional.conv2d(x, weight, bias)
    torch.testing.assert_close(model.c3(x), dense)


def test_connections_of_each_layer():
    # Section II.B: a connection is a multiplication of a layer with weights, or a bias.
    published = {"c1": 122_304, "c3": 151_600, "c5": 48_120, "f6": 10_164}
    biases = {"c1": 6 * 28 * 28, "c3": 16 * 10 * 10, "c5": 120, "f6": 84}
    report = analyze("zoo:lenet5")
    macs = {name: report.subtree(name).macs for name in published}
    assert {name: macs[name] + biases[name] for name in published} == published
    # A unit of S2 and S4 has five connections, of which none is a multiply–accumulate here: the
    # 5,880 + 2,000, and the 840 of the output, whose centres are fixed, complete the 340,908.
    assert report.totals.macs == sum(macs.values()) == 325_680
    assert sum(published.values()) + 5 * (6 * 14 * 14 + 16 * 5 * 5) + 840 == 340_908


@pytest.mark.parametrize(
    ("name", "weights", "kilobytes", "layers"),
    [
        # Deep Compression: total and layers of tables 2 and 3 in thousands of weights, table 1 in KB
        # of 1,000 bytes, three digits.
        ("lenet_300_100", 266, 1070, {"fc1": 235, "fc2": 30, "fc3": 1}),
        ("lenet5_caffe", 431, 1720, {"conv1": 0.5, "conv2": 25, "ip1": 400, "ip2": 5}),
    ],
)
def test_deep_compression_tables_1_to_3(name, weights, kilobytes, layers):
    report = analyze(f"zoo:{name}")
    params = report.totals.params
    assert params // 1000 == weights
    assert round(params * 4 / 1000, -1) == kilobytes
    for layer, thousands in layers.items():
        # "1K" are 1,000 weights and "0.5K" 500; biases are not in these.
        (weight,) = (size for name, size in sizes(report, layer).items() if name == "weight")
        assert weight / 1000 == pytest.approx(thousands, abs=0.5)
    assert report.uncounted == ()


def sizes(report, layer):
    return {name: math.prod(shape) for name, shape in report.layer(layer).weights.items()}


def test_cost_of_the_compressed_lenets_by_hand():
    # 784·300 + 300 + 300·100 + 100 + 100·10 + 10
    totals = analyze("zoo:lenet_300_100").totals
    assert (totals.params, totals.macs) == (266_610, 784 * 300 + 300 * 100 + 100 * 10)
    # 28 → 24 → 12 → 8 → 4; 25·20 + 20 + 20·25·50 + 50 + 800·500 + 500 + 5,000 + 10
    totals = analyze("zoo:lenet5_caffe").totals
    macs = 24 * 24 * 20 * 25 + 8 * 8 * 50 * 20 * 25 + 800 * 500 + 500 * 10
    assert (totals.params, totals.macs) == (431_080, macs)
    assert macs == 2_293_000
