import random

import pytest
import torch
from torch import nn

from cnnstat.errors import BuildError
from cnnstat.sources.factory import call_factory
from cnnstat.sources.skeleton import LARGE, build_skeleton, skeleton
from tests.forked import run

from_import = nn.init.kaiming_normal_


def devices(model):
    return {param.device.type for param in model.parameters()}


def test_parameters_have_shapes_and_no_storage():
    with skeleton():
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(4096, 4096))
    assert devices(model) == {"meta"}
    assert [tuple(p.shape) for p in model.parameters()] == [
        (8, 3, 3, 3),
        (8,),
        (8,),
        (8,),
        (4096, 4096),
        (4096,),
    ]
    assert all(param.requires_grad for param in model.parameters())


def test_small_tensors_are_real():
    with skeleton():
        assert torch.linspace(0, 0.5, 4).tolist()[-1] == 0.5
        assert torch.ones(3).sum().item() == 3
        assert torch.zeros(LARGE).is_meta
        assert torch.zeros(size=(LARGE,)).is_meta
        assert torch.randn((2, LARGE), dtype=torch.float64).is_meta
        assert torch.full((LARGE,), 3.0).is_meta
        assert torch.ones(2).new_zeros(LARGE).is_meta
        assert not torch.zeros(LARGE - 1).is_meta


def test_everything_is_as_before():
    register = nn.Module.register_parameter
    init = dict(vars(nn.init))
    torch.manual_seed(1)
    random.seed(1)
    state, python_state = torch.get_rng_state(), random.getstate()
    with pytest.raises(ZeroDivisionError), skeleton():
        nn.Linear(3, 3)
        torch.rand(3)
        random.random()
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError
    assert nn.Module.register_parameter is register
    assert dict(vars(nn.init)) == init
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python_state
    assert torch.get_default_dtype() is torch.float32
    assert not torch.zeros(LARGE).is_meta
    assert devices(nn.Linear(3, 3)) == {"cpu"}


def test_init_does_nothing():
    weight = torch.zeros(3, 3)
    with skeleton():
        assert nn.init.ones_(weight) is weight
        assert nn.init.kaiming_normal_(tensor=weight) is weight
        kept = nn.init.ones_
        by_name = from_import(nn.Linear(300, 300).weight)
    assert not weight.any()
    assert by_name.is_meta
    # What a package imported by name while a skeleton was built works afterwards.
    assert kept(weight).all()


def test_tied_parameters_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            shared = nn.Parameter(torch.zeros(5, 3))
            self.a, self.b = shared, shared
            self.embedding = nn.Embedding(5, 3)
            self.head = nn.Linear(3, 5, bias=False)
            self.head.weight = self.embedding.weight

    model = build_skeleton(Tied)
    assert model.a is model.b
    assert model.head.weight is model.embedding.weight
    assert sum(param.numel() for param in model.parameters()) == 30
    assert devices(model) == {"meta"}


def test_what_a_parameter_is_stays():
    class Special(nn.Parameter):
        pass

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.special = Special(torch.zeros(3))
            self.special.decay = False
            self.frozen = nn.Parameter(torch.zeros(3, 4).t(), requires_grad=False)
            self.several = nn.ParameterList([torch.zeros(2), torch.zeros(3)])
            self.named = nn.ParameterDict({"x": torch.zeros(4)})
            self.none = None
            self.register_parameter("absent", None)
            self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)

    model = build_skeleton(Model)
    assert type(model.special) is Special
    assert model.special.decay is False
    assert not model.frozen.requires_grad
    assert model.frozen.stride() == (1, 4)
    assert model.absent is None
    assert devices(model) == {"meta"}
    assert all(
        a is b for a, b in zip(model.lstm._flat_weights, model.lstm.parameters(), strict=True)
    )


def test_lazy_and_parametrized_modules():
    lazy = build_skeleton(lambda: nn.LazyLinear(7))
    lazy(torch.empty(2, 5, device="meta"))
    assert lazy.weight.shape == (7, 5)
    assert lazy.weight.is_meta
    for normed in (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm):
        model = build_skeleton(lambda normed=normed: normed(nn.Linear(3, 4)))
        # 4 lengths, 4 × 3 directions, 4 biases.
        assert sum(param.numel() for param in model.parameters()) == 20
        assert devices(model) == {"meta"}


def test_a_constructor_that_runs_its_own_layers():
    class Sized(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten())
            with torch.no_grad():
                size = self.features(torch.zeros(1, 3, 8, 8)).shape[1]
            self.head = nn.Linear(size, 10)

    model = build_skeleton(Sized)
    assert model.head.in_features == 8 * 6 * 6
    assert devices(model) == {"meta"}


def test_a_constructor_that_reads_values_is_called_again():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            calls.append(1)
            self.weight = nn.Parameter(torch.full((3,), 2.0))
            self.width = int(self.weight.sum().item())

    calls = []
    assert build_skeleton(Reads).width == 6
    assert len(calls) == 3

    class ReadsLarge(nn.Module):
        def __init__(self):
            super().__init__()
            table = torch.ones(LARGE)
            self.layer = nn.Linear(int(table.sum().item()), 1)

    model = build_skeleton(ReadsLarge)
    assert model.layer.in_features == LARGE
    assert devices(model) == {"meta"}


def test_a_mistake_is_not_tried_again():
    def build():
        calls.append(1)
        nn.Linear(3, 3)(torch.zeros(1, 4))

    calls = []
    with pytest.raises(RuntimeError):
        build_skeleton(build)
    assert len(calls) == 1

    with pytest.raises(BuildError, match="model: ZeroDivisionError"):
        build_skeleton(lambda: call_factory(lambda: 1 / 0, {}, "model"))


def measure(code):
    """Bytes of the process at its largest, before and after `code` has run, and parameters of its model."""
    out = run(
        f"""
import torch
from torch import nn
from cnnstat.sources.skeleton import build_skeleton
before = peak()
{code}
print(before, peak(), sum(p.numel() for p in model.parameters()))
"""
    )
    return map(int, out.split())


def test_175_billion_parameters_fit():
    # Brown et al. 2020, table 2.1: GPT-3 175B has 96 layers of width 12,288 and 96 heads.
    _, largest, params = measure("""
builds = []
class Decoder(nn.Module):
    def __init__(self, layers=96, width=12288, vocabulary=50257, positions=2048):
        super().__init__()
        builds.append(self)
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(positions, width))
        layer = lambda: nn.TransformerEncoderLayer(width, 96, 4 * width, norm_first=True)
        self.layers = nn.ModuleList(layer() for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("mask", torch.ones(positions, positions).tril())
model = build_skeleton(Decoder)
assert builds == [model]  # at the first attempt, which is the one without storage
""")
    # A layer: 12 d² in its six matrices, 9 d in their biases, 4 d in two layer norms; d = 12,288.
    d = 12288
    assert params == 96 * (12 * d * d + 13 * d) + (50257 + 2048) * d + 2 * d
    assert params == 174_604_259_328
    assert largest < 10**9


def test_vgg16_adds_little():
    # 138,357,544 parameters are 553 MB; what torchvision's own import takes is not counted.
    before, after, params = measure("""
from cnnstat.sources.base import resolve
subject = resolve("vgg16")
build_skeleton(resolve("alexnet").build)
before = peak()
model = build_skeleton(subject.build)
""")
    assert params == 138_357_544
    assert after - before < 60e6
