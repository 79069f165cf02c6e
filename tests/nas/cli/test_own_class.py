"""A class of one's own in the place of a shipped one, on the command line."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from nas.cli.compose import composed
from nas.cli.own_class import named_nodes, replace_classes
from nas.cli.positional import parse
from nas.cli.verbs import VERBS

MINE = "space._target_=my_lab.space.Mine"
UPDATE = "strategy.update._target_=my_lab.Rule"
GONE = ["++strategy.update={}", "~strategy.update"]
ENERGY = ["++cost.energy={}", "~cost.energy"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["seed=1", "space.channels=4"], ["seed=1", "space.channels=4"]),
        (
            ["seed=1", MINE, "space.depth=2"],
            ["~space", "seed=1", f"++{MINE}", "++space.depth=2"],
        ),
        (["space=darts", MINE, "space.depth=2"], ["space=darts", f"++{MINE}", "++space.depth=2"]),
        (["~space", f"++{MINE}", "space.depth=3"], ["~space", f"++{MINE}", "++space.depth=3"]),
        (["~space=null", f"++{MINE}"], ["~space=null", f"++{MINE}"]),
        (
            ["strategy=gdas", UPDATE, "strategy.update.clip=1", "strategy.edge_weights=true"],
            [
                *GONE,
                "strategy=gdas",
                f"++{UPDATE}",
                "++strategy.update.clip=1",
                "strategy.edge_weights=true",
            ],
        ),
        ([*GONE, f"++{UPDATE}"], [*GONE, f"++{UPDATE}"]),
        (
            ["+cost.energy._target_=my.E", "budget.energy=3", "budget.macs=4"],
            [*ENERGY, "++cost.energy._target_=my.E", "++budget.energy=3", "budget.macs=4"],
        ),
        (
            [MINE, "space.cell._target_=my_lab.Cell"],
            ["~space", f"++{MINE}", "++space.cell._target_=my_lab.Cell"],
        ),
        (
            ["data._target_=my.D", "data.augment.shift=2"],
            [
                "~data",
                "++data.augment._target_=nas.data.Augment",
                "++data._target_=my.D",
                "++data.augment.shift=2",
            ],
        ),
        (["hydra.sweeper._target_=a.B"], ["hydra.sweeper._target_=a.B"]),
    ],
    ids=[
        "shipped",
        "own",
        "own on a chosen file",
        "of a saved run",
        "of a saved job of a sweep",
        "a part of a strategy",
        "a part of a saved run",
        "a cost and its limit",
        "a class within a class",
        "data with augmentation",
        "of hydra",
    ],
)
def test_what_the_files_say_of_a_replaced_class_is_left_out(
    settings: list[str], expected: list[str]
) -> None:
    assert replace_classes(settings) == expected


def test_nodes_are_named_once_and_in_order() -> None:
    assert named_nodes([UPDATE, f"++{MINE}", MINE, "seed=1"]) == ["strategy.update", "space"]


@pytest.mark.parametrize(
    ("words", "node", "expected"),
    [
        ([MINE, "space.depth=2"], "space", {"_target_": "my_lab.space.Mine", "depth": 2}),
        (
            ["strategy.update._target_=a.B", "strategy.update.clip=1"],
            "strategy.update",
            {"_target_": "a.B", "clip": 1, "_partial_": True},
        ),
        (
            ["optim.weights._target_=torch.optim.AdamW", "optim.weights.lr=1e-3"],
            "optim.weights",
            {"_target_": "torch.optim.AdamW", "lr": 1e-3, "_partial_": True},
        ),
        (["cost.energy._target_=a.E", "budget.energy=3"], "budget.energy", 3),
        (
            ["data=dataset", "data.dataset._target_=a.Set", "data.dataset.root=x"],
            "data.dataset",
            {"_target_": "a.Set", "root": "x", "_partial_": True},
        ),
        (
            ["strategy.schedules.mine._target_=a.S"],
            "strategy.schedules",
            {"mine": {"_target_": "a.S"}},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_line_composes_to_the_new_class_and_its_settings(
    words: list[str], node: str, expected: object
) -> None:
    line = parse(VERBS["search"], words)
    found = OmegaConf.select(composed(line, line.overrides), node)
    assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == expected
