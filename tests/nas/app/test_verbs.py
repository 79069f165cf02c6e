from __future__ import annotations

import pytest

from nas.app.verbs import other_strategy


@pytest.mark.parametrize(
    ("used", "suggested"),
    [
        ("pc_darts", "darts"),
        ("pc_darts+warmup", "darts"),
        ("gdas", "pc_darts"),
        ("darts", "pc_darts"),
        ("", "pc_darts"),
    ],
)
def test_the_strategy_that_is_suggested_is_another_one(used: str, suggested: str) -> None:
    assert other_strategy({"strategy": used}) == suggested
