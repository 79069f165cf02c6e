from __future__ import annotations

import pytest

from nas.cli.settings import key_of, runs_of, values_of


def test_names_and_values_of_settings() -> None:
    settings = ["seed=1", "+a.b='x y'", "~c", "++d=", 'seed="2"', "e=f=g"]
    assert [key_of(text) for text in settings] == ["seed", "a.b", "c", "d", "seed", "e"]
    assert values_of(settings) == {"seed": "2", "a.b": "x y", "c": "", "d": "", "e": "f=g"}


@pytest.mark.parametrize(
    ("settings", "runs"),
    [((), "runs"), (("seed=1", "runs='my runs'"), "my runs"), (("runs=a", "runs=b"), "b")],
)
def test_the_folder_of_runs_is_the_one_that_was_named_last(
    settings: tuple[str, ...], runs: str
) -> None:
    assert runs_of(settings) == runs
