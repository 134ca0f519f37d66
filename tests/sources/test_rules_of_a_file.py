"""A file that defines a rule beside its networks can be loaded more than once."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnstat
from cnnstat.rules import base

FILE = """
import cnnstat, torch
from torch import nn

@torch.library.custom_op("{lib}::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x.cumsum(1)

@twice.register_fake
def _(x):
    return torch.empty_like(x)

@cnnstat.counts("{lib}::twice", family="elementwise", formula="n", source="one a element")
def rule(call):
    return cnnstat.Work(adds=call.output.numel)

class A(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return twice(self.layer(x))

class C(A):
    def forward(self, x):
        return self.layer(x)
"""


def test_two_networks_of_one_file_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3·4·4 MACs in both; A: 2·48 FLOPs, 3·4 of the bias and 3·4 of the operation."""
    monkeypatch.setattr(base, "_RULES", dict(base._RULES))
    file = tmp_path / "net.py"
    file.write_text(FILE.format(lib="cnnstat_test_rules"))
    reports = [cnnstat.analyze(f"{file}:{name}", (3, 4)) for name in "AC"]
    assert len(cnnstat.compare(*reports).others) == 1
    totals = [report.totals for report in reports]
    assert [total.macs for total in totals] == [48, 48]
    assert [total.flops for total in totals] == [120, 108]


def test_an_edited_cell_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_RULES", dict(base._RULES))
    space: dict[str, object] = {"__name__": "__main__"}
    code = FILE.format(lib="cnnstat_test_cell")
    for number, text in enumerate((code, code.replace("adds=", "adds=2 * "))):
        exec(compile(text, f"/tmp/ipykernel_1/{number}.py", "exec"), space)
    report = cnnstat.analyze(space["A"](), (3, 4))  # type: ignore[operator]
    assert report.totals.flops == 120 + 12
    assert [note.kind for note in report.notes] == ["edited-rule"]
