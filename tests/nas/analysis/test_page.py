from __future__ import annotations

from nas.analysis.page import Html, Section, bullets, grid_table, page, pairs_table


def test_plain_text_is_escaped_and_markup_is_not() -> None:
    table = pairs_table([("<a>", "x & y"), ("link", Html("<b>bold</b>"))])
    assert "&lt;a&gt;" in table
    assert "x &amp; y" in table
    assert "<b>bold</b>" in table


def test_empty_columns_are_left_out_and_numbers_stand_right() -> None:
    table = grid_table(("name", "count", "nothing"), [["a", "12", ""], ["b", "", ""]])
    assert "nothing" not in table
    assert '<th scope="col" class="n">count</th>' in table
    assert '<td class="n">12</td>' in table


def test_nothing_gives_nothing() -> None:
    assert pairs_table([]) == grid_table(("a",), []) == bullets([]) == ""


def test_a_page_lists_the_sections_it_shows() -> None:
    text = page("a < b", ["lead"], [Section("one", "One", "<p>x</p>"), Section("two", "Two", "")])
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>a &lt; b</title>" in text
    assert '<a href="#one">One</a>' in text
    assert "Two" not in text
    assert "%LIGHT%" not in text
