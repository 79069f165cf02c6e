"""A space whose architecture is decided: one network, its decisions, and compression around it."""

from __future__ import annotations

import pytest
import torch

from nas.arch import from_genotype
from nas.compression import Compressed, Compression
from nas.costs import BitOps, Parameters, count_parameters
from nas.dataspec import DataSpec
from nas.decision import Decision
from nas.errors import GenotypeError, SpaceError
from nas.settled import Settled, choices_of
from nas.space import blueprint, check_genotype, decisions_of, discretize, fingerprint, sample, size
from nas.supernet import Supernet
from search_spaces.nasbench201 import NasBench201Space

DATA = DataSpec((3, 8, 8), "classes", 10)
BITS = Compression(weight_bits=(2, 4), activation_bits=(4, 8))


def base() -> NasBench201Space:
    return NasBench201Space(data=DATA, channels=4, cells=1, network_channels=4, network_cells=1)


def test_nothing_is_left_to_decide() -> None:
    choices = sample(base(), torch.Generator().manual_seed(0))
    space = Settled(base(), choices)
    assert size(space) == 1
    assert sample(space, torch.Generator().manual_seed(7)) == choices
    assert discretize(space, {}) == choices
    assert {name: d.candidates for name, d in space.decisions.items()} == {
        name: (choice,) for name, choice in choices.items()
    }
    assert fingerprint(space) == fingerprint(base())
    assert count_parameters(space.supernet()) == count_parameters(base().network(choices))
    assert float(Parameters(blueprint(space))({})) == count_parameters(base().network(choices))


@pytest.mark.parametrize("seed", range(4))
def test_compression_of_it_is_that_of_the_whole_space(seed: int) -> None:
    choices = sample(base(), torch.Generator().manual_seed(seed))
    settled, whole = Compressed(Settled(base(), choices), BITS), Compressed(base(), BITS)
    found = sample(settled, torch.Generator().manual_seed(1))
    assert check_genotype(whole, found) == found
    assert {name: found[name] for name in choices} == choices
    assert fingerprint(settled) == fingerprint(whole)
    # As many bits to choose as the parts that the choices keep have.
    own = [d for name, d in decisions_of(settled).items() if name not in choices]
    assert settled.size() == 2 ** len(own)
    assert {d.name for d in own} == set(found) - set(choices)
    costs = [
        BitOps(net, DATA.input_shape)(from_genotype(Supernet(net).decisions, found))
        for net in (settled.blueprint(), whole.blueprint())
    ]
    torch.testing.assert_close(costs[0], costs[1])


def test_what_is_refused() -> None:
    choices = sample(base(), torch.Generator().manual_seed(0))
    with pytest.raises(GenotypeError, match="unknown decision 'cell/1->9'"):
        Settled(base(), {**choices, "cell/1->9": "none"})
    with pytest.raises(GenotypeError, match="no genotype's choices in JSON"):
        choices_of("latest")
    with pytest.raises(GenotypeError, match="holds no choices by decision"):
        choices_of("[1]")
    assert choices_of('{"a": [0, 1], "b": "x"}') == {"a": (0, 1), "b": "x"}


class Grouped:
    name = "grouped"
    decisions = {"filters": Decision("filters", (0, 1), groups=2)}  # noqa: RUF012


def test_groups_cannot_be_kept() -> None:
    with pytest.raises(SpaceError, match="'filters' has 2 groups"):
        Settled(Grouped(), {"filters": (0, 1)})  # type: ignore[arg-type]
