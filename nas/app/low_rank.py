"""Retraining to a low rank: which layers became two, kept beside the weights of the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig
from torch import nn

from nas import console
from nas.compression import TrainedRank, skeletons, with_ranks
from nas.decision import Genotype
from nas.errors import NasError, SpaceError
from nas.files import read_json, write_json
from nas.instantiate import conforming, factory, target_of
from nas.space import SearchSpace

RANKS = "ranks.json"


def trained_rank(cfg: DictConfig, network: nn.Module) -> TrainedRank | None:
    """What makes the weights of a network low rank while they are trained; None for nothing.

    Raises SpaceError where it finds no layer for that.
    """
    node = cfg.trainer.get("low_rank")
    if node is None:
        return None
    made = factory(node, cfg.plugins)(network)
    return cast(TrainedRank, conforming(made, TrainedRank, target_of(node)))


def shrink(
    network: nn.Module, trained: TrainedRank, space: SearchSpace, choices: Genotype, folder: Path
) -> nn.Module:
    """The trained network with its layers of low rank really as two, on the CPU.

    It is built anew as ``network_of`` will build it from the files; leaves ``ranks.json``, and
    changes ``network``.
    """
    ranks = trained.ranks()
    dense = [name for name in trained.layers if name not in ranks]
    write_json(folder / RANKS, {"form": trained.form, "ranks": ranks, "dense": dense})
    counts = f"{len(ranks)} of {len(trained.layers)} layers"
    if ranks:
        where = f"{folder.parent.name}/{folder.name}/{RANKS}"
        console.say(f"rank    {counts} became two of form {trained.form}, see {where}")
    else:
        console.warn(
            f"{counts} became low rank: what is left of them is above 0.8 of the rank at which two "
            "layers cost as much; lower trainer.low_rank.energy or raise trainer.low_rank.nuclear"
        )
    state = with_ranks(network, trained.form, ranks).state_dict()
    made = network_of(space, choices, folder)
    made.load_state_dict(state)
    return made


def network_of(space: SearchSpace, choices: Genotype, folder: Path) -> nn.Module:
    """The network of a genotype with the ranks that a folder holds, freshly initialized.

    Raises NasError where they do not fit.
    """
    network = space.network(choices)
    if not (folder / RANKS).is_file():
        return network
    record: Mapping[str, Any] = read_json(folder / RANKS)
    try:
        return skeletons(network, str(record["form"]), dict(record["ranks"]))
    except (KeyError, TypeError, ValueError, AttributeError, SpaceError) as error:
        raise NasError(
            f"{folder / RANKS} does not fit the network of its run's settings ({error}); retrain it"
        ) from error
