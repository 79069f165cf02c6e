import json
import time
from collections import Counter
from dataclasses import replace
from itertools import chain, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.data.base import ArrayData
from nas.data.split import check_record, split_record, stratified_cut, stratified_split
from nas.dataspec import DataSpec
from nas.errors import NasError


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, dict[str, int]]:
    parts = draw(st.integers(1, 5))
    counts = draw(st.lists(st.integers(parts, 40), min_size=1, max_size=8))
    labels = torch.cat([torch.full((n,), 3 * k + 1) for k, n in enumerate(counts)])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(len(labels)))
    total = sum(counts)
    bounds = draw(st.permutations(range(1, total)))[: parts - 1]
    cuts = pairwise([0, *sorted(bounds), total])
    sizes = {f"part{i}": b - a for i, (a, b) in enumerate(cuts)}
    return labels[order], sizes


@settings(max_examples=150, deadline=None)
@given(problems(), st.integers(0, 2**40))
def test_sizes_are_exact_and_class_shares_within_one(
    problem: tuple[Tensor, dict[str, int]], seed: int
) -> None:
    targets, sizes = problem
    parts = stratified_split(targets, sizes, seed)
    assert {part: len(indices) for part, indices in parts.items()} == sizes
    together = torch.cat(list(parts.values()))
    assert torch.equal(together.sort().values, torch.arange(len(targets)))
    whole = Counter(targets.tolist())
    for part, indices in parts.items():
        assert indices.tolist() == sorted(indices.tolist())
        held = Counter(targets[indices].tolist())
        for label, count in whole.items():
            assert abs(held[label] * len(targets) - count * sizes[part]) < len(targets)
    again = stratified_split(targets, sizes, seed)
    assert all(torch.equal(parts[part], again[part]) for part in sizes)


def test_shares_divide_what_whole_numbers_leave() -> None:
    parts = stratified_split(
        torch.arange(1000) % 10, {"weights": 0.7, "test": 99, "architecture": 0.3}, 0
    )
    counts = {part: len(indices) for part, indices in parts.items()}
    # 901 * 0.7 = 630.7 and 901 * 0.3 = 270.3: the unit left over goes to the larger remainder
    assert counts == {"weights": 631, "test": 99, "architecture": 270}


def test_a_single_share_takes_the_rest() -> None:
    parts = stratified_split(torch.zeros(10, dtype=torch.int64), {"test": 3, "weights": 1.0}, 0)
    assert len(parts["weights"]) == 7


def test_the_seed_matters_and_the_global_generator_does_not() -> None:
    targets = torch.arange(60) % 3
    torch.manual_seed(1)
    one = stratified_split(targets, {"a": 30, "b": 30}, 7)["a"]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(one, stratified_split(targets, {"a": 30, "b": 30}, 7)["a"])
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(one, stratified_split(targets, {"a": 30, "b": 30}, 8)["a"])


def test_every_sample_is_equally_likely_to_be_held_back() -> None:
    targets = torch.arange(20) % 2
    held = torch.zeros(20)
    for seed in range(2000):
        held[stratified_split(targets, {"a": 15, "b": 5}, seed)["b"]] += 1
    assert float((held - 500).abs().max()) < 5 * (2000 * 0.25 * 0.75) ** 0.5


def test_a_thousand_classes_take_no_time() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(5, 40, (1000,), generator=generator)
    targets = torch.repeat_interleave(torch.arange(1000), counts)
    start = time.perf_counter()
    stratified_split(targets, {"a": 1001, "b": 3003, "c": 0.31, "d": 0.69}, 0)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"a": 61}, r"sizes \(a 61\) exceed the 60 samples.*by at least 1$"),
        ({"a": 60, "b": 0.5, "c": 0.5}, "exceed the 60 samples: 0 are left for 2 shares"),
        ({"a": 50}, r"sizes \(a 50\) leave 10 of the 60 samples over; raise one of them by 10"),
        ({}, r"sizes \(none\) leave 60"),
        ({"a": 0.5, "b": 0.4}, "sum to 0.9 and must sum to 1"),
        ({"a": 0, "b": 60}, "part 'a' has the size 0; give a whole number of at least 1"),
        ({"a": 1.5}, "part 'a' has the size 1.5"),
        ({"a": float("nan")}, "part 'a' has the size nan"),
        ({"a": True}, "part 'a' has the size True"),
        ({"a": "60"}, "part 'a' has the size '60'"),
        ({"a": 50, "b": 0.999, "c": 0.001}, "part 'c' would be empty, its share of 10 samples"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, float], message: str) -> None:
    with pytest.raises(NasError, match=message):
        stratified_split(torch.arange(60) % 3, sizes, 0)


def test_a_class_with_fewer_members_than_parts_is_named() -> None:
    targets = torch.tensor([0] * 10 + [7] * 2)
    with pytest.raises(NasError, match="class 7 has 2 samples, too few for the 3 parts a, b, c"):
        stratified_split(targets, {"a": 4, "b": 4, "c": 4}, 0)


def test_targets_that_are_no_classes_are_refused() -> None:
    with pytest.raises(NasError, match=r"needs one integer per sample, got torch\.float32"):
        stratified_split(torch.zeros(4), {"a": 4}, 0)


def toy(fingerprint: str = "a" * 64) -> ArrayData:
    targets = torch.arange(30) % 3
    sizes = {"weights": 12, "architecture": 9, "test": 9}
    return ArrayData(
        spec=DataSpec((1, 4), "classes", 3),
        inputs=torch.zeros(30, 1, 4),
        targets=targets,
        splits=stratified_split(targets, sizes, 5),
        fingerprint=fingerprint,
        name="toy",
        split_seed=5,
    )


def test_the_record_holds_everything_and_survives_json() -> None:
    record = json.loads(json.dumps(split_record(toy())))
    assert record["seed"] == 5
    assert record["fingerprint"] == "a" * 64
    assert record["counts"] == {"weights": 12, "architecture": 9, "test": 9}
    assert record["per_class"]["weights"] == [4, 4, 4]
    assert sorted(chain(*record["indices"].values())) == list(range(30))
    check_record(toy(), record)
    check_record(toy().without("test"), record)


def test_a_record_of_other_data_is_refused() -> None:
    with pytest.raises(NasError, match="fingerprint aaaaaaaaaaaa, but 'toy' now has bbbbbbbbbbbb"):
        check_record(toy("b" * 64), split_record(toy()))


def test_a_record_with_other_indices_is_refused_by_split() -> None:
    data = toy()
    changed = replace(data, splits={**data.splits, "test": data.splits["test"][:-1]})
    with pytest.raises(NasError, match=r"split 'test' .*\(8 samples there, 9 here\).*new run"):
        check_record(data, split_record(changed))


def test_a_split_missing_in_the_record_is_refused() -> None:
    with pytest.raises(NasError, match=r"split 'test' .*\(0 samples there, 9 here\)"):
        check_record(toy(), split_record(toy().without("test")))


def test_a_damaged_record_is_refused() -> None:
    with pytest.raises(NasError, match=r"saved splits have the schema None, not 'nas\.splits/1'"):
        check_record(toy(), {})


def test_data_without_classes_are_recorded_without_counts_per_class() -> None:
    data = replace(
        toy(), spec=DataSpec((1, 4), "multi-label", 2), targets=torch.zeros(30, 2), split_seed=None
    )
    record = split_record(data)
    assert record["per_class"] == {}
    assert record["seed"] is None


def test_a_cut_keeps_the_class_shares_within_one() -> None:
    targets = torch.tensor([0] * 70 + [1] * 25 + [2] * 5)
    for size in (1, 10, 33, 100, 200):
        kept = stratified_cut(targets, size, seed=0)
        share = torch.tensor([0.7, 0.25, 0.05]) * min(size, 100)
        assert len(kept) == min(size, 100)
        assert kept.tolist() == sorted(set(kept.tolist()))
        assert float((targets[kept].bincount(minlength=3) - share).abs().max()) < 1


def test_a_cut_depends_on_its_seed() -> None:
    targets = torch.arange(60) % 3
    assert torch.equal(stratified_cut(targets, 9, 4), stratified_cut(targets, 9, 4))
    assert not torch.equal(stratified_cut(targets, 9, 4), stratified_cut(targets, 9, 5))
