"""The documents on adding parts: their files pass their checks and run from their command lines."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.batch import Batch
from nas.dataspec import DataSpec
from nas.engine.train import Supervised
from nas.files import read_json
from nas.objectives import Objective
from nas.policies import FreeLogits
from nas.relaxations import Softmax
from nas.searchable import apply_partial_channels
from nas.space import check_genotype, discretize
from nas.strategies import Bilevel
from nas.supernet import Supernet
from nas.tasks import Classification

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 60
SHORT = ["preset=smoke", "trainer.epochs=1", "threads=1", "logger.tensorboard=false"]
INSTALLED = "import sys\nfrom nas.cli import main\nsys.exit(main())\n"  # what pip makes of `nas`


class Document:
    """A document of ``docs/`` and the blocks of code in it."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        self.blocks = re.findall(r"^```(\w+)\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)

    def of(self, language: str) -> list[str]:
        return [block for found, block in self.blocks if found == language]

    def write(self, folder: Path) -> None:
        """Write the blocks to the files that the text names, and the check beside them."""
        files = re.findall(r"`(my_lab/[\w/]+\.(?:py|yaml))`", self.text)
        own, check = self.of("python")
        for name, block in zip(files, [own, *self.of("yaml")], strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(block, encoding="utf-8")
        (folder / "check.py").write_text(check, encoding="utf-8")


SPACE, STRATEGY = Document("add_a_space"), Document("add_a_strategy")
TASK = Document("add_a_task")
DOCUMENTS = {"space": SPACE, "strategy": STRATEGY, "task": TASK}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of all documents, as the current one."""
    for document in DOCUMENTS.values():
        document.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [n for n in sys.modules if n.split(".")[0] == "my_lab"]:
        del sys.modules[name]


def typed(document: Document, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command of a document as an installed ``nas`` would, from ``folder``."""
    (command,) = document.of("bash")
    name, *words = shlex.split(command)
    assert name == "nas"
    script = folder / "bin" / "nas"
    script.parent.mkdir(exist_ok=True)
    script.write_text(INSTALLED)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(script), *words, *SHORT, *more],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def result_of(folder: Path, done: subprocess.CompletedProcess[str], file: str) -> Any:
    assert done.returncode == 0, done.stderr + done.stdout
    (found,) = folder.glob(f"runs/*/*/{file}")
    return read_json(found)


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_file_is_short_and_passes_its_check(document: Document, lab: Path) -> None:
    document.write(lab)
    assert all(len(block.splitlines()) < MAX_LINES for block in document.of("python"))
    runpy.run_path(str(lab / "check.py"))


@pytest.mark.parametrize("partial", [None, 4])
@pytest.mark.parametrize("order", [1, 2])
def test_two_steps_of_a_search_run_on_the_space(lab: Path, order: int, partial: int | None) -> None:
    space = runpy.run_path(str(lab / "my_lab" / "space.py"))["KernelWidth"](
        DataSpec((1, 8, 8), "classes", 10), channels=4, blocks=2
    )
    net = space.supernet()
    if partial is not None:
        apply_partial_channels(net, partial)
    supernet = Supernet(net)
    policy = FreeLogits(supernet.decisions, Softmax())
    update = Bilevel(
        supernet,
        policy,
        Objective(Classification()),
        torch.optim.SGD(supernet.parameters(), 0.1),
        torch.optim.Adam(policy.parameters(), 0.1),
        order=order,
    )
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    for _ in range(2):
        batch = Batch(torch.randn(8, 1, 8, 8), torch.randint(10, (8,)))
        metrics = update.step(batch, batch)
    assert all(bool(value.isfinite()) for value in metrics.values())
    assert not any(map(torch.equal, before, policy.parameters()))
    check_genotype(space, discretize(space, policy.probabilities()))


@pytest.mark.slow
def test_the_space_is_searched_from_its_command_line(lab: Path) -> None:
    done = typed(SPACE, lab, "stages=[search,derive]")
    genotype = result_of(lab, done, "genotype.json")
    assert genotype["space"]["name"] == "kernelwidth"
    assert genotype["space"]["args"] == {"blocks": 2}
    assert set(genotype["choices"]) == {
        f"block{i}/{part}" for i in (0, 1) for part in ("kernel", "width")
    }


@pytest.mark.slow
def test_the_space_goes_through_all_stages(lab: Path) -> None:
    result = result_of(lab, typed(SPACE, lab), "result.json")
    assert result["space"] == "kernelwidth"
    assert {row["status"] for row in result["exports"]} == {"written"}


@pytest.mark.slow
def test_the_strategy_is_searched_with_from_its_command_line(lab: Path) -> None:
    done = typed(STRATEGY, lab, "stages=[search,derive]")
    assert result_of(lab, done, "genotype.json")["provenance"]["strategy"] == "single_level"


def test_the_whole_document_on_tasks_is_short() -> None:
    assert sum(len(block.splitlines()) for _, block in TASK.blocks) < MAX_LINES


def test_a_task_of_which_nothing_is_known_trains_a_network_with_an_image_out(lab: Path) -> None:
    task = runpy.run_path(str(lab / "my_lab" / "task.py"))["Slopes"](weight=0.5)
    network = torch.nn.Conv2d(1, 1, 5, padding=2)
    update = Supervised(network, task, torch.optim.Adam(network.parameters(), 0.03))
    inputs = torch.randn(16, 1, 8, 8)
    batch = Batch(inputs, inputs.roll(1, dims=3))
    losses = [float(update.step(batch)["loss/train"]) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.slow
def test_the_task_is_searched_with_from_its_command_line(lab: Path) -> None:
    done = typed(TASK, lab, "stages=[search,derive,retrain,evaluate,report]")
    result = result_of(lab, done, "result.json")
    assert (result["metric"], result["higher_is_better"]) == ("mae", False)
    assert "found mae 0." in result["comparison"]["sentence"]


@pytest.mark.slow
def test_an_edited_file_is_a_new_run(lab: Path) -> None:
    typed(SPACE, lab, "stages=[search,derive]")
    file = lab / "my_lab" / "space.py"
    file.write_text(file.read_text().replace("(3, 5)", "(3, 7)"))
    typed(SPACE, lab, "stages=[search,derive]")
    fingerprints = {
        read_json(path)["space"]["fingerprint"] for path in lab.glob("runs/*/*/genotype.json")
    }
    assert len(fingerprints) == 2
