"""LeCun et al. 1998, section II.B: trainable parameters of each layer, in the paper's words."""

import torch

from cnnstat.sources.base import resolve

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
