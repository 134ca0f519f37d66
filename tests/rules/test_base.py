import pytest
import torch
from torch import nn

import cnnstat
from cnnstat.kinds import KINDS
from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work
from cnnstat.rules import VIEWS, ZERO, all_rules, counted_ops, counts, rule_for
from cnnstat.rules import base as registry
from cnnstat.rules.base import elements, per_output, tensor, times
from cnnstat.trace.recorder import WHOLE
from tests.rules.record import PATHS, report_of, spec, work_of


@pytest.fixture
def scratch(monkeypatch):
    """A registry that forgets what a test registers."""
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))


# ---- what is registered


def test_an_operation_is_counted_or_zero_and_not_both():
    assert not counted_ops() & ZERO
    assert VIEWS <= ZERO


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_every_rule_explains_itself(rule):
    assert rule.formula and rule.source
    assert rule.doc.endswith(".")
    assert rule.ops and len(set(rule.ops)) == len(rule.ops)
    # A matrix product of the input and a weight is a linear layer: kinds are decided later.
    assert rule.family in KINDS or rule.family == "convolution"


def test_rules_have_names_of_their_own():
    names = [rule.name for rule in all_rules()]
    assert len(set(names)) == len(names)


def exists(name):
    return getattr(torch.ops.aten, name.removeprefix("aten."), None) is not None


@pytest.mark.parametrize("listed", [counted_ops(), ZERO, WHOLE], ids=["counted", "zero", "whole"])
def test_every_name_is_an_operation_of_torch(listed):
    assert sorted(name for name in listed if name.startswith("aten.") and not exists(name)) == []


def test_every_name_says_its_library():
    for name in counted_ops() | ZERO:
        assert name.split(".")[0] in (
            *("aten", "higher_order", "profiler", "quantized", "torchvision"),
        )
        assert name.count(".") == 1


def test_what_is_recorded_whole_has_a_rule():
    assert sorted(WHOLE - counted_ops()) == []


def test_what_is_recorded_whole_is_composite():
    """An operation that torch never takes apart need not be kept in one piece."""

    def composite(name):
        packet = getattr(torch.ops.aten, name.removeprefix("aten."))
        return any(
            torch._C._dispatch_has_kernel_for_dispatch_key(
                getattr(packet, overload).name(), "CompositeImplicitAutograd"
            )
            for overload in packet.overloads()
        )

    assert sorted(name for name in WHOLE if not composite(name)) == []


CORE_WITHOUT_A_RULE = {"aten._pdist_forward", "aten.sym_is_contiguous"}


def test_torchs_core_operations_are_known():
    """The set that torch promises every network can be expressed in, but for the ones listed above."""
    core = set()
    for schema in torch._C._jit_get_all_schemas():
        if not schema.name.startswith("aten::"):
            continue
        packet = getattr(torch.ops.aten, schema.name.removeprefix("aten::"), None)
        for overload in packet.overloads() if packet else ():
            if torch.Tag.core in getattr(packet, overload).tags:
                core.add(schema.name.replace("::", "."))
    assert len(core) > 150
    assert core - counted_ops() - ZERO <= CORE_WITHOUT_A_RULE


# ---- registering


def rule_of(*ops):
    return counts(*ops, family="elementwise", formula="n", source="one an element")


def test_a_second_rule_is_refused(scratch):
    with pytest.raises(ValueError, match=r"aten\.relu has a rule already: relu"):
        rule_of("aten::relu")(lambda call: Work())
    with pytest.raises(ValueError, match=r"aten\.linear has a rule already: linear"):
        rule_of("aten.linear")(lambda call: Work())


SOURCE = """
import cnnstat
@cnnstat.counts({ops}, family="elementwise", formula="n", source="own")
def {name}(call): return cnnstat.Work(adds={adds})
"""


def run_as(file, module, ops='"again::scan"', name="scan", adds=1):
    source = SOURCE.format(ops=ops, name=name, adds=adds)
    exec(compile(source, str(file), "exec"), {"__name__": module})


def adds_of(op):
    return rule_for(op).count(OpCall(0, op, "", {}, ())).adds


def test_a_file_that_is_loaded_again_replaces_its_rules(scratch, tmp_path, recwarn):
    file = tmp_path / "custom.py"
    file.touch()
    run_as(file, "one", ops='"again::scan", "again::gone"')
    (tmp_path / "inner").mkdir()
    run_as(tmp_path / "inner" / ".." / "custom.py", "two", adds=2)
    assert adds_of("again.scan") == 2 and rule_for("again.gone") is None
    assert not recwarn.list


def test_a_cell_that_is_run_again_replaces_its_rule_and_says_so_where_it_was_edited(
    scratch, recwarn
):
    run_as("/tmp/ipykernel_1/11.py", "__main__")
    run_as("/tmp/ipykernel_1/11.py", "__main__")
    assert adds_of("again.scan") == 1 and not recwarn.list
    run_as("/tmp/ipykernel_1/22.py", "__main__", adds=2)
    assert adds_of("again.scan") == 2
    (warning,) = recwarn.list
    assert str(warning.message) == "the rule scan for again.scan replaces that of an earlier cell"


@pytest.mark.parametrize("other", ["file", "name", "cell"])
def test_a_rule_of_another_file_or_name_is_an_error(scratch, tmp_path, other):
    files = [tmp_path / name for name in ("one.py", "two.py")]
    for file in files:
        file.touch()
    run_as(files[0], "one")
    with pytest.raises(ValueError, match=r"again\.scan has a rule already: scan, in .*one\.py"):
        if other == "cell":
            run_as("/tmp/ipykernel_1/11.py", "__main__")
        else:
            run_as(files[other == "file"], "one", name="scan" if other == "file" else "other")
    assert adds_of("again.scan") == 1


def test_a_rule_for_what_is_zero_is_refused(scratch):
    with pytest.raises(ValueError, match=r"aten\.view is zero by definition"):
        rule_of("aten::view")(lambda call: Work())


def test_the_counting_function_stays_what_it_was(scratch):
    @rule_of("mylib::a", "mylib.b")
    def double(call):
        """Doubles."""
        return Work(muls=2)

    assert double(None) == Work(muls=2)
    assert rule_for("mylib.a") is rule_for("mylib.b")
    assert rule_for("mylib.a").name == "double"
    assert rule_for("mylib.a").doc == "Doubles."
    assert rule_for("mylib.c") is None


def custom(name):
    """A user's own operation that returns a tensor like its input."""
    kernel = torch.library.custom_op(
        f"cnnstat_test::{name}", lambda x: x * 2, mutates_args=(), schema="(Tensor x) -> Tensor"
    )
    kernel.register_fake(torch.empty_like)
    return kernel


def test_a_rule_of_ones_own(scratch):
    twice = custom("twice")

    class Net(nn.Module):
        def forward(self, x):
            return torch.relu(twice(x))

    before = cnnstat.analyze(Net(), (3, 4))
    assert [(item.op, item.count) for item in before.uncounted] == [("cnnstat_test.twice", 1)]
    assert before.totals.flops == 12  # the comparisons of relu
    assert any("cnnstat_test.twice" in note.text for note in before.notes)

    @cnnstat.counts("cnnstat_test::twice", family="elementwise", formula="n", source="2·x")
    def twice_rule(call):
        return Work(muls=call.args["x"].numel)

    after = cnnstat.analyze(Net(), (3, 4))
    assert after.uncounted == ()
    assert after.totals.flops == 24
    assert "twice_rule" in {tally.rule for layer in after.layers for tally in layer.tallies}


@pytest.mark.parametrize("path", PATHS)
def test_a_rule_of_ones_own_on_every_path(scratch, path):
    call = custom(f"path_{list(PATHS).index(path)}")
    x = torch.rand(3, 4)
    name = call._qualname.replace("::", ".")
    assert [item.op for item in report_of(call, x, path=path).uncounted] == [name]
    rule_of(name)(per_output(muls=1))
    assert work_of(call, x, path=path) == Work(muls=12)


def test_a_rule_that_fails_is_said(scratch):
    call = custom("fails")
    rule_of("cnnstat_test::fails")(lambda op: Work(muls=op.args["no such"].numel))
    report = report_of(call, torch.rand(3, 4))
    assert [item.op for item in report.uncounted] == ["cnnstat_test.fails"]
    assert [note.kind for note in report.notes if note.kind == "rule-failed"] == ["rule-failed"]


# ---- what rules share


def call_of(*outputs, **args):
    return OpCall(index=0, op="test.op", scope="", args=args, outputs=outputs)


def test_arguments_by_name():
    call = call_of(spec(1), self=spec(2), weight=spec(3), bias=None)
    assert tensor(call, "weight", "self") == spec(3)
    assert tensor(call, "nothing", "weight") == spec(3)
    assert tensor(call, "bias") == spec(2)  # the first there is
    assert call.get("bias", 7) == 7


def test_lists_of_tensors_are_arguments():
    assert call_of(tensors=(spec(2), (spec(3), None), 4)).inputs == (spec(2), spec(3))


def test_counts_for_each_element():
    call = call_of(TensorSpec((2, 3)), TensorSpec((9,)), x=TensorSpec((2, 3, 4)))
    assert per_output(adds=2)(call) == Work(adds=12)
    assert times(5, Work(1, 2, 3, 4, 5, 0, 6)) == Work(5, 10, 15, 20, 25, 0, 30)
    assert elements(()) == 1 and elements((3, 0)) == 0
