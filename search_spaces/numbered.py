"""The text form of a chain: a prefix, and for each layer the number of its candidate."""

from __future__ import annotations

from collections.abc import Mapping

from nas.decision import Choice, Decision, Genotype
from nas.errors import GenotypeError


def parse_numbers(text: str, prefix: str, decisions: Mapping[str, Decision]) -> dict[str, Choice]:
    """The genotype of ``prefix:20302``: for each decision the number of its candidate.

    Every decision has at most ten candidates. Raises GenotypeError saying what is wrong where.
    """
    layers = list(decisions.values())
    given = text.strip()
    digits = given.removeprefix(f"{prefix}:")
    if digits == given or len(digits) != len(layers):
        raise GenotypeError(
            f"a genotype of space {prefix} is written {prefix}: and {len(layers)} digits, as in "
            f"{prefix}:{'1' * len(layers)}; got {text[:40]!r}"
        )
    choices: dict[str, Choice] = {}
    for decision, digit in zip(layers, digits, strict=True):
        known = dict(zip("0123456789", decision.candidates, strict=False))
        if digit not in known:
            meaning = ", ".join(f"{number} {name}" for number, name in known.items())
            raise GenotypeError(
                f"{decision.name} of {given!r}: {digit!r} is none of its candidates, {meaning}"
            )
        choices[decision.name] = known[digit]
    return choices


def format_numbers(genotype: Genotype, prefix: str, decisions: Mapping[str, Decision]) -> str:
    """``prefix:20302``; ``parse_numbers`` reads it back."""
    places = (decision.positions(genotype[name])[0][0] for name, decision in decisions.items())
    return f"{prefix}:{''.join(map(str, places))}"
