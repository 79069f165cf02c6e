"""The architecture that ``nas bench query`` was asked for, in the space of its table."""

from __future__ import annotations

from collections.abc import Mapping

from nas.benchmarks import SpaceRecord
from nas.cli import known_spaces
from nas.cli.look import Look
from nas.decision import Choice
from nas.errors import GenotypeError, nearest


def choices_of(line: Look, space: SpaceRecord) -> Mapping[str, Choice]:
    """The choices that were typed, in whichever form the space itself reads.

    Of a space that tables know alone (channel sizes of NATS-Bench, FBNet) the choices are typed in
    order, ``8:8:40:32:40``. No module is loaded because a table names it.

    Raises NasError for what is outside the space.
    """
    if known_spaces.buildable(space.name, line.plugins):
        from nas.cli.given_genotype import Reader

        return Reader(space.name, line.runs, line.plugins).read(line.word(1)).choices
    return in_order(line.word(1), space)


def in_order(text: str, space: SpaceRecord) -> dict[str, Choice]:
    """The choices of a text ``a:b:c``, one for each decision of the space in order.

    Raises GenotypeError where one is missing, unknown or too many.
    """
    words = text.split(":")
    if len(words) != len(space.decisions):
        raise GenotypeError(
            f"an architecture of space {space.name!r} is typed as {len(space.decisions)} choices "
            f"with ':' between them, got {len(words)} in {text!r}"
        )
    found: dict[str, Choice] = {}
    for word, decision, options in zip(words, space.decisions, space.options, strict=True):
        named = {str(option): option for option in options}
        if word not in named:
            raise GenotypeError(
                f"{decision.name} of {text!r} is {word!r}; it has {', '.join(named)}"
                f"{nearest(word, named)}"
            )
        found[decision.name] = named[word]
    return found
