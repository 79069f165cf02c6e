from __future__ import annotations

from pathlib import Path

import pytest

from nas.cli.inherited import inherited, pinned, saved_overrides, without
from nas.cli.positional import parse
from nas.cli.verbs import VERBS
from nas.errors import ConfigError, NasError
from nas.store.folder import RunFolder

SAVED = [
    "preset=smoke",
    "data=folder",
    "data.root='~/pets'",
    "strategy=gdas",
    "strategy.update.order=2",
    "trainer.epochs=7",
    "trainer.network_epochs=3",
    "optim.weights.lr=0.5",
    "budget.params=100",
    "stages=[search]",
    "seed=4",
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with the settings of its line, as the only run there is."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/search/darts-gdas-s4-abcdef")
    (folder / ".hydra").mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 4\n")
    lines = "".join(f'- "{text}"\n' for text in SAVED)
    (folder / ".hydra" / "overrides.yaml").write_text(lines)
    return folder


def test_a_retraining_takes_over_what_is_not_of_the_search(run: Path) -> None:
    found = inherited(VERBS["retrain"], [f"genotype={run}"])
    assert found == [
        "preset=smoke",
        "data=folder",
        "data.root='~/pets'",
        "trainer.network_epochs=3",
        "seed=4",
    ]


@pytest.mark.parametrize("word", ["{run}", "abcdef", "{run}@epoch_3", "{run}/genotype.json"])
def test_every_way_to_name_the_run_is_understood(run: Path, word: str) -> None:
    assert "data=folder" in inherited(VERBS["retrain"], [f"genotype={word.format(run=run)}"])


@pytest.mark.parametrize("word", ["PC_DARTS_cifar", "elsewhere.json"])
def test_a_genotype_of_no_run_brings_no_settings(run: Path, word: str) -> None:
    assert inherited(VERBS["retrain"], [f"genotype={word}"]) == []


def test_what_is_typed_again_is_typed(run: Path) -> None:
    line = parse(VERBS["retrain"], [str(run), "seed=1", "preset=cpu"])
    assert [text for text in line.overrides if text.startswith(("seed", "preset"))] == [
        "seed=1",
        "preset=cpu",
    ]
    assert line.typed == (f"genotype={run}", "seed=1", "preset=cpu")


def test_a_search_that_goes_on_takes_over_everything_but_how_it_was_run(run: Path) -> None:
    found = inherited(VERBS["search"], ["from=abcdef", "trainer.epochs=9"])
    assert "strategy=gdas" in found
    assert not any(text.startswith(("trainer.epochs", "stages")) for text in found)


def test_latest_is_pinned_before_it_moves(run: Path) -> None:
    assert pinned(["from=abcdef", "seed=1"]) == ["from=search/darts-gdas-s4-abcdef", "seed=1"]
    assert pinned(["from=null"]) == ["from=null"]
    with pytest.raises(NasError, match="no run 'nowhere'"):
        pinned(["from=nowhere"])


@pytest.mark.parametrize("content", [b"\xff\xfe", b"- [", b""])
def test_damaged_settings_are_one_sentence(run: Path, content: bytes) -> None:
    (run / ".hydra" / "overrides.yaml").write_bytes(content)
    if content:
        with pytest.raises(ConfigError, match=r"overrides\.yaml cannot be read"):
            saved_overrides("abcdef", "runs")
    else:
        assert saved_overrides("abcdef", "runs") == []


def test_missing_settings_are_one_sentence(run: Path) -> None:
    (run / ".hydra" / "overrides.yaml").unlink()
    with pytest.raises(ConfigError, match="cannot be repeated"):
        saved_overrides("abcdef", "runs")
    assert inherited(VERBS["retrain"], [f"genotype={run}"]) == []


def test_latest_is_pinned_in_a_genotype_too(run: Path) -> None:
    RunFolder(run).point_latest()
    assert pinned(["genotype=latest@epoch_3"]) == ["genotype=search/darts-gdas-s4-abcdef@epoch_3"]
    assert pinned(["genotype=PC_DARTS_cifar"]) == ["genotype=PC_DARTS_cifar"]


def test_values_of_a_group_that_is_chosen_anew_are_not_taken_over(run: Path) -> None:
    found = inherited(VERBS["retrain"], [f"genotype={run}", "data=digits"])
    assert not any(text.startswith("data") for text in found)


def test_without_compares_keys_not_values() -> None:
    assert without(["a=1", "+b=2", "~c"], ["b=3", "++c=1"]) == ["a=1"]
