"""Parts of a user's own, in the three ways of docs/plugins.md, typed as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from nas.cli import main
from nas.files import read_json
from nas.plugins import importable
from nas.testing import check_data_source, check_exporter, check_task

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
FILES = re.findall(r"`(my_lab/[\w/]+\.(?:py|yaml))`", TEXT)
COMMANDS = [block.splitlines() for kind, block in BLOCKS if kind == "bash"]
QUICK = ["preset=smoke", "threads=1", "logger.tensorboard=false"]
TINY = ["plugins=[my_lab]", "space._target_=my_lab.space.Tiny"]  # searched in no time
SMALL = [*QUICK, *TINY]
SHORT = [*SMALL, "trainer.epochs=1", "stages=[search,derive]"]
WHOLE = [*SMALL, "trainer.epochs=1", "trainer.network_epochs=1", "trainer.random_networks=0"]
SPACE = """\
from torch import nn

from nas import Decision
from nas.searchable import MixedOp


class Tiny:
    def __init__(self, data, width=4):
        self.data, self.width = data, width

    def supernet(self):
        return self._net(MixedOp)

    def network(self, genotype):
        def chosen(decision, make, channels):
            return make(genotype[decision.name], channels)

        return self._net(chosen)

    def _net(self, choose):
        def conv(size, channels):
            return nn.Conv2d(channels, channels, size, padding=size // 2)

        stem = nn.Conv2d(self.data.channels, self.width, 1)
        layer = choose(Decision("kernel", (1, 3)), conv, channels=self.width)
        head = nn.Linear(self.width, self.data.outputs)
        return nn.Sequential(stem, layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of the document, as the current one and on no path."""
    blocks = [block for kind, block in BLOCKS if kind in ("python", "yaml")]
    for name, block in zip(FILES, blocks, strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block, encoding="utf-8")
    (tmp_path / "my_lab" / "space.py").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    forget()


def forget() -> None:
    """Forget the user's modules, as a new process has."""
    for name in [n for n in sys.modules if n.split(".")[0] == "my_lab"]:
        del sys.modules[name]


def typed(command: str, *more: str) -> int:
    name, *words = shlex.split(command)
    assert name == "nas"
    return main([*words, *more])


def latest(folder: Path) -> Path:
    return (folder / "runs" / "latest").resolve()


def config(folder: Path) -> Any:
    return OmegaConf.load(latest(folder) / "config.yaml")


def test_classes_of_the_current_folder_take_the_place_of_the_shipped_ones(lab: Path) -> None:
    words = dict.fromkeys(word for command in COMMANDS[0] for word in shlex.split(command)[2:])
    own = [word for word in words if not word.startswith("plugins=")]
    assert main(["search", *own, *SHORT, "trainer.batch_size=32"]) == 0
    settings = config(lab)
    assert settings.task == {"_target_": "my_lab.parts.Focal", "gamma": 1.5}
    augment = {"_target_": "nas.data.Augment", "shift": 1}
    data = {"_target_": "my_lab.parts.Stripes", "count": 400, "augment": augment}
    assert settings.data == data
    optimizer = {"_partial_": True, "_target_": "torch.optim.AdamW", "lr": 3e-3}
    assert settings.optim.weights == optimizer
    assert read_json(latest(lab) / "splits.json")["counts"]["weights"] == 100
    genotype = read_json(latest(lab) / "genotype.json")
    assert genotype["predicted"]["energy"] == 2 * genotype["predicted"]["params"]
    assert genotype["provenance"]["data"] == "stripes"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS[0])
def test_each_of_them_does_so_alone(lab: Path, command: str) -> None:
    assert typed(command, *SHORT, "trainer.batch_size=32") == 0
    assert (latest(lab) / "genotype.json").is_file()


def test_they_keep_the_contracts_of_their_kinds(lab: Path) -> None:
    importable(["my_lab"])
    parts = import_module("my_lab.parts")
    check_task(parts.Focal())
    check_data_source(parts.Stripes, changes=[{"count": 400}])
    check_exporter(parts.TorchFile())


def test_an_exporter_writes_in_a_run_and_after_it(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search, export = COMMANDS[1]
    assert typed(search, *WHOLE) == 0
    file = latest(lab) / "export" / "model.pt"
    stored = torch.load(file, weights_only=True)
    assert json.loads(stored["genotype"])["id"] == read_json(latest(lab) / "genotype.json")["id"]
    records = read_json(latest(lab) / "result.json")["exports"]
    assert [r["format"] for r in records] == ["safetensors", "my_lab.parts.TorchFile"]
    assert records[1]["largest_difference"] == 0.0
    assert read_json(latest(lab) / "export.json")["my_lab.parts.TorchFile"] == "written"
    file.unlink()
    assert typed(export) == 0
    assert file.is_file()
    capsys.readouterr()
    forget()
    assert typed(export.replace("plugins=[my_lab] ", "")) == 2
    assert "add plugins=[my_lab]" in " ".join(capsys.readouterr().err.split())
    edited = "warning: my_lab was edited after search/tiny-"
    evaluate = ["evaluate", "latest", "plugins=[my_lab]"]
    assert main(evaluate) == 0
    assert edited not in " ".join(capsys.readouterr().err.split())
    (lab / "my_lab" / "more.py").write_text("# one file more\n")
    forget()
    for words in (evaluate, ["export", *evaluate[1:], "formats=[safetensors]"]):
        assert main(words) == 0
        assert edited in " ".join(capsys.readouterr().err.split())


def test_a_wrong_format_is_told_before_anything_is_trained(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = COMMANDS[1][0].replace("TorchFile", "Energy")
    assert typed(search, *WHOLE) == 2
    assert "my_lab.parts.Energy cannot be built" in " ".join(capsys.readouterr().err.split())
    assert not list(lab.glob("runs/*/*/metrics.jsonl"))


def test_files_of_a_folder_put_parts_together(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment, strategy = COMMANDS[2]
    assert typed(experiment, *SHORT) == 0
    assert latest(lab).parent.name == "mine"
    assert latest(lab).name.startswith("tiny-slow_start-s0-")
    assert config(lab).task.gamma == 1.5
    assert config(lab).strategy["update"].warmup == 0.5
    assert typed(strategy, *SHORT) == 0
    assert config(lab).strategy.partial_channels == 4
    capsys.readouterr()
    assert main(["search", "--config-dir", "my_lab/conf", "--help"]) == 0
    assert " slow_start " in capsys.readouterr().out


def test_an_installed_package_needs_no_permission_and_no_folder(
    lab: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path_factory.mktemp("site")
    shutil.move(lab / "my_lab", site / "my_lab")
    (entry,) = [block for kind, block in BLOCKS if kind == "toml"]
    name, _, module = entry.splitlines()[1].partition(" = ")
    info = site / "my_lab-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lab\nVersion: 1.2\n")
    points = f"[nas.plugins]\n{name} = {json.loads(module)}\n"
    (info / "entry_points.txt").write_text(points)
    sys.path.append(str(site))
    plugin, search = COMMANDS[3]
    assert typed(plugin) == 0
    assert "my_lab" in capsys.readouterr().out
    assert typed(f"{plugin} --json") == 0
    assert "slow_start" in capsys.readouterr().out
    assert main(["search", "--help"]) == 0
    assert " slow_start " in capsys.readouterr().out
    small = [word for word in SHORT if not word.startswith("plugins=")]
    assert typed(search, *small) == 0
    assert config(lab).task == {"_target_": "my_lab.parts.Focal", "gamma": 1.5}
    assert main(["search", "task=fokal"]) == 2
    assert "did you mean 'focal'" in capsys.readouterr().err


def test_additions_change_any_strategy(lab: Path) -> None:
    (command,) = COMMANDS[4]
    assert typed(command, *SHORT) == 0
    assert latest(lab).name.startswith("tiny-gdas+partial_channels+warmup-s0-")
    strategy = config(lab).strategy
    assert (strategy.partial_channels, strategy["update"].warmup) == (4, 0.3)
    assert strategy.relaxation._target_ == "nas.relaxations.Gumbel"


def test_one_line_more_makes_the_next_call_run(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lab / "my_lab" / "space.py"
    line = ["search", *SHORT]
    assert main(line) == 0
    capsys.readouterr()
    assert main(line) == 0
    assert "already finished" in capsys.readouterr().out
    forget()
    file.write_text(SPACE + "# one line\n")
    assert main(["derive", "latest", "plugins=[my_lab]", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["same_as_run"]
    warned = " ".join(told.err.split())
    assert "warning: my_lab was edited after search/tiny-pc_darts-s0-" in warned
    assert warned.endswith("made: what follows comes from its present source")
    assert main(line) == 0
    assert "already finished" not in capsys.readouterr().out
    assert len(list(lab.glob("runs/search/tiny-pc_darts-s0-*/genotype.json"))) == 2
    assert main(["show", "latest", "plugins=[my_lab]"]) == 0
    assert "is not of a package" not in capsys.readouterr().out


def test_neither_a_file_nor_a_run_allows_a_module(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = lab / "my_lab" / "conf" / "experiment" / "mine.yaml"
    mine.write_text(mine.read_text() + "plugins: [my_lab]\n")
    folder = ["--config-dir", "my_lab/conf", "experiment=mine"]
    small = [word for word in SHORT if not word.startswith("plugins=")]
    assert main(["search", *folder, *small]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "a config file sets plugins=[my_lab], which only the command may" in told
    assert main(["search", *folder, *SHORT]) == 0
    run = latest(lab).relative_to(lab)
    forget()
    capsys.readouterr()
    for again in (["--from", str(run)], [f"from={run}", "trainer.epochs=2"]):
        words = [*again, "--config-dir", "my_lab/conf", "experiment=darts_digits", "task=focal"]
        assert main(["search", *words]) == 2
        assert "add plugins=[my_lab" in " ".join(capsys.readouterr().err.split())
    assert "my_lab" not in sys.modules


def test_a_fault_in_the_users_code_names_its_line(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = SPACE.replace("return self._net(MixedOp)", "return self.nothing")
    (lab / "my_lab" / "space.py").write_text(broken)
    assert main(["search", *SHORT, "seed=1"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    line = broken.splitlines().index("        return self.nothing") + 1
    assert told.startswith(f"error: my_lab/space.py, line {line}: AttributeError: ")
    assert "Traceback" not in told


def test_every_block_of_the_document_is_tried() -> None:
    assert [len(lines) for lines in COMMANDS] == [4, 2, 2, 2, 1]
    assert len(FILES) == 4
