from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nas.cli.values import check_type
from nas.errors import ConfigError

Say = Callable[..., "tuple[int, str, str]"]


@pytest.mark.parametrize(
    ("default", "value"),
    [
        (0, 1e-4),
        (0.5, 1),
        (0.5, None),
        (None, [1]),
        ("???", {"a": 1}),
        ("${seed}", 3),
        ("auto", 3),
        ("auto", True),
        (3, "${seed}"),
        (True, False),
        ([1], []),
        ({"a": 1}, {"b": 2}),
    ],
)
def test_values_that_fit(default: object, value: object) -> None:
    check_type("key", default, value)


@pytest.mark.parametrize(
    ("default", "value", "said"),
    [
        (3, "many", r"key=many is not a number \(the default is 3\)"),
        (3, "", "key='' is not a number"),
        (3, True, "key=True is not a number"),
        (True, 1, r"key=1 is not true or false \(the default is true\)"),
        (False, "maybe", "key=maybe is not true or false"),
        ([1, 2], 3, "key=3 is not a list such as"),
        ({"lr": 1}, 3, r"key=3 is not a group of settings \(the default is {lr}\)"),
        ("auto", [1], "key is a single value such as 'auto'; got"),
        (3, {"a": 1}, "is not a number"),
    ],
)
def test_values_that_do_not_fit(default: object, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_type("key", default, value)


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ("seed=1 optim.weights.lr=1 switch=true", True),
        ("stages=[search] must=3 anything=[1,2] device=cuda", True),
        ("seed=null strategy=gdas ++optim.weights.lr=x +new=4", True),
        ("switch=1", False),
        ("stages=search", False),
        ("strategy=gdas seed=x", False),
        ("-m seed=1,x", False),
        ("-m seed=range(3) optim.weights.lr=choice(0.1,0.2)", True),
    ],
)
def test_a_job_is_not_started_with_a_value_of_another_kind(
    say: Say, app: Any, line: str, fits: bool
) -> None:
    status, _, err = say("search", *line.split())
    assert (status == 0) == fits, err
    assert bool(app.seen) == fits
