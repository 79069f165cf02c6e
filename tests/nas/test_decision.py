import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.decision import Candidate, Choice, Decision, collect, validate
from nas.errors import GenotypeError, SpaceError

OPS = ("none", "skip_connect", "sep_conv_3x3")
candidate = st.one_of(
    st.text(max_size=6),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def any_decision(draw: st.DrawFn) -> Decision:
    candidates = tuple(draw(st.lists(candidate, min_size=1, max_size=6, unique=True)))
    form = draw(st.sampled_from(["plain", "nested", "pick"]))
    return Decision(
        draw(st.text(max_size=8)),
        candidates,
        kind="nested" if form == "nested" else "alternatives",
        pick=draw(st.integers(1, len(candidates))) if form == "pick" else 1,
        groups=1 if form == "pick" else draw(st.integers(1, 3)),
        soft=draw(st.booleans()),
    )


def any_positions(decision: Decision) -> st.SearchStrategy[list[list[int]]]:
    one_group = st.permutations(range(len(decision))).map(lambda order: order[: decision.pick])
    return st.lists(one_group, min_size=decision.groups, max_size=decision.groups)


@given(any_decision())
def test_a_decision_survives_json(decision: Decision) -> None:
    text = json.dumps(decision.to_json(), allow_nan=False)
    assert Decision.from_json(json.loads(text)) == decision


@given(st.data())
def test_positions_and_choice_are_inverse(data: st.DataObject) -> None:
    decision = data.draw(any_decision())
    positions = data.draw(any_positions(decision))
    found = decision.positions(decision.choice(positions))
    assert found == tuple(tuple(sorted(group)) for group in positions)


@given(st.data())
def test_a_choice_has_one_canonical_form(data: st.DataObject) -> None:
    decision = data.draw(any_decision())
    choice = decision.choice(data.draw(any_positions(decision)))
    assert decision.choice(decision.positions(choice)) == choice
    assert validate({decision.name: decision}, {decision.name: choice}) == {decision.name: choice}


def test_a_choice_of_several_is_sorted_and_one_of_groups_is_not() -> None:
    inputs = Decision("inputs", (0, 1, 2, 3), pick=2)
    assert inputs.choice([[3, 1]]) == (1, 3)
    assert validate({"inputs": inputs}, {"inputs": (3, 1)}) == {"inputs": (1, 3)}
    widths = Decision("width", (2, 4), kind="nested", groups=3)
    assert widths.choice([[1], [0], [1]]) == (4, 2, 4)


def test_text_and_numbers_are_told_apart() -> None:
    decision = Decision("bits", ("8", 8))
    assert (decision.position("8"), decision.position(8)) == (0, 1)


def test_a_list_of_candidates_becomes_a_tuple_so_that_a_decision_can_be_hashed() -> None:
    decision = Decision("op", list(OPS))  # type: ignore[arg-type]
    assert hash(decision) == hash(Decision("op", OPS))
    assert len(decision) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": ()}, "distinct and at least one"),
        ({"candidates": ("a", "a")}, "distinct and at least one"),
        ({"candidates": (1, 1.0)}, "distinct and at least one"),
        ({"candidates": (True, 2)}, "text or finite numbers"),
        ({"candidates": (None,)}, "text or finite numbers"),
        ({"candidates": ([1], [2])}, "text or finite numbers"),
        ({"candidates": (math.nan,)}, "text or finite numbers"),
        ({"candidates": (1.0, math.inf)}, "text or finite numbers"),
        ({"kind": "nest"}, "'alternatives' or 'nested', got 'nest'"),
        ({"pick": 0}, r"1\.\.3, got 0"),
        ({"pick": 4}, r"1\.\.3, got 4"),
        ({"groups": 0}, "at least 1, got 0"),
        ({"pick": 2, "groups": 2}, "pick > 1 goes with plain alternatives"),
        ({"pick": 2, "kind": "nested"}, "pick > 1 goes with plain alternatives"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=f"'edge'.*{message}"):
        Decision("edge", **{"candidates": OPS, **settings})


@pytest.mark.parametrize(
    ("decision", "choice", "message"),
    [
        (Decision("op", OPS), "skip_conect", "unknown candidate.*did you mean 'skip_connect'"),
        (Decision("op", OPS), ("none",), "needs one candidate, got"),
        (Decision("op", OPS, pick=2), "none", "needs 2 distinct candidates"),
        (Decision("op", OPS, pick=2), ("none", "none"), "needs 2 distinct candidates"),
        (Decision("op", OPS, pick=2), OPS, "needs 2 distinct candidates"),
        (Decision("op", OPS, groups=2), "none", "needs 2 entries, one per group"),
        (Decision("op", OPS, groups=2), ("none",), "needs 2 entries, one per group, got 1"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(
    decision: Decision, choice: Choice, message: str
) -> None:
    with pytest.raises(GenotypeError, match=message):
        decision.positions(choice)


def test_equal_names_mean_one_decision() -> None:
    first, again, other = Decision("a", (1, 2)), Decision("a", (1, 2)), Decision("b", (1, 2))
    assert list(collect([first, other, again])) == ["a", "b"]


@pytest.mark.parametrize(
    "other",
    [
        Decision("a", (1, 3)),
        Decision("a", (2, 1)),
        Decision("a", (1, 2), kind="nested"),
        Decision("a", (1, 2), groups=2),
        Decision("a", (1, 2), soft=False),
    ],
)
def test_one_name_never_means_two_things(other: Decision) -> None:
    with pytest.raises(SpaceError, match="two different decisions share the name 'a'"):
        collect([Decision("a", (1, 2)), other])


def test_an_unknown_decision_is_answered_with_the_nearest() -> None:
    decisions = {name: Decision(name, (1, 2)) for name in ("normal/0->2", "reduce/0->2")}
    with pytest.raises(GenotypeError, match=r"'normal/0-2'.*has 2.*did you mean 'normal/0->2'"):
        validate(decisions, {"normal/0-2": 1})


@pytest.mark.parametrize("bad", ["c", 7, 0.5])
def test_an_unknown_candidate_names_the_known_ones(bad: Candidate) -> None:
    call: Callable[[Candidate], int] = Decision("bits", (2, 4, "a")).position
    with pytest.raises(GenotypeError, match="this space has 2, 4, a"):
        call(bad)
