import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnstat.analysis import analyze
from cnnstat.report import Work
from cnnstat.rules import all_rules
from tests.rules.record import backward_macs, count_op, same_on_every_path, spec, work_of

X = torch.rand(2, 4, 3, 3)  # n = 72

# For each element, from the definitions in torch's documentation: additions, products, comparisons,
# special functions (exp, log, tanh, erf, division).
PER_ELEMENT = [
    (nn.ReLU(), Work(compares=1)),  # max(x, 0)
    (nn.ReLU6(), Work(compares=2)),  # min(max(x, 0), 6)
    (nn.Hardtanh(), Work(compares=2)),
    (nn.LeakyReLU(), Work(compares=1, muls=1)),  # x or a·x
    (nn.PReLU(), Work(compares=1, muls=1)),
    (nn.PReLU(4), Work(compares=1, muls=1)),
    (nn.Sigmoid(), Work(adds=1, special=2)),  # 1/(1 + e^−x)
    (nn.Tanh(), Work(special=1)),
    (nn.SiLU(), Work(adds=1, muls=1, special=2)),  # x·1/(1 + e^−x)
    (nn.LogSigmoid(), Work(adds=1, special=2)),  # −log(1 + e^−x)
    (nn.Softplus(), Work(adds=1, special=2)),  # log(1 + e^x)
    (nn.Mish(), Work(adds=1, muls=1, special=3)),  # x·tanh(log(1 + e^x))
    (nn.ELU(), Work(adds=1, muls=1, compares=1, special=1)),  # x or a·(e^x − 1)
    (nn.SELU(), Work(adds=1, muls=1, compares=1, special=1)),
    (nn.CELU(), Work(adds=1, muls=1, compares=1, special=1)),
    (nn.GELU(), Work(adds=1, muls=3, special=1)),  # ½·x·(1 + erf(x·1/√2))
    # ½·x·(1 + tanh(√(2/π)·(x + 0.0447·x³))): x³ takes two products
    (nn.GELU("tanh"), Work(adds=2, muls=6, special=1)),
    (nn.Hardsigmoid(), Work(adds=1, muls=1, compares=2)),  # min(max(x/6 + ½, 0), 1)
    (nn.Hardswish(), Work(adds=1, muls=2, compares=2)),  # x·min(max(x/6 + ½, 0), 1)
    (nn.Softshrink(), Work(adds=1, compares=2)),  # x − a, x + a or 0
    (nn.Threshold(0.1, 0.2), Work(compares=1, muls=1)),
    (nn.Tanhshrink(), Work(adds=1, special=1)),  # x − tanh(x)
    (nn.Softsign(), Work(adds=1, compares=1, special=1)),  # x/(1 + |x|)
    (nn.Identity(), Work()),
]


@pytest.mark.parametrize(("layer", "unit"), PER_ELEMENT, ids=lambda value: str(value)[:20])
def test_each_element(layer, unit):
    expected = sum((unit for _ in range(72)), Work())
    assert same_on_every_path(layer, X) == expected


@pytest.mark.parametrize(
    "kind",
    [
        nn.ReLU,
        nn.ReLU6,
        nn.ELU,
        nn.SELU,
        nn.CELU,
        nn.SiLU,
        nn.Mish,
        nn.Hardtanh,
        nn.Hardswish,
        nn.LeakyReLU,
    ],
)
def test_in_place_is_the_same_work(kind):
    assert same_on_every_path(kind(inplace=True), X.clone()) == same_on_every_path(kind(), X)


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), torch.relu),
        (nn.ReLU(), F.relu_),
        (nn.GELU(), F.gelu),
        (nn.SiLU(), F.silu),
        (nn.Sigmoid(), torch.sigmoid),
        (nn.Hardswish(), F.hardswish),
        (nn.Softplus(), F.softplus),
        (nn.RReLU().eval(), lambda x: F.leaky_relu(x, 0.2)),
    ],
)
def test_modules_and_functions_agree(layer, function):
    assert same_on_every_path(layer, X.clone()) == same_on_every_path(function, X.clone())


def test_gated():
    # a·sigmoid(b) for half of the elements each
    assert same_on_every_path(nn.GLU(dim=1), X) == Work(adds=36, muls=36, special=72)


def test_silu_is_a_product_with_a_sigmoid():
    assert work_of(F.silu, X) == work_of(lambda x: x * torch.sigmoid(x), X)


def test_hardswish_is_a_product_with_a_hardsigmoid():
    assert work_of(F.hardswish, X) == work_of(lambda x: x * F.hardsigmoid(x), X)


GRADIENTS = [layer for layer, unit in PER_ELEMENT if unit != Work()]


@pytest.mark.parametrize("layer", GRADIENTS, ids=str)
def test_gradients_are_counted(layer):
    # The convolution's weight alone takes MACs: 4·4 at 2·3·3 positions; nothing is left uncounted.
    assert backward_macs(nn.Sequential(nn.Conv2d(4, 4, 1), layer), (2, 4, 3, 3)) == 288


@pytest.mark.parametrize("layer", GRADIENTS, ids=str)
def test_gradients_are_work(layer):
    model = nn.Sequential(nn.Conv2d(4, 4, 1), layer)
    row = next(row for row in analyze(model, (2, 4, 3, 3), backward=True).layers if row.path == "1")
    forward = work_of(layer, X)
    assert sum((tally.work for tally in row.tallies), Work()).flops > forward.flops


def test_gradients_by_hand():
    dx = {"grad_output": spec(72), "self": spec(72)}
    # dy·y·(1 − y)
    assert count_op("aten.sigmoid_backward", spec(72), **dx) == Work(adds=72, muls=144)
    # dy·(1 − y²)
    assert count_op("aten.tanh_backward", spec(72), **dx) == Work(adds=72, muls=144)
    # dy where x > 0
    assert count_op("aten.threshold_backward", spec(72), **dx) == Work(compares=72)
    # dy where x is within both limits
    assert count_op("aten.hardtanh_backward", spec(72), **dx) == Work(compares=144)


def test_the_formula_says_what_is_counted():
    """`2n products` in words is two products for each of n elements in the count."""
    words = {"additions": "adds", "products": "muls", "comparisons": "compares"}
    names = words | {"special functions": "special"}
    for rule in all_rules():
        if rule.family != "activation" or rule.formula == "5n" or rule.name.startswith("gelu"):
            continue
        counted = count_op(rule.ops[0], spec(7))
        said = {}
        for part in rule.formula.split(", "):
            number, _, what = part.partition("n ")
            said[names[what]] = 7 * int(number or 1)
        assert counted == Work(**said), rule.name
