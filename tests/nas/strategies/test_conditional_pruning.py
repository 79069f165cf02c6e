"""CACP as a derivation: what it asks of a run, what it refuses, what it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nas.costs import WidthLayer
from nas.decision import Decision, Genotype
from nas.errors import ConfigError
from nas.strategies import ChecksRun, ConditionalPruning, Derivation, ScoresPaths
from tests.nas.strategies.candidates import Mock

SHARES = (0.25, 0.5, 1.0)
WIDTHS = {name: Decision(name, SHARES, "nested") for name in ("a/width", "b/width", "c/width")}
IMPORTANT = {"a/width": 4.0, "b/width": 2.0, "c/width": 1.0}


class Prunable(Mock):
    """Three layers of equal cost, of which the first is worth most."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(dict(WIDTHS), **parts)

    def costs(self, choices: Genotype) -> Mapping[str, float]:
        kept = sum(float(choices[name]) for name in WIDTHS)  # type: ignore[arg-type]
        return {"macs": 100 * kept, "params": 10 + kept}

    def width_layers(self) -> Mapping[str, WidthLayer]:
        return {name: WidthLayer(0, 8, 8, 4, 4, 1, 3) for name in WIDTHS}

    def scores(self, queries: int, batches: int | None, calibration: int) -> Any:
        counted = super().scores(queries, batches, calibration)

        def score(choices: Genotype) -> float:
            counted({f"layer{i}": "a" for i in range(5)} | dict(choices))
            return sum(IMPORTANT[n] * float(choices[n]) for n in WIDTHS)  # type: ignore[arg-type]

        return score


def pruning(**more: Any) -> ConditionalPruning:
    return ConditionalPruning(
        **{"targets": (0.5, 1.0), "queries": 14, "warmup": 0.8, "batch": 4, **more}
    )


def share(choices: Genotype) -> float:
    return sum(float(choices[name]) for name in WIDTHS) / 3  # type: ignore[arg-type]


def test_a_genotype_of_every_target_and_the_first_targets_is_the_runs() -> None:
    made: Derivation = pruning()
    assert isinstance(made, ScoresPaths)
    assert isinstance(made, ChecksRun)
    made.check(WIDTHS)
    mock = Prunable()
    made.check_run(mock)
    assert mock.asked is None  # nothing is scored for a check
    found = made(mock)
    assert mock.asked == (14, None, 8)
    assert list(found.named) == ["target_0.5", "target_1"]
    assert found.choices == found.named["target_0.5"]
    told = found.figures["targets"]
    assert [row["target"] for row in told] == [0.5, 1.0]
    for row, choices in zip(told, found.named.values(), strict=True):
        assert row["kept"] == pytest.approx(share(choices))
        assert row["kept"] <= row["target"] + 1e-9
    assert told[0]["genotype"] == "genotypes/target_0.5.json"
    assert "this is target 0.5" in found.sentence


def test_a_budget_holds_for_every_target() -> None:
    found = pruning()(Prunable(affordable=lambda choices: share(choices) <= 0.7))
    assert all(share(choices) <= 0.7 for choices in found.named.values())
    assert found.sentence.endswith("all keep to budget.macs=5")
    with pytest.raises(ConfigError, match=r"keeps to budget.macs=5; raise the limit"):
        pruning()(Prunable(affordable=lambda choices: False))


@pytest.mark.parametrize("stop", [0, 3])
def test_a_derivation_killed_anywhere_ends_as_if_it_had_not_been(stop: int) -> None:
    expected = pruning(warmup=0.2)(Prunable())
    first = Prunable(stop=stop)
    with pytest.raises(KeyboardInterrupt):
        pruning(warmup=0.2)(first)
    assert pruning(warmup=0.2)(Prunable(known=first.known)) == expected


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"targets": ()}, r"above 0 and up to 1, such as \[0.3,0.5,0.7\], got \[\]"),
        ({"targets": (0.0, 0.5)}, r"above 0 and up to 1"),
        ({"targets": (0.5, 1.2)}, r"above 0 and up to 1"),
        ({"targets": (0.5, 0.5)}, r"different shares"),
        ({"queries": 1}, "leaves some of 2 targets without an episode"),
        ({"queries": 0}, "queries must be a whole number of at least 1"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        pruning(**settings)


def test_a_space_without_widths_is_refused() -> None:
    with pytest.raises(ConfigError, match="on widths alone, and this space has none"):
        pruning().check({})
    bits = Decision("a/weight_bits", (2, 4, 8), "nested")
    with pytest.raises(ConfigError, match=r"a/weight_bits is none; .* compression=prune"):
        pruning().check({**WIDTHS, "a/weight_bits": bits})


def test_what_costs_alone_can_tell_is_told_before_anything_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"smallest network of this space keeps 0.25 of the cost"):
        pruning(targets=(0.2, 0.5)).check_run(Prunable())
    with pytest.raises(ConfigError, match=r"cost=macz: no cost has that name; .* macs"):
        pruning(cost="macz").check_run(Prunable())
