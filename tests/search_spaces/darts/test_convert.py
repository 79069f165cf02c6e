from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.dataspec import DataSpec
from nas.errors import GenotypeError, SpaceError
from search_spaces.darts import NAMED, Cells, DartsSpace, Edge, Plan
from search_spaces.darts.convert import MAX_TEXT, format_cells, parse_cells
from search_spaces.darts.named import named_cells
from search_spaces.ops import OPERATIONS

V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def text(normal: str = "[('skip_connect', 0), ('skip_connect', 1)]", concat: str = "[2]") -> str:
    reduce = "[('skip_connect', 0), ('skip_connect', 1)]"
    return f"Genotype(normal={normal}, normal_concat={concat}, reduce={reduce}, reduce_concat=[2])"


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    number = draw(st.integers(1, 5))
    nodes = tuple(
        tuple(
            Edge(draw(st.sampled_from(OPERATIONS)), draw(st.integers(0, 1 + node)))
            for _ in range(2)
        )
        for node in range(number)
    )
    concat = draw(st.lists(st.integers(0, 1 + number), min_size=1, max_size=6))
    return Plan(nodes, tuple(concat))


# reading and writing


@given(normal=plans(), reduce=plans())
def test_parsing_a_formatted_text_gives_the_cells_back(normal: Plan, reduce: Plan) -> None:
    cells = Cells(normal, reduce)
    assert parse_cells(format_cells(cells)) == cells


@pytest.mark.parametrize("name", [n for n in NAMED if n not in ("FairDARTS_b", "FairDARTS_f")])
def test_published_cells_have_a_text(name: str) -> None:
    assert parse_cells(format_cells(named_cells(name))) == named_cells(name)


def test_the_text_is_that_of_the_released_code() -> None:
    assert format_cells(named_cells("DARTS_V2")) == V2
    assert parse_cells(f"\n  {V2}\n") == named_cells("DARTS_V2")


@pytest.mark.parametrize("concat", ["range(2, 3)", "(2,)", "range(3)", "[0, 1, 2]", "[2, 2]"])
def test_concatenations_may_be_lists_tuples_or_ranges(concat: str) -> None:
    expected = {"range(3)": (0, 1, 2), "[0, 1, 2]": (0, 1, 2), "[2, 2]": (2, 2)}
    assert parse_cells(text(concat=concat)).normal.concat == expected.get(concat, (2,))


@pytest.mark.parametrize("name", ["FairDARTS_b", "FairDARTS_f"])
def test_nodes_with_one_edge_have_no_text(name: str) -> None:
    with pytest.raises(GenotypeError, match=r"node \d has 1 edge"):
        format_cells(named_cells(name))


# nothing is executed


ATTACKS = [
    "__import__('pathlib').Path('{path}').touch()",
    "Genotype(normal=__import__('pathlib').Path('{path}').touch(), normal_concat=[2], "
    "reduce=[], reduce_concat=[2])",
    text("[(__import__('pathlib').Path('{path}').touch(), 0), ('skip_connect', 1)]"),
    text(concat="range(__import__('pathlib').Path('{path}').touch() or 2, 3)"),
    text(concat="[c for c in [__import__('pathlib').Path('{path}').touch()]]"),
    text(concat="(lambda: __import__('pathlib').Path('{path}').touch())()"),
    text(concat="f\"{{__import__('pathlib').Path('{path}').touch()}}\""),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_in_a_text_is_refused_and_not_run(attack: str, tmp_path: Path) -> None:
    target = tmp_path / "touched"
    with pytest.raises(GenotypeError):
        parse_cells(attack.format(path=target))
    assert not target.exists()
    compiled = compile(ATTACKS[0].format(path=target), "attack", "eval")
    assert compiled  # the attack itself is sound Python


# what is refused, with the place


@pytest.mark.parametrize(
    ("given_text", "message"),
    [
        ("", "reads Genotype"),
        ("Genotype(", "not a genotype text"),
        ("normal = 3", "reads Genotype"),
        ("a = b = Genotype(normal=[])", "reads Genotype"),
        ("a.b = Genotype(normal=[])", "reads Genotype"),
        ("a = Genotype(normal=[]); a", "reads Genotype"),
        ("Genotype\0()", "not a genotype text"),
        ("(" * 500 + ")" * 500, "not a genotype text"),
        ("[" * 150 + "]" * 150, "reads Genotype"),
        ("x" * (MAX_TEXT + 1), f"at most {MAX_TEXT} characters"),
        ("PC_DARTS", "reads Genotype"),
        ("Other(normal=[])", "reads Genotype"),
        ("a.Genotype(normal=[])", "reads Genotype"),
        ("Genotype([], normal=[])", "reads Genotype"),
        ("Genotype(normal=[])", "has the fields normal, normal_concat, reduce, reduce_concat"),
        (text().replace("reduce_concat", "reduced"), "each once; got .*reduced"),
        (text().replace("reduce_concat", "normal_concat"), "each once"),
        ("Genotype(**{'normal': []})", "has the fields"),
        (text("[]"), "the normal cell needs two"),
        (text("5"), "the normal cell needs two"),
        (text("[('skip_connect', 0)]"), "the normal cell needs two"),
        (text("{[]: 1}"), "'normal' holds something else than data"),
        (text("[x, y]"), "'normal' holds something else than data"),
        (text("-" * 5000 + "1"), "genotype"),
        (text("[3, ('skip_connect', 1)]"), r"normal node 2: expected \(operation, input\), got 3"),
        (text("[('skip_connect', 0, 1), ('skip_connect', 1)]"), "normal node 2: expected"),
        (
            text("[('skip_conect', 0), ('skip_connect', 1)]"),
            "normal node 2: unknown operation 'skip_conect'.*did you mean 'skip_connect'",
        ),
        (text("[([], 0), ('skip_connect', 1)]"), "normal node 2: unknown operation"),
        (text("[('skip_connect', 2), ('skip_connect', 1)]"), r"input must lie in 0..1, got 2"),
        (text("[('skip_connect', -1), ('skip_connect', 1)]"), "input must lie in 0..1, got -1"),
        (text("[('skip_connect', True), ('skip_connect', 1)]"), "input must lie in 0..1, got True"),
        (text("[('skip_connect', '0'), ('skip_connect', 1)]"), "input must lie in 0..1, got '0'"),
        (text(concat="[]"), r"normal_concat must list states of 0..2, got \[\]"),
        (text(concat="[3]"), "normal_concat must list states of 0..2"),
        (text(concat="[2.0]"), "normal_concat must list states of 0..2"),
        (text(concat="[True]"), "normal_concat must list states of 0..2"),
        (text(concat="'2'"), "normal_concat must list states of 0..2"),
        (text(concat="range(0, 10**9)"), "holds something else than data"),
        (text(concat="range(0, 1000000000)"), "holds something else than data"),
        (text(concat="range(2, stop=3)"), "holds something else than data"),
        (text(concat="range()"), "holds something else than data"),
    ],
)
def test_malformed_texts_are_refused_with_the_place(given_text: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        parse_cells(given_text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_never_a_traceback(anything: str) -> None:
    for candidate in (anything, text(anything), text(concat=anything)):
        try:
            parse_cells(candidate)
        except GenotypeError:
            continue


# cells outside a space


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NASNet", "the normal cell has 5 nodes"),
        ("AmoebaNet", r"concatenates \(4, 5, 6\)"),
        ("SNAS_aggressive", "operation 'none' is not in this space"),
        ("SETN", "operation 'conv_3x1_1x3' is not in this space"),
        ("FairDARTS_b", r"normal node 3 has inputs \[1\]; this space keeps 2 different"),
    ],
)
def test_cells_that_a_space_does_not_hold_are_refused(name: str, message: str) -> None:
    space = DartsSpace(DataSpec((3, 8, 8), "classes", 10))
    with pytest.raises(SpaceError, match=message):
        space.from_cells(named_cells(name))


def test_two_edges_from_one_input_are_refused() -> None:
    space = DartsSpace(DataSpec((3, 8, 8), "classes", 10), nodes=1)
    with pytest.raises(SpaceError, match=r"node 2 has inputs \[0, 0\]"):
        space.parse(text("[('skip_connect', 0), ('sep_conv_3x3', 0)]"))
