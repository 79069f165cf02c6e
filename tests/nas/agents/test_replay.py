"""What is remembered, and how it is drawn."""

from __future__ import annotations

import torch

from nas.agents import Replay, Transitions


def rows(first: int, count: int) -> Transitions:
    numbers = torch.arange(first, first + count, dtype=torch.float32)
    states, zeros = numbers[:, None].expand(-1, 3), torch.zeros(count)
    return Transitions(states, numbers[:, None], numbers, numbers.long(), states + 1, zeros)


def test_the_last_rows_are_kept() -> None:
    replay = Replay(5)
    for first in (0, 3, 6):
        replay.add(rows(first, 3))
    assert len(replay) == 5
    seen = replay.draw(500, torch.Generator().manual_seed(0))
    assert set(seen.rewards.tolist()) == {4.0, 5.0, 6.0, 7.0, 8.0}
    # The parts of a row stay together.
    assert torch.equal(seen.states[:, 1], seen.rewards)
    assert torch.equal(seen.actions[:, 0], seen.rewards)
    assert torch.equal(seen.conditions, seen.rewards.long())
    assert torch.equal(seen.after[:, 2], seen.rewards + 1)


def test_draws_follow_the_generator_alone() -> None:
    replay = Replay(8)
    replay.add(rows(0, 8))
    first, second = (replay.draw(20, torch.Generator().manual_seed(3)).rewards for _ in range(2))
    assert torch.equal(first, second)


def test_what_was_added_may_change_afterwards() -> None:
    replay, added = Replay(4), rows(0, 4)
    replay.add(added)
    added.rewards.fill_(9.0)
    assert replay.draw(50, torch.Generator().manual_seed(0)).rewards.max() < 4
