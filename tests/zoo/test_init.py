import pytest

from cnnstat.sources.base import list_models
from cnnstat.zoo import MODELS
from tests.measured import analyze
from tests.processes import run

TORCHVISION = {model.name for model in list_models("", "torchvision")}


@pytest.mark.parametrize("name", MODELS)
def test_is_counted_at_its_input_and_names_its_paper(name):
    entry = MODELS[name]
    report = analyze(f"zoo:{name}")
    # Nothing is missing, and shapes were enough: nothing ran for real.
    assert report.uncounted == ()
    assert report.meta["engine"] == "meta"
    assert report.layer("").inputs == (entry.input,)
    assert report.totals.macs > 0
    assert entry.paper
    doc = entry.load().__doc__
    assert "Deviation" in doc
    assert "Input" in doc


@pytest.mark.parametrize("name", sorted(TORCHVISION & set(MODELS)))
def test_a_name_of_torchvision_means_the_same_network(name):
    theirs = analyze(f"tv:{name}")
    ours = analyze(f"zoo:{name}", theirs.layer("").inputs[0])
    assert ours.totals == theirs.totals
    assert ours.kinds == theirs.kinds


def test_the_registry_needs_no_torch():
    code = "import cnnstat.zoo, sys; assert 'torch' not in sys.modules"
    run(code)
