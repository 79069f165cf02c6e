"""Colors of every picture, and figures as SVG: equal bytes for equal figures, text as paths.

Pictures are painted in the light colors of `COLORS`; `inline_svg` turns each of these into a CSS
variable with the light value as fallback, so that a page can show the same picture in the dark.
"""

import io
import os
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "DejaVu Sans"  # ships with matplotlib; its glyphs are written as paths

COLORS: dict[str, tuple[str, str]] = {
    "ink": ("#1b1f24", "#e6e9ee"),
    "muted": ("#69707b", "#a2abb8"),
    "grid": ("#dde1e7", "#363d48"),
    "concat": ("#b4bac3", "#5a6370"),
    "node": ("#f2f4f8", "#262c35"),
    "input": ("#e4e8f0", "#313947"),
    "line-separable": ("#0072b2", "#56a9dd"),
    "tint-separable": ("#dcebf7", "#12344e"),
    "line-dilated": ("#d55e00", "#f08a3c"),
    "tint-dilated": ("#fbe6d7", "#4d2b10"),
    "line-pool": ("#009e73", "#3cc49b"),
    "tint-pool": ("#d8f1e7", "#0d3b2e"),
    "line-skip": ("#b0508c", "#d98bba"),
    "tint-skip": ("#f6e3ee", "#45213a"),
    "line-conv": ("#a08600", "#d8c04a"),
    "tint-conv": ("#f8f1c9", "#3d3606"),
    "line-none": ("#8b919a", "#8b929c"),
    "tint-none": ("#edeff2", "#2b3038"),
    "line-other": ("#4a505a", "#c0c6cf"),
    "tint-other": ("#e7eaee", "#333943"),
}
"""Name -> (light, dark); families follow Okabe and Ito's palette for the color-blind."""


def color(name: str) -> str:
    """Return the light color that pictures are painted with."""
    return COLORS[name][0]


def css_variables(dark: bool) -> str:
    """Return the CSS declarations that give every color of a picture its light or dark value."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in COLORS.items())


def svg_bytes(figure: "Figure", *, transparent: bool = False) -> bytes:
    """Return a figure as SVG without date, versions or random identifiers; white unless asked."""
    import matplotlib

    settings: Any = {
        "svg.hashsalt": "nas",
        "svg.fonttype": "path",
        "svg.id": None,
        "text.usetex": False,
        "mathtext.fontset": "dejavusans",
    }
    target = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    paper = "none" if transparent else "white"
    with matplotlib.rc_context(settings):
        figure.savefig(target, format="svg", facecolor=paper, metadata=nothing)
    text = target.getvalue().decode()
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).encode()


def save_svg(figure: "Figure", path: str | os.PathLike[str]) -> Path:
    """Write a figure as an SVG file of its own; the same figure gives the same bytes.

    Raises:
        NasError: when the file cannot be written.
    """
    target = Path(path)
    write_atomic(target, svg_bytes(figure))
    return target


def inline_svg(figure: "Figure", prefix: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    Args:
        figure: painted in the colors of `COLORS`.
        prefix: makes the element's identifiers unique within the page.
        description: what the picture shows, for readers who cannot see it.
    """
    text = svg_bytes(figure, transparent=True).decode()
    text = text[text.index("<svg") :].strip()
    for pattern in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->"):
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<defs>\s*</defs>|\s*<defs/>", "", text)
    text = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'\b(?:xlink:)?href="#([^"]*)"', rf'href="#{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]*)\)", rf"url(#{prefix}-\1)", text)
    for name, (light, _) in COLORS.items():
        text = re.sub(rf"([:(\s]){light}\b", rf"\1var(--{name},{light})", text)
    head, _, body = text.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    width = re.search(r'width="([\d.]+)pt"', head)
    style = f"width:{float(width[1]) * 4 / 3:.0f}px" if width else ""
    label = escape(description, quote=True)
    return f'<svg {box[0] if box else ""} role="img" aria-label="{label}" style="{style}">{body}'
