import subprocess
import sys

import pytest
import torch

from cnnstat.sources.base import resolve
from cnnstat.zoo import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_runs_at_its_input_and_names_its_paper(name):
    subject = resolve(f"zoo:{name}")
    model = subject.build().eval()
    with torch.no_grad():
        out = model(torch.zeros(subject.inputs.args[0].shape))
    assert out.shape[0] == 1
    assert MODELS[name].paper
    doc = MODELS[name].load().__doc__
    assert "Deviation" in doc
    assert "Input" in doc


def test_the_registry_needs_no_torch():
    code = "import cnnstat.zoo, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
