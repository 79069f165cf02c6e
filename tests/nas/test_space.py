from collections import Counter
from collections.abc import Set
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nas import space as spaces
from nas.arch import Weights, from_genotype
from nas.dataspec import DataSpec
from nas.decision import Choice, Decision, Genotype
from nas.errors import GenotypeError, SpaceError
from nas.searchable import MixedOp, Prefix
from nas.space import SearchSpace
from search_spaces.darts import DartsSpace

OP = Decision("op", ("a", "b", "c"))
INPUTS = Decision("inputs", (0, 1, 2, 3), pick=2)
WIDTH = Decision("width", (1, 2), kind="nested", groups=2)
ALL = {d.name: d for d in (OP, INPUTS, WIDTH)}


class Tiny:
    """A space of two slots that leaves everything to the defaults."""

    def __init__(self) -> None:
        self.built = 0

    def supernet(self) -> nn.Module:
        self.built += 1
        return nn.Sequential(MixedOp(OP, lambda name: nn.Linear(4, 4)), Prefix(4, WIDTH))

    def network(self, genotype: Genotype) -> nn.Module:
        return nn.Linear(4, 4)


class Schema(Tiny):
    """The same with a schema of its own."""

    name = "schema"

    def __init__(self, *decisions: Decision) -> None:
        super().__init__()
        self.decisions = {d.name: d for d in decisions}


class Conditional(Schema):
    """The width exists only with operation a."""

    def active(self, choices: Genotype) -> Set[str]:
        return {"op", "width"} if choices["op"] == "a" else {"op"}


any_space: list[SearchSpace] = [Tiny(), Schema(*ALL.values()), Conditional(OP, WIDTH)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_decisions_are_those_of_the_slots_unless_the_space_names_them() -> None:
    assert spaces.decisions_of(Tiny()) == {"op": OP, "width": WIDTH}
    assert list(spaces.decisions_of(Schema(INPUTS, OP))) == ["inputs", "op"]


def test_a_space_without_decisions_is_refused() -> None:
    empty = type("Empty", (Tiny,), {"supernet": lambda self: nn.Linear(1, 1)})()
    with pytest.raises(SpaceError, match="'empty' has no decision: its supernet holds no Slot"):
        spaces.decisions_of(empty)


def test_names_and_the_contract() -> None:
    assert spaces.name_of(Tiny()) == "tiny"
    assert spaces.name_of(Schema(OP)) == "schema"
    assert isinstance(Tiny(), SearchSpace)
    assert not isinstance(nn.Linear(1, 1), SearchSpace)


def test_the_blueprint_needs_no_memory() -> None:
    assert all(p.device.type == "meta" for p in spaces.blueprint(Tiny()).parameters())
    own = type("Own", (Tiny,), {"blueprint": lambda self: nn.Linear(7, 1)})()
    net = spaces.blueprint(own)
    assert isinstance(net, nn.Linear)
    assert net.weight.is_meta


@pytest.mark.parametrize("space", any_space, ids=lambda s: type(s).__name__)
@given(seed=st.integers(0, 200))
def test_deriving_from_a_genotype_gives_it_back(space: SearchSpace, seed: int) -> None:
    genotype = spaces.sample(space, seeded(seed))
    arch = from_genotype(spaces.decisions_of(space), genotype)
    assert spaces.discretize(space, arch) == genotype
    assert spaces.check_genotype(space, genotype) == genotype


@given(st.data())
def test_the_largest_weights_are_kept(data: st.DataObject) -> None:
    row = data.draw(st.lists(st.integers(0, 99), min_size=4, max_size=4, unique=True))
    weights = Weights(torch.tensor([row]) / sum(row), (0, 1, 2, 3))
    found = spaces.discretize(Schema(INPUTS), {"inputs": weights})
    best = sorted(sorted(range(4), key=lambda i: -row[i])[:2])
    assert found == {"inputs": tuple(best)}


def test_groups_are_derived_one_by_one() -> None:
    weights = Weights(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), (0, 1))
    assert spaces.discretize(Schema(WIDTH), {"width": weights}) == {"width": (1, 2)}


def test_derivation_leaves_out_what_is_absent_inactive_or_the_space_decides() -> None:
    arch = from_genotype(ALL, {"op": "b", "width": (1, 2)})
    assert spaces.discretize(Schema(*ALL.values()), arch) == {"op": "b", "width": (1, 2)}
    assert spaces.discretize(Conditional(OP, WIDTH), arch) == {"op": "b"}
    own = type("Own", (Tiny,), {"discretize": lambda self, arch: {"op": "c"}})()
    assert spaces.discretize(own, arch) == {"op": "c"}


def test_deferred_weights_cannot_be_derived() -> None:
    with pytest.raises(GenotypeError, match="'op' is deferred; discretize what the supernet real"):
        spaces.discretize(Schema(OP), {"op": lambda evidence: Weights(evidence, (0,))})


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ({"op": "b", "width": (1, 1)}, "make inactive: width; leave them out"),
        ({"op": "a"}, r"lacks 1 decision\(s\) of space 'schema': width"),
        ({"op": "z"}, "unknown candidate 'z'"),
        ({"op": "b", "depth": 3}, "unknown decision 'depth'"),
    ],
)
def test_a_genotype_that_does_not_belong_is_refused(genotype: dict[str, Any], message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        spaces.check_genotype(Conditional(OP, WIDTH), genotype)


def test_checking_gives_the_canonical_form() -> None:
    genotype: dict[str, Choice] = {"inputs": (3, 0)}
    assert spaces.check_genotype(Schema(INPUTS), genotype) == {"inputs": (0, 3)}


@pytest.mark.parametrize("space", any_space[:2], ids=lambda s: type(s).__name__)
def test_the_size_is_the_number_of_genotypes(space: SearchSpace) -> None:
    genotypes = spaces.enumerate_genotypes(space)
    assert spaces.size(space) == len(genotypes) == len({repr(g) for g in genotypes})
    assert all(spaces.check_genotype(space, g) == g for g in genotypes)


def test_sizes_by_hand() -> None:
    assert spaces.size(Tiny()) == 3 * 2**2
    assert spaces.size(Schema(*ALL.values())) == 3 * 6 * 2**2
    assert spaces.size(Schema(Decision("d", (1, 2, 3), groups=4))) == 3**4
    assert spaces.size(type("Own", (Tiny,), {"size": lambda self: 5})()) == 5


def test_a_conditional_space_is_enumerated_once_each_and_counts_itself() -> None:
    space = Conditional(OP, WIDTH)
    assert len(spaces.enumerate_genotypes(space)) == 4 + 1 + 1
    with pytest.raises(SpaceError, match="'schema' has inactive decisions and must define size"):
        spaces.size(space)


def test_the_size_of_a_small_darts_space_is_that_of_its_enumeration() -> None:
    data = DataSpec((1, 8, 8), "classes", 2)
    space = DartsSpace(data, nodes=2, operations=("none", "skip_connect"))
    # One operation besides none: node 2 keeps both inputs, node 3 two of three; twice.
    assert space.size() == len(spaces.enumerate_genotypes(space)) == 3**2


def test_a_large_space_is_not_enumerated() -> None:
    with pytest.raises(SpaceError, match="'tiny' is too large to enumerate: over 11 genotypes"):
        spaces.enumerate_genotypes(Tiny(), limit=11)


def test_enumeration_builds_the_supernet_once() -> None:
    space = Tiny()
    spaces.enumerate_genotypes(space)
    assert space.built == 1


def test_samples_are_uniform_and_reproducible() -> None:
    space, generator = Schema(*ALL.values()), seeded(0)
    counts = Counter(str(spaces.sample(space, generator)) for _ in range(72 * 30))
    assert len(counts) == 72
    chi_square = sum((n - 30) ** 2 / 30 for n in counts.values())
    assert chi_square < 71 + 4 * (2 * 71) ** 0.5
    assert spaces.sample(space, seeded(7)) == spaces.sample(space, seeded(7))


def test_a_fingerprint_depends_on_name_and_decisions() -> None:
    other = Decision("op", ("a", "b", "d"))
    prints = [
        spaces.fingerprint(space)
        for space in (Tiny(), Schema(OP), Schema(other), Schema(OP, WIDTH), Schema(WIDTH, OP))
    ]
    assert len(set(prints)) == len(prints)
    assert spaces.fingerprint(Schema(OP)) == spaces.fingerprint(
        Schema(Decision("op", OP.candidates))
    )
    assert all(len(p) == 12 and set(p) <= set("0123456789abcdef") for p in prints)
