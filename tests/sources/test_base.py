from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.errors import SourceUnavailable, SpecError, UnknownModel
from cnnstat.sources import base
from cnnstat.sources.base import is_report, list_models, parse, resolve
from tests import forked
from tests.processes import run


@pytest.mark.parametrize(
    ("text", "source", "name", "args"),
    [
        ("resnet50", None, "resnet50", {}),
        (" resnet50 ", None, "resnet50", {}),
        ("resnet50?num_classes=10", None, "resnet50", {"num_classes": 10}),
        ("tv:resnet50", "torchvision", "resnet50", {}),
        ("torchvision:resnet50", "torchvision", "resnet50", {}),
        ("TV:resnet50", "torchvision", "resnet50", {}),
        ("timm:resnet50.a1_in1k", "timm", "resnet50.a1_in1k", {}),
        ("resnet50.a1_in1k", None, "resnet50.a1_in1k", {}),
        ("zoo:lenet5", "zoo", "lenet5", {}),
        ("net.py", "file", "net.py", {}),
        ("net.py:Net", "file", "net.py:Net", {}),
        ("../a b/net.py:build", "file", "../a b/net.py:build", {}),
        ("C:\\work\\net.py:Net", "file", "C:\\work\\net.py:Net", {}),
        ("c:/code/net.py", "file", "c:/code/net.py", {}),
        ("pkg.module:factory", "module", "pkg.module:factory", {}),
        ("pkg:Models.small", "module", "pkg:Models.small", {}),
        (
            "net.py:build?width=0.5&depth=3&deep=true&norm=None&name=big&sizes=(1,2)",
            "file",
            "net.py:build",
            {
                "width": 0.5,
                "depth": 3,
                "deep": True,
                "norm": None,
                "name": "big",
                "sizes": (1, 2),
            },
        ),
    ],
)
def test_reads(text, source, name, args):
    spec = parse(text)
    assert (spec.source, spec.name, dict(spec.args)) == (source, name, args)
    assert spec.text == text.strip()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("resnet\x0050", "cannot be printed"),
        ("resnet50\nresnet18", "cannot be printed"),
        ("tv:", "no name after the colon"),
        ("timm/resnet50", "has a slash"),
        ("nets\\small", "has a slash"),
        ("hf:bert-base-uncased", "is no source"),
        ("C:net", "is no source"),
        (":Net", "is no source"),
        ("net.py:a:b", "is no source"),
        ("model.pth", "file of weights"),
        ("model.onnx", "file of weights"),
        ("resnet50?", "is no argument"),
        ("resnet50?pretrained", "is no argument"),
        ("resnet50?=3", "is no argument"),
        ("resnet50?a=1&a=2", "twice"),
    ],
)
def test_refuses_in_one_line(text, says):
    with pytest.raises(SpecError, match=says) as caught:
        parse(text)
    assert "\n" not in caught.value.message


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        spec = parse(text)
    except SpecError as error:
        assert error.message.isprintable()
    else:
        assert parse(spec.text) == spec


def test_a_slash_names_both_readings():
    with pytest.raises(SpecError) as caught:
        parse("timm/resnet50")
    assert "path/to/file.py:Name" in caught.value.hint
    assert "timm" in caught.value.hint


def test_pinned_text_means_the_same():
    spec = parse("torchvision:resnet50?num_classes=10&zero_init_residual=true")
    assert spec.pinned == "tv:resnet50?num_classes=10&zero_init_residual=True"
    again = parse(spec.pinned)
    assert (again.source, again.name, again.args) == (spec.source, spec.name, spec.args)


@pytest.mark.parametrize("text", ["-", "r.json", "out/R.JSON"])
def test_a_saved_report(text):
    assert is_report(text)


def test_a_model_is_no_saved_report():
    assert not is_report("resnet50")
    assert not is_report("net.py:json")


def test_reading_needs_no_torch():
    code = "from cnnstat.sources.base import parse; parse('tv:resnet50'); import sys; "
    code += "assert 'torch' not in sys.modules"
    run(code)


def source(names):
    module = ModuleType("source")
    module.names = lambda: names
    module.subject = lambda spec: spec
    return module


def missing():
    def names():
        raise SourceUnavailable("timm: import failed: ImportError: no timm; pip install …")

    module = ModuleType("source")
    module.names = names
    return module


@pytest.fixture
def sources(monkeypatch):
    found = {
        "torchvision": source(["resnet18", "resnet50", "resnet101"]),
        "zoo": source(["lenet5"]),
        "timm": source(["resnet50", "convnext_tiny"]),
    }
    monkeypatch.setattr(base, "_source", lambda name: found[name])
    return found


class TestResolve:
    def test_a_bare_name_is_torchvisions_first(self, sources):
        assert resolve("resnet50").source == "torchvision"
        assert resolve("lenet5").source == "zoo"
        assert resolve("convnext_tiny").source == "timm"

    def test_a_prefix_decides(self, sources):
        assert resolve("timm:resnet50").source == "timm"

    def test_a_missing_timm_changes_no_bare_name(self, sources):
        sources["timm"] = missing()
        assert resolve("resnet50").source == "torchvision"
        assert resolve("lenet5").source == "zoo"

    def test_unknown_names_close_ones(self, sources):
        with pytest.raises(UnknownModel, match="no model named 'resnet5' in") as caught:
            resolve("resnet5")
        assert "resnet50" in caught.value.hint
        with pytest.raises(UnknownModel, match="in timm") as caught:
            resolve("timm:ConvNext_tiny")
        assert "convnext_tiny" in caught.value.hint

    def test_unknown_says_what_is_not_installed(self, sources):
        sources["timm"] = missing()
        with pytest.raises(UnknownModel, match="in torchvision, zoo") as caught:
            resolve("convnext_tiny")
        assert "timm: import failed" in caught.value.hint

    def test_a_broken_source_that_was_asked_for(self, sources):
        sources["timm"] = missing()
        with pytest.raises(SourceUnavailable, match="timm: import failed"):
            resolve("timm:resnet50")


class TestListModels:
    def test_natural_order(self, sources):
        names = [model.name for model in list_models("resnet*", "tv")]
        assert names == ["resnet18", "resnet50", "resnet101"]

    def test_a_word_matches_anywhere(self, sources):
        assert [tuple(model) for model in list_models("NET5")] == [
            ("resnet50", "torchvision"),
            ("lenet5", "zoo"),
            ("resnet50", "timm"),
        ]

    def test_all(self, sources):
        assert len(list_models()) == 6

    def test_a_broken_source_does_not_hide_the_others(self, sources):
        sources["timm"] = missing()
        assert [model.source for model in list_models("net5")] == ["torchvision", "zoo"]
        with pytest.raises(SourceUnavailable):
            list_models(source="timm")

    def test_unknown_source(self, sources):
        with pytest.raises(SpecError, match="'hf' does not exist") as caught:
            list_models(source="hf")
        assert "torchvision" in caught.value.hint


def test_timm_is_not_imported_for_torchvisions_names():
    code = "from cnnstat.sources.base import resolve; resolve('resnet50'); import sys; "
    code += "assert 'timm' not in sys.modules"
    forked.run(code)
