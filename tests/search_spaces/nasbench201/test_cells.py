"""Strings of cells: written, read back, and refused in one sentence where they are none."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import GenotypeError
from search_spaces.nasbench201.cells import EDGES, OPERATIONS, Cell, format_cell, parse_cell

RESNET = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"


def test_a_string_lists_the_edges_node_by_node() -> None:
    assert EDGES == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    cell = parse_cell(RESNET)
    assert dict(zip(EDGES, cell.operations, strict=True)) == {
        (0, 1): "nor_conv_3x3",
        (0, 2): "none",
        (1, 2): "nor_conv_3x3",
        (0, 3): "skip_connect",
        (1, 3): "none",
        (2, 3): "skip_connect",
    }
    assert cell.of(2) == ("none", "nor_conv_3x3")
    assert format_cell(cell) == RESNET
    assert parse_cell(f"\n {RESNET} \n") == cell


def test_all_cells_survive_the_string_and_differ_in_it() -> None:
    texts = set()
    for operations in product(OPERATIONS, repeat=len(EDGES)):
        text = format_cell(Cell(operations))
        assert parse_cell(text) == Cell(operations)
        texts.add(text)
    assert len(texts) == 15_625


MALFORMED = {
    "": "3 nodes joined by '[+]'.* got 1",
    "|nor_conv_3x3~0|+|none~0|none~1|": "3 nodes joined by .* got 2",
    f"{RESNET}+|none~0|": "3 nodes joined by .* got 4",
    RESNET[1:]: "node 1 .* begins and ends with '|'",
    RESNET[:-1]: "node 3 .* begins and ends with '|'",
    "|+|none~0|none~1|+|none~0|none~1|none~2|": "node 1 .* begins and ends",
    "||+|none~0|none~1|+|none~0|none~1|none~2|": "node 1 .* operation~0, got ''",
    "|none~0|none~1|+|none~0|none~1|+|none~0|none~1|none~2|": r"node 1 .* 1 operation.* got 2",
    "|none~0|+|none~0|+|none~0|none~1|none~2|": r"node 2 .* 2 operation.* got 1",
    "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|": "node 2 .* operation~0, got 'none~1'",
    "|none|+|none~0|none~1|+|none~0|none~1|none~2|": "node 1 .* operation~0, got 'none'",
    "|none~x|+|none~0|none~1|+|none~0|none~1|none~2|": "node 1 .* got 'none~x'",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~02|": "node 3 .* number 3 .* got 'none~02'",
    RESNET.replace("skip_connect~2", "skip_conect~2"): "unknown operation 'skip_conect'.*"
    "did you mean 'skip_connect'",
    RESNET.replace("none~1", "__import__('os')~1"): "unknown operation",
    "|" * 201: "at most 200 characters, got 201",
}


@pytest.mark.parametrize(("text", "sentence"), MALFORMED.items(), ids=range(len(MALFORMED)))
def test_what_is_no_cell_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(GenotypeError, match=sentence) as caught:
        parse_cell(text)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="|+~012_ nocer3xskip", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(GenotypeError):
        assert format_cell(parse_cell(text)) == text.strip()
