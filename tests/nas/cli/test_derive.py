"""``nas derive``: the genotype in the last checkpoint, of a finished search and of others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas import genotype as files
from nas.cli import main
from nas.engine.checkpoint import Checkpointer
from nas.store.folder import RunFolder
from search_spaces.nasbench201 import EDGES, OPERATIONS

Say = Callable[..., "tuple[int, str, str]"]
EPOCHS, STEPS = 2, 10  # 5 batches of 96 in an epoch


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short search, with two checkpoints of its last two steps."""
    here = tmp_path_factory.mktemp("derive")
    settings = ["space=nasbench201", "strategy=darts", "preset=smoke", f"trainer.epochs={EPOCHS}"]
    settings += [f"runs={here}/runs", "stages=[search,derive]", "checkpoint_seconds=0"]
    settings += ["logger.tensorboard=false", "execution=plain", "optim.architecture.lr=0.5"]
    assert main(["search", *settings, "--quiet"]) == 0
    (folder,) = (here / "runs").glob("search/*")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which may be changed."""
    import shutil

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "search" / finished.name
    shutil.copytree(finished, folder)
    (tmp_path / "runs" / "latest").symlink_to(f"search/{finished.name}")
    return folder


def chosen_by_hand(folder: Path) -> tuple[dict[str, str], int, int]:
    """The largest logit of every edge in the last checkpoint, its epoch and its step."""
    loaded = Checkpointer(folder / "checkpoints" / "search", folder.name[-6:]).latest()
    assert loaded is not None
    rows = loaded.state["update"]["policy"]["stacks.alpha_5"]
    choices = {
        f"cell/{i}->{j}": OPERATIONS[int(row.argmax())]
        for (i, j), row in zip(EDGES, rows, strict=True)
    }
    return choices, loaded.epoch, loaded.step


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_finished_search_derives_its_genotype_again(say: Say, run: Path) -> None:
    before = content(run)
    status, out, err = say("derive")
    assert (status, err) == (0, "")
    assert f"{EPOCHS} of {EPOCHS} epochs, {STEPS} steps" in out
    assert "the same genotype" in out
    assert "\ncell\n" in out
    assert out.splitlines()[-1] == "next  nas derive latest out=now.json"
    assert content(run) == before
    told = json.loads(say("derive", run.name[-6:], "--json")[1])
    stored = files.load(run / "genotype.json")
    assert told["same_as_run"]
    assert told["genotype"]["id"] == stored.id
    assert told["genotype"]["predicted"] == stored.predicted
    assert chosen_by_hand(run)[0] == stored.choices


def test_an_unfinished_search_derives_what_it_has_reached(say: Say, run: Path) -> None:
    last = sorted((run / "checkpoints" / "search").glob("*.ckpt"))[-1]
    last.unlink()
    for name in ("genotype.json", "search.json"):
        (run / name).unlink()
    choices, epoch, step = chosen_by_hand(run)
    assert (epoch, step) == (1, STEPS - 1)
    status, out, err = say("derive", "latest", "out=now.json")
    assert (status, err) == (0, "")
    assert f"{epoch} of {EPOCHS} epochs, {step} steps" in out
    file = files.load("now.json")
    assert file.choices == choices
    assert file.provenance["strategy"] == "darts"
    assert file.provenance["epochs"] == epoch
    assert file.provenance["steps"] == step
    assert out.splitlines()[-1] == (
        "next  nas retrain now.json space=nasbench201 · nas show now.json"
    )
    assert say("convert", "now.json")[0] == 0
    assert json.loads(say("derive", "--json")[1])["same_as_run"] is None


def test_a_damaged_checkpoint_is_passed_over(say: Say, run: Path) -> None:
    last = sorted((run / "checkpoints" / "search").glob("*.ckpt"))[-1]
    last.write_bytes(last.read_bytes()[:-10])
    status, out, _ = say("derive")
    assert status == 0
    assert f"1 of {EPOCHS} epochs, {STEPS - 1} steps" in out


def test_a_run_without_a_checkpoint_of_a_search_is_refused(say: Say, run: Path) -> None:
    checkpoints = sorted((run / "checkpoints" / "search").glob("*.ckpt"))
    for path in checkpoints:
        path.write_bytes(b"")
    status, out, err = say("derive")
    assert (status, out) == (1, "")
    assert "holds no usable checkpoint of a search" in " ".join(err.split())
    assert "it is empty" in " ".join(err.split())
    for path in checkpoints:
        path.unlink()
    status, _, err = say("derive", "latest", "out=now.json")
    assert status == 1
    assert "holds no usable checkpoint of a search" in " ".join(err.split())
    assert not Path("now.json").exists()


def test_a_run_that_is_being_worked_on_is_left_alone(say: Say, run: Path) -> None:
    with RunFolder(run).lock():
        status, out, err = say("derive")
    assert (status, out) == (1, "")
    assert "is in use by process" in " ".join(err.split())


def test_an_unknown_run_and_a_run_with_modules_of_a_user_are_refused(say: Say, run: Path) -> None:
    assert say("derive", "nosuch")[0] == 1
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("plugins: []", "plugins: [own_lab]"))
    status, _, err = say("derive")
    assert status == 2
    assert "add plugins=[own_lab] to the command" in " ".join(err.split())
