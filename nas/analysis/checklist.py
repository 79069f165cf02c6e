"""The field's checklist for papers on architecture search, filled in from what a run recorded.

The questions follow Lindauer and Hutter, "Best practices for scientific research on neural
architecture search" (arXiv 1909.02453), in our words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nas.analysis.summary import number, random_networks, seconds

Answer = Literal["yes", "no", "not known"]


@dataclass(frozen=True)
class Item:
    """A question, its answer, and what the answer rests on."""

    question: str
    answer: Answer
    because: str


def checklist(result: Mapping[str, Any], env: Mapping[str, Any] | None) -> list[Item]:
    """The questions in order; what a single run cannot tell is ``not known``."""
    known = env or {}
    return [*_code(result, known), *_comparison(result), *_cost(result, known), *_splits(result)]


def _item(question: str, answer: bool | None, because: str) -> Item:
    words: dict[bool | None, Answer] = {True: "yes", False: "no", None: "not known"}
    return Item(question, words[answer], because)


def _code(result: Mapping[str, Any], env: Mapping[str, Any]) -> Iterator[Item]:
    git = env.get("git")
    git = git if isinstance(git, Mapping) else {}
    revision, dirty = git.get("revision"), git.get("dirty")
    clean = None if not revision or dirty is None else not dirty
    state = {True: "committed", False: "with changes that no commit holds", None: "state unknown"}
    where = f"commit {str(revision)[:7]}, {state[clean]}" if revision else "no commit is recorded"
    yield _item("Is the code of search and retraining the one that is published?", clean, where)
    command = result.get("command")
    because = str(command or "no command is recorded")
    yield _item("Is the command recorded that gives this result?", bool(command), because)
    packages = env.get("packages")
    count = len(packages) if isinstance(packages, Mapping) else 0
    text = f"{count} packages, machine and data by hash" if count else "no versions are recorded"
    yield _item("Are versions, machine and data recorded?", bool(count and env.get("data")), text)


def _comparison(result: Mapping[str, Any]) -> Iterator[Item]:
    seed = result.get("seed")
    text = f"this is one run, seed {seed}; nas search -m seed=0,1,2,3,4,5 and nas compare"
    yield _item("Is the result one of several seeds?", None, text)
    count = len(random_networks(result))
    text = f"{count} of equal cost, retrained alike" if count else "trainer.random_networks=0"
    yield _item("Are random architectures of the same space beside it?", bool(count), text)
    text = "a run does not know what it will be compared with; nas compare refuses unequal runs"
    yield _item("Are methods compared on the same space, data, code and retraining?", None, text)


def _cost(result: Mapping[str, Any], env: Mapping[str, Any]) -> Iterator[Item]:
    duration = number(result.get("search"), "seconds")
    text = "no search in this run" if duration is None else f"{seconds(duration)} on {_on(env)}"
    yield _item("Is the cost of the search told?", duration is not None, text)
    spent = [number(net, "seconds") for net in result.get("networks") or ()]
    known = [value for value in spent if value is not None]
    text = f"{seconds(sum(known))} for {len(known)} networks" if known else "nothing was retrained"
    yield _item("Is the cost of retraining told?", bool(known), text)
    text = "trials that chose settings are not counted by a run; say how many there were"
    yield _item("Is the cost of tuning the search's own settings told?", None, text)


def _on(env: Mapping[str, Any]) -> str:
    devices = env.get("devices")
    cpu = env.get("cpu")
    model = cpu.get("model") if isinstance(cpu, Mapping) else None
    listed = ", ".join(map(str, devices)) if isinstance(devices, list) else "a device not recorded"
    return f"{listed} ({model})" if model else listed


def _splits(result: Mapping[str, Any]) -> Iterator[Item]:
    splits = result.get("splits")
    counts = dict(splits) if isinstance(splits, Mapping) else {}
    parts = [name for name in ("weights", "architecture", "validation", "test") if counts.get(name)]
    apart = {"validation", "test"} <= set(parts) if counts else None
    text = "disjoint: " + ", ".join(f"{name} {counts[name]}" for name in parts) if parts else ""
    question = "Did search and retraining never see the test split?"
    yield _item(question, apart, text or "no splits are recorded")
    preset = result.get("preset")
    published = None if not preset else preset == "paper"
    text = f"preset={preset}" if preset else "no preset is recorded"
    yield _item("Are lengths and widths those of the paper?", published, text)
