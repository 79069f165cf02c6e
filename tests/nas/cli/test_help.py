from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nas.cli.help import GROUPS, groups, settings, sort_groups, used_groups
from nas.cli.verbs import VERBS
from nas.console import MAX_COLUMNS

Say = Callable[..., "tuple[int, str, str]"]


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize("form", ["help {}", "{} --help", "{} a=b -h"])
def test_every_verb_explains_itself(say: Say, checkout: Path, verb: str, form: str) -> None:
    status, out, err = say(*form.format(verb).split())
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: nas {verb}")
    assert VERBS[verb].help in out
    assert all(line in out for line, _ in VERBS[verb].examples)
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS


def test_every_verb_has_three_examples_of_itself() -> None:
    for verb in VERBS.values():
        assert len(verb.examples) == 3
        named = [line for line, _ in verb.examples if line.startswith(f"nas {verb.name}")]
        assert len(named) >= 2


def test_groups_and_choices_are_read_from_the_folder(say: Say, checkout: Path) -> None:
    _, out, _ = say("search", "--help")
    assert "  strategy: how the search goes\n      darts gdas pc_darts\n" in out
    assert "  experiment: " in out
    assert "cost" not in out  # a group that the verb does not use
    assert out.index("  experiment: ") < out.index("  space: ") < out.index("  strategy: ")
    (checkout / "configs" / "strategy" / "new_one.yaml").write_text("name: new_one\n")
    assert "new_one" in say("search", "--help")[1]


def test_many_choices_are_wrapped(say: Say, checkout: Path) -> None:
    for index in range(60):
        (checkout / "configs" / "space" / f"a_rather_long_name_{index}.yaml").write_text("a: 1\n")
    _, out, _ = say("search", "--help")
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS
    assert all(f"a_rather_long_name_{index}" in out.split() for index in range(60))


def test_settings_come_with_their_comments(checkout: Path) -> None:
    assert settings(checkout / "configs", "search") == {
        "device": "where the job runs: auto, cpu or cuda",
        "runs": "folder of the run folders",
        "mode": "",
        "stages": "what to do, in this order",
        "data_root": "",
        "seed": "seed of everything random",
        "must": "",
        "anything": "",
        "switch": "a switch",
    }


def test_a_list_of_words_is_no_list_of_configs(checkout: Path) -> None:
    (checkout / "configs" / "search.yaml").write_text(
        "defaults: # first\n- /space: darts # one\n# between\n\n- override /optim@here: x\n"
        "- _self_\nstages:\n  - search\n  - base: 1\n"
    )
    assert used_groups(checkout / "configs" / "search.yaml") == {
        "space", "space/add", "optim", "optim/add",
    }  # fmt: skip
    assert settings(checkout / "configs", "search") == {"stages": ""}


def test_groups_of_several_folders_are_joined(checkout: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "strategy"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("")
    (own / "_private.yaml").write_text("")
    found = groups((checkout / "configs", tmp_path / "own"))
    assert found["strategy"] == ["darts", "gdas", "mine", "pc_darts"]
    assert found["strategy/add"] == ["dinas"]


def test_the_order_of_groups() -> None:
    assert sort_groups(["zeta", "space", "strategy/add", "strategy", "experiment"]) == [
        "experiment", "space", "strategy", "strategy/add", "zeta",
    ]  # fmt: skip


def test_the_groups_are_those_of_the_design() -> None:
    named = (
        "space strategy compression budget task data optim trainer cost predictor logger "
        "experiment preset debug"
    )
    assert set(GROUPS) == set(named.split())
