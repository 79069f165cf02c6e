from __future__ import annotations

from pathlib import Path

import pytest

from nas.benchmarks.readers.nats import SIZES
from nas.benchmarks.table import SpaceRecord
from nas.cli import known_spaces
from nas.cli.look import Look
from nas.cli.table_genotype import choices_of, in_order
from nas.errors import GenotypeError


def test_choices_in_order_have_the_type_of_their_candidates() -> None:
    assert list(in_order("8:16:64:8:40", SIZES).values()) == [8, 16, 64, 8, 40]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8:8:8:8", "typed as 5 choices with ':' between them, got 4"),
        ("8:8:8:8:12", "layer5 of '8:8:8:8:12' is '12'; it has 8, 16"),
    ],
)
def test_what_is_outside_the_space_is_told(text: str, said: str) -> None:
    with pytest.raises(GenotypeError, match=said):
        in_order(text, SIZES)


def test_a_module_that_a_table_names_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("lurking.py").write_text("raise SystemExit('was loaded')\n")
    for name in ("lurking", "lurking.Space"):
        record = SpaceRecord(name, SIZES.decisions)
        assert choices_of(Look(("query", "8:8:8:8:8")), record)["layer1"] == 8
        assert not known_spaces.buildable(name)
        assert known_spaces.buildable(name, ["lurking"])
    assert known_spaces.buildable("chain")
