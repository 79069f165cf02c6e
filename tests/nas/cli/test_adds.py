"""Additions to a strategy."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.cli.adds import check_adds
from nas.cli.compose import composed
from nas.cli.positional import Line, parse
from nas.cli.verbs import VERBS
from nas.errors import ConfigError

FILES = {
    "warm.yaml": "# @package strategy\nupdate: {warmup: 0.5}\nedge_weights: true\n",
    "plain.yaml": "# @package strategy\nupdate: null\n",
    "apart.yaml": "# @package strategy\nschedules: {mine: {_target_: a.B}}\n",
    "unpacked.yaml": "edge_weights: true\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config folder with additions."""
    place = tmp_path / "strategy" / "add"
    place.mkdir(parents=True)
    for name, text in FILES.items():
        (place / name).write_text(text)
    return tmp_path


def line(*words: str, folder: Path | None = None) -> Line:
    option = [] if folder is None else ["--config-dir", str(folder)]
    return parse(VERBS["search"], [*option, *words])


def test_darts_with_both_shipped_additions_is_pc_darts() -> None:
    added = line("strategy=darts", "+strategy/add=[partial_channels,warmup]")
    whole = line("strategy=pc_darts")
    check_adds(added)
    assert composed(added, added.overrides) == composed(whole, whole.overrides)


def test_the_plus_may_be_left_out() -> None:
    assert line("strategy/add=[warmup]").overrides == ("+strategy/add=[warmup]",)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("[warmup,warm]", r"warmup and warm both set strategy\.update\.warmup"),
        ("[warm,partial_channels]", r"warm and partial_channels both set strategy\.edge_weights"),
        ("[apart,plain,warmup]", r"plain and warmup both set strategy\.update; choose one"),
        ("[warm,warm]", "names one addition twice"),
        ("[unpacked]", "unpacked.yaml must begin with the line '# @package strategy'"),
    ],
)
def test_additions_that_clash_are_refused(folder: Path, names: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check_adds(line(f"+strategy/add={names}", folder=folder))


@pytest.mark.parametrize("names", ["[apart,warm]", "apart", "[nowhere]"])
def test_others_are_not(folder: Path, names: str) -> None:
    check_adds(line(f"+strategy/add={names}", folder=folder))


def test_in_a_sweep_each_job_counts_for_itself(folder: Path) -> None:
    check_adds(line("-m", "+strategy/add=[warmup],[warm]", folder=folder))
    with pytest.raises(ConfigError, match="both set"):
        check_adds(line("-m", "+strategy/add=[apart],[warmup,warm]", folder=folder))
