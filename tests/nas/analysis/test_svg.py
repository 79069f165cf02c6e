from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nas.analysis.draw import draw_cell
from nas.analysis.svg import COLORS, css_variables, inline_svg, save_svg, svg_bytes
from nas.errors import NasError


@pytest.fixture
def figure(make_cell: Callable[..., Any]) -> Any:
    return draw_cell(make_cell(1), "normal", "normal")


def luminance(code: str) -> float:
    """Relative luminance of a color, as the web's contrast rule defines it."""
    shares = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(a * b for a, b in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_the_file_is_well_formed_without_date_or_text_elements(figure: Any, tmp_path: Path) -> None:
    path = save_svg(figure, tmp_path / "cell.svg")
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    text = path.read_text()
    assert "<text" not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d", text)
    assert "Matplotlib v" not in text


def test_a_users_settings_do_not_change_the_bytes(figure: Any) -> None:
    import matplotlib

    plain = svg_bytes(figure)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": None}):
        assert svg_bytes(figure) == plain


def test_inline_pictures_share_no_identifier_and_keep_their_references(figure: Any) -> None:
    both = [inline_svg(figure, prefix, "a cell") for prefix in ("a", "b")]
    names = [set(re.findall(r'\bid="([^"]+)"', text)) for text in both]
    assert not names[0] & names[1]
    for text, known in zip(both, names, strict=True):
        assert set(re.findall(r'href="#([^"]+)"', text)) <= known
        assert set(re.findall(r"url\(#([^)]+)\)", text)) <= known
        assert "http" not in text
        assert "<style" not in text
        assert ElementTree.fromstring(text).tag == "svg"


def test_inline_pictures_follow_the_page_in_the_dark(figure: Any) -> None:
    text = inline_svg(figure, "a", 'a "cell" <b>')
    assert "var(--ink,#1b1f24)" in text
    assert 'aria-label="a &quot;cell&quot; &lt;b&gt;"' in text
    for name, (light, dark) in COLORS.items():
        assert not re.search(rf"[:\s]{light}\b", text), name
        assert f"--{name}:{dark};" in css_variables(dark=True)


@pytest.mark.parametrize("mode", [0, 1])
def test_labels_are_readable_on_every_tint(mode: int) -> None:
    ink = COLORS["ink"][mode]
    backgrounds = [pair[mode] for name, pair in COLORS.items() if name.startswith("tint")]
    for tint in [*backgrounds, COLORS["node"][mode], COLORS["input"][mode]]:
        assert contrast(ink, tint) >= 7


def test_colors_of_lines_are_distinct_and_visible() -> None:
    for mode, page in ((0, "#ffffff"), (1, "#1b1f26")):
        lines = [pair[mode] for name, pair in COLORS.items() if name.startswith("line")]
        assert len(set(lines)) == len(lines)
        assert min(contrast(line, page) for line in lines) >= 3


def test_a_folder_that_cannot_be_written_is_named(figure: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NasError, match=r"file: a part of that path is a file"):
        save_svg(figure, tmp_path / "file" / "cell.svg")
