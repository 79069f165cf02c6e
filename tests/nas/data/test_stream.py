from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.batch import Batch
from nas.data.augment import Augment
from nas.data.base import ArrayData, normalize, scaled
from nas.data.stream import Batches, evaluation, move
from nas.dataspec import DataSpec
from nas.errors import NasError

SPEC = DataSpec((2, 6, 6), "classes", 1000, mean=(0.4, 0.5), std=(0.2, 0.3))


def data(n: int = 50, **changes: Any) -> ArrayData:
    """Targets are the sample numbers, so that a batch tells which samples it holds."""
    generator = torch.Generator().manual_seed(0)
    settings: dict[str, Any] = {
        "spec": SPEC,
        "inputs": torch.randint(256, (n, 2, 6, 6), dtype=torch.uint8, generator=generator),
        "targets": torch.arange(n),
        "splits": {},
        "fingerprint": "0",
        "name": "toy",
    }
    return ArrayData(**settings | changes)


def stream(**changes: Any) -> Batches:
    settings: dict[str, Any] = {
        "data": data(),
        "indices": torch.arange(3, 26),
        "batch_size": 5,
        "seed": 1,
        "name": "weights",
        "augment": Augment(shift=1, flip=True, cutout=2),
    }
    return Batches(**settings | changes)


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=6),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_a_batch_does_not_depend_on_what_was_drawn_before(
    history: list[tuple[int, int]], epoch: int, step: int
) -> None:
    used = stream()
    for earlier in history:
        used.batch(*earlier)
    torch.rand(3)
    state = torch.get_rng_state()
    assert same(used.batch(epoch, step), stream().batch(epoch, step))
    assert torch.equal(state, torch.get_rng_state())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 3), st.booleans())
def test_an_epoch_visits_every_sample_once(
    n: int, batch_size: int, epoch: int, shuffle: bool
) -> None:
    batch_size = min(batch_size, n)
    indices = torch.arange(50).flip(0)[:n]
    batches = stream(
        indices=indices, batch_size=batch_size, drop_last=False, shuffle=shuffle, augment=None
    )
    seen = torch.cat([batch.targets for batch in batches.epoch(epoch)])
    assert len(batches) == -(-n // batch_size)
    assert sorted(seen.tolist()) == sorted(indices.tolist())
    if not shuffle:
        assert torch.equal(seen, indices)


def test_the_last_smaller_batch_is_dropped_if_asked() -> None:
    assert [len(b.targets) for b in stream().epoch(0)] == [5, 5, 5, 5]
    assert [len(b.targets) for b in stream(drop_last=False).epoch(0)] == [5, 5, 5, 5, 3]
    assert len(stream()) == 4
    assert len(stream(drop_last=False)) == 5


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"name": "architecture"}], ids=["seed", "stream name"]
)
def test_seed_and_name_make_another_stream(change: dict[str, Any]) -> None:
    assert not torch.equal(stream().batch(0, 0).targets, stream(**change).batch(0, 0).targets)


def test_order_and_augmentation_change_from_epoch_to_epoch() -> None:
    one, whole = data(), {"indices": torch.arange(50), "batch_size": 50}
    first, second = (stream(data=one, **whole).batch(epoch, 0) for epoch in (0, 1))
    assert not torch.equal(first.targets, second.targets)
    assert not torch.equal(
        first.inputs[first.targets.argsort()], second.inputs[second.targets.argsort()]
    )


def test_an_iteration_can_start_in_the_middle() -> None:
    batches = stream()
    late = list(batches.epoch(2, start=2))
    assert len(late) == 2
    assert same(late[0], batches.batch(2, 2))


def test_inputs_are_scaled_and_normalized() -> None:
    toy = data()
    batch = stream(data=toy, augment=None).batch(0, 0)
    raw = toy.inputs[batch.targets].double() / 255
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(1, 2, 1, 1) for v in ((0.4, 0.5), (0.2, 0.3))
    )
    torch.testing.assert_close(batch.inputs.double(), (raw - mean) / std, atol=1e-6, rtol=1e-5)
    assert batch.inputs.dtype == torch.float32


def test_augmentation_sees_scaled_inputs_and_the_normalization() -> None:
    toy = data()
    erased = stream(data=toy, augment=Augment(cutout=3)).batch(0, 0)
    plain = normalize(scaled(toy.inputs[erased.targets]), SPEC)
    holes = erased.inputs == 0
    assert torch.equal(erased.inputs[~holes], plain[~holes])
    assert holes.flatten(1).any(1).all()


def test_a_batch_larger_than_the_split_names_sizes_and_remedy() -> None:
    with pytest.raises(
        NasError,
        match="batch size 24 is larger than the split 'weights' with its 23 samples; "
        "use a batch size of at most 23",
    ):
        stream(batch_size=24)


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_a_batch_size_that_is_no_count_is_refused(size: Any) -> None:
    with pytest.raises(NasError, match="batch size must be a whole number of at least 1"):
        stream(batch_size=size)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(NasError, match="split 'weights' is empty"):
        stream(indices=torch.arange(0))
    with pytest.raises(NasError, match="split 'evaluation' is empty"):
        evaluation(data(), torch.arange(0))


def test_augmentation_is_checked_against_the_data() -> None:
    with pytest.raises(NasError, match="cutout=6 does not fit inputs of size 6x6"):
        stream(augment=Augment(cutout=6))


def test_a_step_beyond_the_epoch_is_a_programming_error() -> None:
    with pytest.raises(IndexError, match="has 4 batches, asked for 4"):
        stream().batch(0, 4)


def test_evaluation_goes_in_order_to_the_end() -> None:
    toy, indices = data(), torch.tensor([7, 3, 9, 1, 0])
    batches = list(evaluation(toy, indices, batch_size=2))
    assert [batch.targets.tolist() for batch in batches] == [[7, 3], [9, 1], [0]]
    expected = normalize(scaled(toy.inputs[indices]), SPEC)
    assert torch.equal(torch.cat([batch.inputs for batch in batches]), expected)
    assert len(list(evaluation(toy, indices))) == 1


class Pair(NamedTuple):
    image: Tensor
    extra: dict[str, Tensor]


def tree(n: int = 50) -> ArrayData:
    inputs = Pair(torch.full((n, 1, 4), 255, dtype=torch.uint8), {"age": torch.arange(n) * 1.0})
    return data(inputs=inputs, targets=[torch.arange(n), torch.zeros(n, 2)])


def test_a_batch_may_be_any_tree() -> None:
    batch = stream(data=tree(), augment=None).batch(0, 1)
    assert isinstance(batch.inputs, Pair)
    assert batch.inputs.image.shape == (5, 1, 4)
    assert (batch.inputs.image == 1).all()  # bytes are scaled, the specification is not applied
    assert torch.equal(batch.inputs.extra["age"], batch.targets[0].float())
    assert batch.targets[1].shape == (5, 2)
    (whole,) = evaluation(tree(), torch.arange(4))
    assert whole.targets[0].tolist() == [0, 1, 2, 3]


def test_trees_are_not_augmented() -> None:
    with pytest.raises(NasError, match=r"augmentation needs inputs that are one tensor.*Pair"):
        stream(data=tree())


def test_moving_keeps_the_tree_and_what_is_no_tensor() -> None:
    batch = Batch({"image": torch.zeros(2), "names": ["a", "b"]}, (torch.ones(2), None))
    moved = move(batch, "meta")
    assert isinstance(moved, Batch)
    assert moved.inputs["image"].device.type == "meta"
    assert moved.targets[0].device.type == "meta"
    assert moved.inputs["names"] == ["a", "b"]
    assert moved.targets[1] is None
    assert move(batch, "cpu").inputs["image"] is batch.inputs["image"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_is_the_same_on_a_gpu() -> None:
    for epoch, step in ((0, 0), (1, 3)):
        there, here = stream(device="cuda").batch(epoch, step), stream().batch(epoch, step)
        assert there.inputs.device.type == "cuda"
        torch.testing.assert_close(move(there, "cpu"), here)
