"""The counting rules. Importing this package registers all of them."""

from cnnstat.rules import (
    activation,
    attention,
    communication,
    convolution,
    dropout,
    elementwise,
    embedding,
    linear_algebra,
    matmul,
    normalisation,
    pooling,
    quantised,
    recurrent,
    reduction,
    resize,
)
from cnnstat.rules.base import Rule, all_rules, counted_ops, counts, rule_for
from cnnstat.rules.zero import VIEWS, ZERO

__all__ = ["VIEWS", "ZERO", "Rule", "all_rules", "counted_ops", "counts", "rule_for"]

_MODULES = (
    activation,
    attention,
    communication,
    convolution,
    dropout,
    elementwise,
    embedding,
    linear_algebra,
    matmul,
    normalisation,
    pooling,
    quantised,
    recurrent,
    reduction,
    resize,
)
