"""What a report says about a row of a table: whole numbers, before any unit or rounding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from cnnstat.errors import ConfigError
from cnnstat.kinds import SQUEEZE_EXCITATION
from cnnstat.published.tables import CellRule, Network
from cnnstat.report import Layer, Report

_CONVOLUTION = "convolution"


def exact_counts(report: Report, network: Network) -> dict[str, int]:
    """What a row's network has: multiply–accumulates, parameters, those of convolutions, weights."""
    return {
        name: measured(report, network, CellRule(column="", quantity=name))
        for name in ("macs", "params", "conv_macs", "weights")
    }


def measured(report: Report, network: Network, rule: CellRule) -> int:
    """The rule's quantity of a row's part of a report; `per_mac` and `bits` are applied."""
    layers = [layer for layer in report.layers if _inside(layer, network)]
    return QUANTITIES[rule.quantity](report, layers, network, rule) * network.times


def whole(report: Report, rule: CellRule) -> int:
    """The same of the whole network: of which a share is one."""
    return measured(report, Network(spec=""), rule)


def missing_parts(report: Report, network: Network) -> tuple[str, ...]:
    """Paths that the row names and the network does not have."""
    paths = {layer.path for layer in report.layers}
    return tuple(path for path in network.parts + network.less if path not in paths)


def _inside(layer: Layer, network: Network) -> bool:
    def below(path: str) -> bool:
        return layer.path == path or layer.path.startswith(path + ".")

    return (
        (not network.parts or any(map(below, network.parts)))
        and not any(map(below, network.less))
        and (not network.match or re.fullmatch(network.match, layer.path) is not None)
    )


def _counts(kind: str, network: Network, rule: CellRule) -> bool:
    return (
        (not network.kinds or kind in network.kinds)
        and (not rule.only or kind in rule.only)
        and kind not in rule.exclude
    )


def _kind(layer: Layer, kind: str) -> str:
    return SQUEEZE_EXCITATION if layer.group else kind


_Of = Callable[[Report, list[Layer], Network, CellRule], int]


def _macs(report: Report, layers: Iterable[Layer], network: Network, rule: CellRule) -> int:
    return rule.per_mac * sum(
        tally.work.macs
        for layer in layers
        for tally in layer.tallies
        if _counts(_kind(layer, tally.kind), network, rule)
        and (rule.quantity != "conv_macs" or tally.rule == _CONVOLUTION)
    )


def _flops(report: Report, layers: Iterable[Layer], network: Network, rule: CellRule) -> int:
    return sum(
        tally.work.flops
        for layer in layers
        for tally in layer.tallies
        if _counts(_kind(layer, tally.kind), network, rule)
    )


def _activations(report: Report, layers: Iterable[Layer], network: Network, rule: CellRule) -> int:
    return sum(
        tally.work.activations
        for layer in layers
        for tally in layer.tallies
        if _counts(_kind(layer, tally.kind), network, rule)
    )


def _outputs(report: Report, layers: list[Layer], network: Network, rule: CellRule) -> int:
    return sum(tally.written for layer in layers for tally in layer.tallies)


def _moved(report: Report, layers: list[Layer], network: Network, rule: CellRule) -> int:
    return sum(tally.work.moved for layer in layers for tally in layer.tallies)


def _macs_and_products(
    report: Report, layers: list[Layer], network: Network, rule: CellRule
) -> int:
    products = (tally for layer in layers for tally in layer.tallies if tally.rule == "product")
    return _macs(report, layers, network, rule) + sum(tally.work.other for tally in products)


def _macs_and_norms(report: Report, layers: list[Layer], network: Network, rule: CellRule) -> int:
    norms = (tally for layer in layers for tally in layer.tallies if tally.rule == "batch_norm")
    # A norm is y = a·x + b once it is trained: as much as one multiply–accumulate for each output.
    return _macs_and_products(report, layers, network, rule) + sum(tally.written for tally in norms)


def _connections(report: Report, layers: list[Layer], network: Network, rule: CellRule) -> int:
    biased = [layer for layer in layers if "bias" in layer.weights]
    return _macs(report, layers, network, rule) + sum(layer.activations for layer in biased)


def _params(report: Report, layers: Iterable[Layer], network: Network, rule: CellRule) -> int:
    return sum(layer.params for layer in layers if _counts(_kind(layer, layer.kind), network, rule))


def _params_and_moments(
    report: Report, layers: list[Layer], network: Network, rule: CellRule
) -> int:
    return _params(report, layers, network, rule) + 2 * _normed_channels(layers)


def _params_and_one_moment(
    report: Report, layers: list[Layer], network: Network, rule: CellRule
) -> int:
    return _params(report, layers, network, rule) + _normed_channels(layers)


def _normed_channels(layers: Iterable[Layer]) -> int:
    norms = [layer for layer in layers if layer.type.startswith("BatchNorm")]
    return sum(layer.weights["weight"][0] for layer in norms if "weight" in layer.weights)


def _weights(report: Report, layers: Iterable[Layer], network: Network, rule: CellRule) -> int:
    total = 0
    for layer in layers:
        if layer.kind == "normalisation" or not _counts(_kind(layer, layer.kind), network, rule):
            continue
        for name, shape in layer.weights.items():
            if "bias" not in name:
                size = 1
                for side in shape:
                    size *= side
                total += size
    return total


def _bytes(report: Report, layers: list[Layer], network: Network, rule: CellRule) -> int:
    return _params(report, layers, network, rule) * rule.bits // 8


def _bytes_of_millions(
    report: Report, layers: list[Layer], network: Network, rule: CellRule
) -> int:
    return _params(report, layers, network, rule) // 10**6 * 10**6 * rule.bits // 8


def _map(report: Report, layers: Iterable[Layer], network: Network, rule: CellRule) -> int:
    """Bytes of the largest output, of those of one height where the row says so."""
    largest = 0
    for layer in layers:
        for shape in layer.outputs:
            height = shape[2] if len(shape) == 4 else 1
            if len(shape) > 1 and (not network.size or height == network.size):
                elements = 1
                for side in shape[1:]:
                    elements *= side
                largest = max(largest, elements)
    return largest * rule.bits // 8


def _map_begun(report: Report, layers: Iterable[Layer], network: Network, rule: CellRule) -> int:
    """Bytes of maps of the row's height with the most channels that a layer makes of such maps."""
    widest = 0
    for layer in layers:
        for given, made in zip(layer.inputs, layer.outputs, strict=False):
            if len(given) == len(made) == 4 and given[2] == network.size:
                widest = max(widest, made[1] * given[2] * given[3])
    return widest * rule.bits // 8


def _se_formula(report: Report, layers: list[Layer], network: Network, rule: CellRule) -> int:
    """Twice the square of the channels, by a ratio of a quarter, for each block."""
    return sum(group.channels**2 for group in report.groups) // 2


QUANTITIES: dict[str, _Of] = {
    "macs": _macs,
    "conv_macs": _macs,
    "macs_and_products": _macs_and_products,
    "macs_and_norms": _macs_and_norms,
    "connections": _connections,
    "flops": _flops,
    "activations": _activations,
    "outputs": _outputs,
    "moved": _moved,
    "params": _params,
    "params_and_moments": _params_and_moments,
    "params_and_one_moment": _params_and_one_moment,
    "weights": _weights,
    "bytes": _bytes,
    "bytes_of_millions": _bytes_of_millions,
    "map": _map,
    "map_begun": _map_begun,
    "se_formula": _se_formula,
}
"""Multiply–accumulates, of all and of convolutions alone; with one more for each product of two maps, which
the scaling of an excitation is (SENet's table 3); with those and one for each output of a batch norm
(NASNet's and SENet's table 2); with one for each output that has a bias (LeNet's connections); FLOPs;
activations, and outputs of all operations, each with a memory of its own; bytes read and written; parameters;
with the moving mean and variance of norms (Keras); with one of the two, so that a
norm has three numbers a channel (TF-Slim's page of MobileNet); those that are no biases and not of
normalisation; bytes of the parameters, and of their whole millions (Deep Compression); bytes of the largest
output; of maps as large as the inputs of layers with the channels of their outputs (MobileNetV2's table 3);
the formula of an article for squeeze-and-excitation, 2·C²·¼."""


def check_parts(report: Report, network: Network, where: str) -> None:
    """Raise `ConfigError` where a row names a module that its network does not have."""
    missing = missing_parts(report, network)
    if missing:
        raise ConfigError(f"{where}: {network.spec} has no module {missing[0]!r}")
