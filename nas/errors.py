"""Errors a user can cause; each message is one sentence with the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class NasError(Exception):
    """A mistake or a condition outside the program that the user can mend."""


class SpaceError(NasError):
    """A search space that was asked for something it does not have."""


class GenotypeError(NasError):
    """A genotype that is damaged or does not belong to its space."""


class ConfigError(NasError):
    """A setting with a value that is not allowed."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to ``word``, else ``""``."""
    names = {str(name).lower(): str(name) for name in known}
    found = get_close_matches(str(word).lower(), list(names), n=1, cutoff=0.6)
    return f"; did you mean {names[found[0]]!r}?" if found else ""
