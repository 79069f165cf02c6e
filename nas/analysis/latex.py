"""A comparison as a table for a paper (LaTeX with the package booktabs)."""

from __future__ import annotations

from collections.abc import Sequence

_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def escaped(text: str) -> str:
    """The text with LaTeX's special characters as they are printed."""
    plain = text.replace("\\", "\0")
    return "".join(_SPECIAL.get(c, c) for c in plain).replace("\0", r"\textbackslash{}")


def tabular(heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Rows below heads, the first column left, all others right; notes are comments."""
    lines = [
        *(f"% {note}" for note in notes),
        f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        _line(heads),
        r"\midrule",
        *map(_line, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(escaped, cells))} \\\\"
