"""Networks as ordinary modules: of a run with its weights, or of a published genotype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from nas.dataspec import DataSpec
from nas.errors import GenotypeError, NasError, nearest

if TYPE_CHECKING:
    from torch import nn

    from nas.data import ArrayData
    from nas.space import SearchSpace

SHORT = {"channels": "network_channels", "cells": "network_cells"}
"""Arguments of `network` for those of a space that shape the derived network."""


def load(
    run: str | PathLike[str],
    name: str = "found",
    *,
    runs: str = "runs",
    plugins: Sequence[str] = (),
) -> nn.Module:
    """A retrained network of a run with its weights: a plain module in eval mode, on the CPU.

    Args:
        run: a run's folder, or part of its name.
        name: ``found``, or another network that was retrained, such as ``random-0``.
        runs: folder of all runs.
        plugins: modules of yours that the run was made with, where you trust them.

    Raises:
        NasError: there is no such run, or it holds no such network.
    """
    from nas.app.changed import tell_changed
    from nas.app.reopen import saved_config
    from nas.app.stages.evaluate import network_in
    from nas.build import Parts
    from nas.store.folder import resolve

    folder = resolve(str(run), runs)
    cfg = saved_config(folder, plugins)
    tell_changed(folder, cfg)
    parts = Parts(cfg, _only_shape(folder.data_spec()))
    return network_in(folder, parts.space, name)


def network(
    genotype: str | PathLike[str],
    *,
    space: str = "darts",
    input_shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    **arguments: Any,
) -> nn.Module:
    """The freshly initialized network of a published genotype, a file or a run's genotype.

    Args:
        genotype: a published name such as ``PC_DARTS_cifar``, ``FILE.json``, or a run.
        space: the shipped space it belongs to.
        input_shape: ``(C, H, W)`` or ``(C, L)`` of one input.
        classes: number of outputs.
        arguments: of the space's constructor; ``channels`` and ``cells`` are the network's.

    Returns:
        A module from inputs (N, C, ...) to logits (N, classes).

    Raises:
        GenotypeError: no genotype of that name, or of another space.
    """
    from nas.app.located import locate
    from nas.genotype import check_space
    from nas.genotype import load as load_file
    from nas.space import check_genotype, fingerprint, name_of

    data = DataSpec(input_shape=tuple(input_shape), kind="classes", outputs=classes)
    made = shipped_space(space, data, arguments)
    published = dict(getattr(made, "named", dict[str, object])())
    text = str(genotype)
    if text in published:
        return cast("nn.Module", made.build(published[text]))  # type: ignore[attr-defined]
    file = locate(text, "runs")
    if file is None:
        hint = nearest(text, published) or f"; published are {', '.join(published)}"
        raise GenotypeError(f"no genotype {text!r}: no published one, run or .json file{hint}")
    found = load_file(file)
    check_space(found, name_of(made), fingerprint(made))
    return made.network(check_genotype(made, found.choices))


def shipped_space(name: str, data: DataSpec, arguments: Mapping[str, Any]) -> SearchSpace:
    """A shipped space for some data, with arguments of its constructor (or `SHORT` forms).

    Raises NasError for an unknown space or argument.
    """
    from inspect import signature

    from nas.cli.known_spaces import listed
    from nas.instantiate import loaded

    shipped = {entry.name: entry.file for entry in listed()}
    if name not in shipped:
        hint = nearest(name, shipped) or f"; there are {', '.join(shipped)}"
        raise NasError(f"no space {name!r}{hint}")
    make = loaded(_target(shipped[name]))
    known = signature(make).parameters
    given = {
        SHORT[key] if SHORT.get(key) in known else key: value for key, value in arguments.items()
    }
    unknown = [key for key in given if key not in known]
    if unknown:
        raise NasError(f"space {name!r} has no argument {unknown[0]!r}{nearest(unknown[0], known)}")
    return cast("SearchSpace", make(data=data, **given))


def _target(config: Path) -> str:
    from omegaconf import OmegaConf

    return str(OmegaConf.select(OmegaConf.load(config), "_target_"))


def _only_shape(spec: DataSpec) -> ArrayData:
    # A network needs to know of the data what the specification says, and no sample.
    return cast("ArrayData", SimpleNamespace(spec=spec))
