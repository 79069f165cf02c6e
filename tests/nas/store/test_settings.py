from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.errors import NasError
from nas.store.settings import ABSENT, covered, differing, flat, read_settings


def test_settings_are_read_with_their_types(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("seed: 0\noptim: {lr: 1e-3, betas: [0.5, 1]}\ntwice: ${optim.lr}\n")
    assert read_settings(file) == {
        "seed": 0,
        "optim": {"lr": 0.001, "betas": [0.5, 1]},
        "twice": 0.001,
    }


@pytest.mark.parametrize("text", ["{", "- 1", "3", "a: ${b}", "\x00"])
def test_damaged_settings_are_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(NasError, match=r"config\.yaml is damaged, it holds no settings: restore"):
        read_settings(file)


def test_missing_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"config\.yaml is missing: this is not the folder of a run"):
        read_settings(tmp_path / "config.yaml")


def test_names_are_dotted_and_lists_are_values() -> None:
    settings = {"a": {"b": {"c": 1}, "d": []}, "e": [{"f": 1}], "g": {}}
    assert flat(settings) == {"a.b.c": 1, "a.d": [], "e": [{"f": 1}], "g": {}}


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a.c": (2, 3)}),
        ({"a": 1}, {"b": 1}, {"a": (1, ABSENT), "b": (ABSENT, 1)}),
        ({"a": 1}, {"a": True}, {"a": (1, True)}),
        ({"a": 1}, {"a": 1.0}, {"a": (1, 1.0)}),
        ({"a": {"b": 1}}, {"a": None}, {"a.b": (1, ABSENT), "a": (ABSENT, None)}),
        ({"skip": {"b": 1}, "skipped": 1}, {"skip": 2, "skipped": 2}, {"skipped": (1, 2)}),
    ],
)
def test_what_differs(one: Any, other: Any, found: dict[str, Any]) -> None:
    assert differing(one, other, without=["skip"]) == found


def test_a_group_covers_what_is_in_it() -> None:
    assert covered("a.b", ["a"])
    assert covered("a", ["a"])
    assert not covered("ab", ["a"])
    assert not covered("a", ["a.b"])
