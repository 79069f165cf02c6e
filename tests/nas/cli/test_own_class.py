"""A class of one's own in the place of a shipped one, on the command line."""

from __future__ import annotations

import pytest

from nas.cli.own_class import replace_group
from nas.cli.positional import parse
from nas.cli.verbs import VERBS

MINE = "space._target_=my_lab.space.Mine"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["seed=1", "space.channels=4"], ["seed=1", "space.channels=4"]),
        (
            ["seed=1", MINE, "space.depth=2"],
            ["~space", "seed=1", f"++{MINE}", "++space.depth=2"],
        ),
        (["space=darts", MINE, "space.depth=2"], ["space=darts", MINE, "space.depth=2"]),
        (["~space", f"++{MINE}", "space.depth=3"], ["~space", f"++{MINE}", "++space.depth=3"]),
    ],
    ids=["shipped", "own", "own on a chosen file", "of a saved run"],
)
def test_the_group_of_a_replaced_class_is_left_out(
    settings: list[str], expected: list[str]
) -> None:
    assert replace_group(settings) == expected


def test_a_line_is_read_so() -> None:
    line = parse(VERBS["search"], ["plugins=[my_lab.space]", MINE])
    assert line.overrides == ("~space", "plugins=[my_lab.space]", f"++{MINE}")
