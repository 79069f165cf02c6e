import io
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.engine.rng import capture_rng, derive_seed, restore_rng, seed_everything

parts = st.lists(st.integers() | st.text(max_size=5) | st.booleans() | st.none(), max_size=4)


def draw() -> list[Any]:
    # An odd number of normal draws: python and numpy both keep the second of a pair for later.
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        *torch.randn(3).tolist(),
        torch.randperm(10).tolist(),
    ]


def through_a_file(state: dict[str, Any]) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


@given(first=parts, second=parts)
def test_seeds_differ_exactly_where_the_parts_do(first: list[Any], second: list[Any]) -> None:
    same_types = [type(a) for a in first] == [type(b) for b in second]
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second and same_types)
    assert 0 <= derive_seed(*first) < 2**63


def test_parts_are_not_run_together() -> None:
    assert derive_seed("a", "bc") != derive_seed("ab", "c")
    assert derive_seed(1, 23) != derive_seed(12, 3)
    assert derive_seed(1) != derive_seed("1") != derive_seed(["1"])


def test_numpy_numbers_count_as_pythons() -> None:
    assert derive_seed(np.int64(7), np.float64(0.5)) == derive_seed(7, 0.5)


def test_a_part_that_could_differ_between_processes_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be derived from a object"):
        derive_seed(object())


def test_a_seed_rests_on_the_text_of_its_parts_alone() -> None:
    """No process-dependent hash takes part: `printf '["train",3,0.1]' | sha256sum` gives it too."""
    assert derive_seed("train", 3, 0.1) == 0x3E125BD24828DFF9 // 2


def test_bits_of_seeds_are_balanced() -> None:
    seeds = [derive_seed("epoch", number) for number in range(2000)]
    assert len(set(seeds)) == len(seeds)
    for bit in range(63):
        ones = sum(seed >> bit & 1 for seed in seeds)
        assert abs(ones - 1000) < 5 * 2000**0.5 / 2


def test_seeding_fixes_all_generators() -> None:
    seed_everything("search", 0)
    first = draw()
    draw()
    seed_everything("search", 0)
    assert draw() == first
    seed_everything("search", 1)
    assert all(a != b for a, b in zip(first, draw(), strict=True))


@pytest.mark.parametrize("burn", [0, 1, 2, 700])
def test_a_state_continues_the_same_draws_through_a_file(burn: int) -> None:
    seed_everything(5)
    for _ in range(burn):
        draw()
    random.gauss(0, 1)  # leaves the second of a pair in store
    np.random.randn()
    state = through_a_file(capture_rng())
    expected = [draw(), draw()]
    seed_everything("elsewhere")
    restore_rng(state)
    assert [draw(), draw()] == expected


def test_capturing_does_not_draw() -> None:
    seed_everything(1)
    expected = draw()
    seed_everything(1)
    capture_rng()
    assert draw() == expected


def test_a_state_is_a_copy() -> None:
    seed_everything(1)
    state = capture_rng()
    first = draw()
    for _ in range(700):
        draw()
    restore_rng(state)
    assert draw() == first


def test_every_device_in_use_is_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [torch.tensor([device], dtype=torch.uint8) for device in range(2)]
    restored: dict[int, torch.Tensor] = {}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda s, device: restored.update({device: s}))
    state = through_a_file(capture_rng())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    restore_rng(state)
    assert {device: int(value) for device, value in restored.items()} == {0: 0, 1: 1}
    restored.clear()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    restore_rng(state)
    assert list(restored) == [0]


def test_a_state_from_a_gpu_is_usable_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    seed_everything(1)
    state = {**capture_rng(), "cuda": [torch.zeros(16, dtype=torch.uint8)]}
    expected = draw()
    restore_rng(state)
    assert draw() == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_draws_on_the_gpu_continue() -> None:
    seed_everything(3)
    torch.randn(5, device="cuda")
    state = through_a_file(capture_rng())
    expected = torch.randn(5, device="cuda").tolist()
    seed_everything(4)
    restore_rng(state)
    assert torch.randn(5, device="cuda").tolist() == expected
