import torch
from torch import nn

from cnnstat.report import Work
from tests.rules.record import report_of, same_on_every_path, work_of

WORDS = torch.tensor([[1, 2, 4], [0, 3, 3]])


def test_rows_are_looked_up_not_computed():
    assert same_on_every_path(nn.Embedding(5, 3), WORDS) == Work()
    assert same_on_every_path(nn.Embedding(5, 3, padding_idx=0), WORDS) == Work()


def test_it_has_a_line_of_its_own():
    report = report_of(nn.Embedding(5, 3), WORDS)
    assert [tally.rule for layer in report.layers for tally in layer.tallies] == ["embedding"]
    assert report.totals.params == 15


def test_bags_are_sums():
    # 6 rows of 3 elements are added up
    assert same_on_every_path(nn.EmbeddingBag(5, 3, mode="sum"), WORDS) == Work(adds=18)


def test_one_hot_products_would_cost_macs():
    one_hot = torch.eye(5)[WORDS.flatten()]
    # 6·5·3
    assert work_of(torch.matmul, one_hot, torch.rand(5, 3)).macs == 90
