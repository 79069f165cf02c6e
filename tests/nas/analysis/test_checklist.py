from __future__ import annotations

from typing import Any

import pytest

from nas.analysis.checklist import checklist

ENV: dict[str, Any] = {
    "git": {"revision": "0123456789", "dirty": False},
    "packages": {"torch": "2"},
    "data": "print",
    "devices": ["cpu"],
    "cpu": {"model": "Some CPU"},
}
RESULT: dict[str, Any] = {
    "command": "nas search seed=3",
    "seed": 3,
    "preset": "cpu",
    "search": {"seconds": 75.0},
    "networks": [{"name": "found", "seconds": 10.0}, {"name": "random-0", "seconds": 20.0}],
    "splits": {"weights": 5, "architecture": 5, "validation": 2, "test": 4},
}


def asked(result: dict[str, Any], env: dict[str, Any] | None, part: str) -> tuple[str, str]:
    (item,) = [item for item in checklist(result, env) if part in item.question]
    return item.answer, item.because


@pytest.mark.parametrize(
    ("part", "answer", "because"),
    [
        ("published?", "yes", "commit 0123456, committed"),
        ("command", "yes", "nas search seed=3"),
        ("versions", "yes", "1 packages, machine and data by hash"),
        ("several seeds", "not known", "this is one run, seed 3"),
        ("random architectures", "yes", "1 of equal cost"),
        ("cost of the search", "yes", "1 min 15 s on cpu (Some CPU)"),
        ("cost of retraining", "yes", "30 s for 2 networks"),
        ("tuning", "not known", "trials that chose settings"),
        ("test split", "yes", "weights 5, architecture 5, validation 2, test 4"),
        ("of the paper", "no", "preset=cpu"),
    ],
)
def test_it_is_filled_in_from_what_was_recorded(part: str, answer: str, because: str) -> None:
    found = asked(RESULT, ENV, part)
    assert found[0] == answer
    assert because in found[1]


def test_changes_that_no_commit_holds_are_a_no_and_nothing_recorded_is_not_known() -> None:
    dirty = {**ENV, "git": {"revision": "0123456789", "dirty": True}}
    assert asked(RESULT, dirty, "published?")[0] == "no"
    assert {item.answer for item in checklist({}, None)} == {"no", "not known"}
    assert asked({}, None, "published?") == ("not known", "no commit is recorded")
    assert asked({}, None, "test split")[0] == "not known"
    assert asked({**RESULT, "splits": {"weights": 5, "test": 0}}, ENV, "test split")[0] == "no"
