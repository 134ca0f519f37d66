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
            *(
                "_c10d_functional",
                "_c10d_functional_autograd",
                "aten",
                "c10d",
                "higher_order",
                "profiler",
                "quantized",
                "torchvision",
            ),
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


RULE = """
import cnnstat
@cnnstat.counts("mylib::scan", family="elementwise", formula="{n} n", source="own")
def {name}(call):
    return cnnstat.Work(adds={n} * call.output.numel)
"""


def run_code(file, name="scan", n=1):
    """Run the code of a file or a cell that registers the rule of `n` additions an element."""
    exec(compile(RULE.format(name=name, n=n), file, "exec"), {"__name__": "__main__"})


def test_a_file_that_is_loaded_again_replaces_its_rule(scratch):
    run_code("/somewhere/net.py")
    run_code("/somewhere/net.py", n=2)
    assert rule_for("mylib.scan").formula == "2 n"
    assert not rule_for("mylib.scan").edited


@pytest.mark.parametrize(
    ("file", "name"), [("/else/net.py", "scan"), ("/somewhere/net.py", "other")]
)
def test_another_file_or_another_name_is_refused(scratch, file, name):
    run_code("/somewhere/net.py")
    with pytest.raises(ValueError, match=r"mylib\.scan has a rule already: scan"):
        run_code(file, name, n=2)
    assert rule_for("mylib.scan").formula == "1 n"


@pytest.mark.parametrize(
    "cell",
    ["<ipython-input-{}-ab>", "/tmp/ipykernel_7/{}.py", "<stdin>", "/tmp/__marimo__cell_{}_.py"],
)
def test_a_cell_replaces_its_rule_and_says_so_where_it_was_edited(scratch, cell):
    run_code(cell.format(1))
    run_code(cell.format(2))
    assert not rule_for("mylib.scan").edited
    run_code(cell.format(3), n=2)
    assert rule_for("mylib.scan").edited
    assert rule_for("mylib.scan").formula == "2 n"
    with pytest.raises(ValueError, match="has a rule already"):
        run_code(cell.format(4), name="other")


def test_what_a_replaced_rule_counted_besides_has_no_rule(scratch):
    code = "import cnnstat\ndef scan(call): ...\n"
    code += "cnnstat.counts({}, family='a', formula='n', source='own')(scan)"
    for ops in ("'mylib::a', 'mylib::b'", "'mylib::a'"):
        exec(compile(code.format(ops), "/somewhere/net.py", "exec"), {"__name__": "net"})
    assert rule_for("mylib.a") is not None
    assert rule_for("mylib.b") is None


def test_a_refused_rule_leaves_everything_as_it_was(scratch):
    with pytest.raises(ValueError, match="aten\\.relu"):
        rule_of("mylib::new", "aten::relu")(lambda call: Work())
    assert rule_for("mylib.new") is None
    assert rule_for("aten.relu").name == "relu"


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
