"""What ``--plan`` says of a search that does not begin at its beginning, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main
from nas.kernels import portable_kernels
from nas.store.folder import RunFolder
from tests.integration.test_plugins import SPACE

TINY = ["plugins=[plan_lab]", "space._target_=plan_lab.Tiny", "preset=smoke", "threads=1"]
LINE = ["strategy=darts", *TINY, "trainer.epochs=2", "logger.tensorboard=false", "runs=some"]
STEPS = 5  # batches of 96 of the 565 samples of the weights
Plan = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a search of two epochs, which was not derived."""
    folder = tmp_path_factory.mktemp("plan")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setattr("nas.app.plan.TIMED", 1)
    patch.setattr("nas.app.plan.WARM", 0)
    (folder / "plan_lab.py").write_text(SPACE)
    assert main(["search", *LINE, "stages=[search]", "--quiet"]) == 0
    yield folder
    patch.undo()


@pytest.fixture
def run(here: Path) -> RunFolder:
    (folder,) = Path("some/search").glob("tiny-darts-s0-*")
    return RunFolder(folder)


@pytest.fixture
def plan(here: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """Return a function that plans a line, sees that nothing was written, and gives the table."""

    def planned(*words: str) -> dict[str, Any]:
        before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
        folders = {path for path in here.rglob("*") if path.is_dir()}
        capsys.readouterr()
        assert main(["search", *words, "--plan", "--json"]) == 0
        after = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
        assert after == before
        assert {path for path in here.rglob("*") if path.is_dir()} == folders
        return dict(json.loads(capsys.readouterr().out))

    return planned


def test_a_continuation_is_planned_with_its_sources_settings_and_progress(
    run: RunFolder, plan: Plan
) -> None:
    words = [f"from={run.path}", "trainer.epochs=5", "runs=some", TINY[0], "stages=[search]"]
    found = plan(*words)
    assert found["plan"] == "darts on tiny"
    assert found["search"].startswith(
        f"5 epochs, {5 * STEPS} steps, {2 * STEPS} of them done in {run.label}, "
    )


def test_what_cannot_go_on_is_told_by_the_plan(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", f"from={run.path}", "runs=some", TINY[0], "--plan"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "has been searched for 2 epochs already; trainer.epochs must be larger, got 2" in told


def test_a_run_that_is_there_is_planned_from_where_it_is(run: RunFolder, plan: Plan) -> None:
    assert plan(*LINE)["search"] == "done"
    last = run.path / "search.json"
    stored = last.read_bytes()
    last.unlink()
    try:
        assert plan(*LINE)["search"].startswith(f"2 epochs, {2 * STEPS} steps, {2 * STEPS} of them")
    finally:
        last.write_bytes(stored)
    assert plan(*LINE, "fresh=true")["search"].startswith(f"2 epochs, {2 * STEPS} steps, 0")


def test_a_folder_of_runs_stays_if_it_was_there(here: Path, plan: Plan) -> None:
    mine = [*LINE[:-1], "stages=[search]", "runs=mine"]
    plan(*mine)
    (here / "mine").mkdir()
    plan(*mine)
    (here / "mine").rmdir()


def test_a_plan_gives_numbers_of_every_stage_that_is_still_to_do(plan: Plan) -> None:
    found = plan(*LINE, "seed=7")
    assert set(found["estimates"]) == {"search", "retrain"}
    for stage in found["estimates"].values():
        assert stage["seconds"] > 0
        assert stage["memory"] > 2**20
    assert found["execution"] in ("native", "fused")
    assert plan(*LINE, "seed=7", "execution=plain")["execution"] == "plain"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("cuda_graph=true", "cuda_graph=true needs a GPU, got device=cpu"),
        ("channels_last=true", "channels_last=true needs a GPU"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(
    here: Path, word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--plan"], ["--quiet", "stages=[search]"]):
        assert main(["search", *LINE, "seed=9", "device=cpu", word, *words]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_a_plan_names_what_was_added_to_the_execution(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, by a stand-in that captures nothing."""

    def stand_in(update: Any, *args: Any, **settings: Any) -> tuple[Any, str]:
        return None, "it is a stand-in"

    monkeypatch.setattr("nas.build.graphed_or_why", stand_in)
    found = plan(*LINE, "seed=7")["execution"]
    assert found.endswith(", no CUDA graph (it is a stand-in)")


def test_a_search_goes_on_with_the_execution_it_began_with(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def search(*words: str) -> int:
        return main(["search", *LINE, "seed=8", "stages=[search]", "--quiet", *words])

    monkeypatch.setattr("nas.engine.execution.native_kernels", portable_kernels)
    assert search("trainer.epochs=1") == 0
    (folder,) = run.path.parent.glob("tiny-darts-s8-*")
    recorded = json.loads((folder / "env.json").read_text())
    assert recorded["execution"] == "native"
    assert (recorded["channels_last"], recorded["cuda_graph"]) == (False, False)
    (folder / "search.json").unlink()  # as if it had been stopped
    monkeypatch.setattr("nas.engine.execution.native_kernels", lambda: None)
    capsys.readouterr()
    assert search("trainer.epochs=1") == 1
    assert "cannot be built here" in capsys.readouterr().err
    assert search("trainer.epochs=1", "resume=force") == 0
