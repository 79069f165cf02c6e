"""Latency by a table of measured operations: a sum over places, calibrated on whole networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from nas.compression.owner import Owner, has_bits
from nas.cost_tree import CostNode, Leaf, add, tree_of
from nas.costs.base import TreeCost
from nas.costs.latency_table import HERE, Calibration, Row, check_table, read_latency
from nas.costs.units import Key, Unit, units
from nas.errors import ConfigError

MACHINES = ("this", "any")


def latency_tree(
    net: nn.Module, found: Sequence[Unit], rows: Mapping[Key, Row], fitted: Calibration
) -> CostNode:
    """The tree of ``intercept + factor * (sum over the units that run)``, in ms."""
    own = {unit.module: fitted.factor * rows[unit.key].ms for unit in found}
    return add([Leaf(fitted.intercept), tree_of(net, own)])


class Latency(TreeCost):
    """Expected milliseconds of one forward pass of ``space.network(genotype)`` on a device.

    Additive over (place, candidate) as in ProxylessNAS (arXiv 1812.00332) and FBNet (1812.03443),
    with the calibration that the table holds.

    Args:
        net: the blueprint.
        input_shape: of one input, without batch axis.
        fingerprint: of the space.
        here: facts of this machine (cpu, threads), as ``nas profile`` notes them.
        table: the ``latency.json`` of ``nas profile``.
        machine: ``this``: a table that was measured by this program must be of this machine and
            of as many threads as the run has; ``any``: it is that of the target device.

    Raises:
        ConfigError: for a compressed network, a table of another space, other settings, inputs,
            machine or threads, and one that tells no architecture from another.
        NasError: for a file that is missing or damaged.
    """

    rule = "one forward pass, by a calibrated sum of measured operations (nas profile)"

    def __init__(
        self,
        net: nn.Module,
        input_shape: Sequence[int],
        fingerprint: str,
        here: Mapping[str, Any],
        table: str,
        machine: str = "this",
    ) -> None:
        if machine not in MACHINES:
            raise ConfigError(
                f"cost.latency_ms.machine must be one of {', '.join(MACHINES)}, got {machine!r}"
            )
        if any(isinstance(part, Owner) or has_bits(part) for part in net.modules()):
            raise ConfigError(
                "a table of latencies knows neither bits nor widths nor ranks, so that it says "
                "nothing of a compressed network; limit budget.bitops, macs or size_kb instead, or "
                "set compression=none"
            )
        found, known = units(net, input_shape), read_latency(table)
        check_table(known, found, input_shape, fingerprint, table)
        if machine == "this" and known.device["source"] == HERE:
            _check_machine(known.device, here, table)
        if known.calibration.factor == 0:
            raise ConfigError(
                f"{table} gives every architecture the same latency: its networks' times did not "
                "grow with their operations'; repeat nas profile with higher networks= or repeats="
            )
        self.rule = (
            f"one forward pass of batch {known.device['batch']} on {known.name}, by a calibrated "
            "sum of measured operations"
        )
        tree = latency_tree(net, found, known.rows, known.calibration)
        super().__init__("latency_ms", "ms", tree)


def _check_machine(device: Mapping[str, Any], here: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError where a table of this program's own is of another machine or threads."""
    remedy = "cost.latency_ms.machine=any says that the table's is the target"
    if device.get("cpu") != here["cpu"]:
        raise ConfigError(
            f"{where} was measured on another machine ({device['name']}); measure this one by "
            f"nas profile, or {remedy}"
        )
    if device.get("threads") != here["threads"]:
        raise ConfigError(
            f"{where} was measured with threads={device.get('threads')}, this run has "
            f"threads={here['threads']}; set threads={device.get('threads')}, or {remedy}"
        )
