"""Data that lie elsewhere than when the run was made: the same run, opened by every verb."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nas.cli import main
from nas.files import read_json
from nas.store.folder import RunFolder, resolve
from tests.integration.test_plugins import SPACE

LAB = "plugins=[moved_lab]"
TINY = [LAB, "space._target_=moved_lab.Tiny", "preset=smoke", "threads=1"]
SHORT = ["trainer.epochs=1", "trainer.network_epochs=1", "trainer.random_networks=0"]
QUICK = ["logger.tensorboard=false", "trainer.batch_size=16", "trainer.network_batch_size=16"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run on ``old.npz``, which lies at ``new/signals.npz`` by now."""
    folder = tmp_path_factory.mktemp("moved")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    (folder / "moved_lab.py").write_text(SPACE)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (120, 6, 6), dtype=np.uint8)
    np.savez(folder / "old.npz", x=images, y=np.arange(120) % 2)
    stages = "stages=[search,derive,retrain]"
    line = ["search", "data=npz", "data.file=old.npz", "data.augment.shift=0", stages]
    assert main([*line, *TINY, *SHORT, *QUICK, "--quiet"]) == 0
    (folder / "new").mkdir()
    shutil.move(folder / "old.npz", folder / "new" / "signals.npz")
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def run(here: Path) -> RunFolder:
    (folder,) = Path("runs/search").glob("tiny-pc_darts-s0-*")
    return RunFolder(folder)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_a_run_is_opened_with_its_data_where_they_lie_now(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.config.read_bytes()
    assert main(["evaluate", str(run.path), LAB]) != 0
    assert "there is no file old.npz; set data.file to a .npz file" in told(capsys)
    assert main(["evaluate", str(run.path), LAB, "data.file=new/signals.npz"]) == 0
    assert "test accuracy" in capsys.readouterr().out
    words = ["formats=[safetensors]", "data.file=new/signals.npz"]
    assert main(["export", str(run.path), LAB, *words]) == 0
    assert (run.export / "model.safetensors").is_file()
    assert run.config.read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("data.split_seed=1", "unknown setting 'data.split_seed'"),
        ("data.root=new", "unknown setting 'data.root'"),
        ("data=npz", "nas evaluate does not use the group 'data'"),
        ("++data.test=7", "data.test of a run cannot be changed, only where its data lie"),
        ("++data._target_=nas.data.Digits", "nas evaluate does not use the group 'data'"),
    ],
)
def test_nothing_else_of_the_data_can_be_changed(
    run: RunFolder, setting: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [LAB, "data.file=new/signals.npz", setting]
    assert main(["evaluate", str(run.path), *words]) == 2
    assert sentence in told(capsys)


def test_other_data_are_refused(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("other.npz", x=np.zeros((120, 6, 6), np.uint8), y=np.arange(120) % 2)
    assert main(["evaluate", str(run.path), LAB, "data.file=other.npz"]) == 1
    assert "the saved splits belong to data" in told(capsys)


def test_a_search_goes_on_and_a_genotype_is_retrained(run: RunFolder) -> None:
    moved = ["data.file=new/signals.npz", LAB]
    more = ["trainer.epochs=2", "stages=[search]", "--quiet"]
    assert main(["search", f"from={run.path}", *more, *moved]) == 0
    longer = resolve("latest", "runs")
    assert read_json(longer.path / "search.json")["epochs"] == 2
    assert longer.path != run.path
    assert main(["retrain", str(run.path), "stages=[retrain]", "--quiet", *moved]) == 0
    again = resolve("latest", "runs")
    assert read_json(again.genotype)["id"] == read_json(run.genotype)["id"]


def test_without_the_module_of_the_run_its_permission_is_asked_for(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run.path), "data.file=new/signals.npz"]) == 2
    assert "add plugins=[moved_lab]" in told(capsys)
