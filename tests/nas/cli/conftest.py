"""A small checkout with configs of its own, and an application that records what it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from omegaconf import DictConfig, OmegaConf

import nas.app
from nas import console
from nas.cli import main

SEARCH = """\
defaults:
  - base
  - space: darts
  - strategy: pc_darts
  - optim: default
  - _self_
  - optional experiment: null

seed: 0  # seed of everything random
stages: [search, derive]  # what to do, in this order
must: ???
anything: null
switch: false  # a switch
space:
  layers: 4
"""
BASE = """\
# where the job runs: auto, cpu or cuda
device: auto
runs: runs  # folder of the run folders
mode: run
stages:
  - search
data_root: ""
hydra:
  run: {dir: "${runs}/search/s${oc.select:seed,none}"}
"""
FILES = {
    "search.yaml": SEARCH,
    "base.yaml": BASE,
    "evaluate.yaml": "defaults: [base, _self_]\nrun: ???\n",
    "space/darts.yaml": "name: darts\nlayers: 8\nchannels: 16\n",
    "strategy/darts.yaml": "name: darts\n",
    "strategy/gdas.yaml": "name: gdas\n",
    "strategy/pc_darts.yaml": "name: pc_darts\nchannels: 4\n",
    "strategy/add/dinas.yaml": "# @package strategy\nextra: 1\n",
    "experiment/first.yaml": "# @package _global_\ndefaults: [override /strategy: gdas]\nseed: 5\n",
    "experiment/broken.yaml": "# @package _global_\ndefaults:\n  - override /strategy: gone\n",
    "optim/default.yaml": "weights: {lr: 0.025, decay: 3e-4}\narchitecture: {lr: 6e-4}\n",
    "cost/macs.yaml": "name: macs\n",
}


class Said(NamedTuple):
    """Exit status and output of one line."""

    status: int
    out: str
    err: str


class App(ModuleType):
    """Stands in for ``nas.app``: records the configurations and does as ``act`` says."""

    def __init__(self) -> None:
        super().__init__("nas.app")
        self.__path__ = list(nas.app.__path__)  # its modules stay what they are
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.argv: list[str] = []
        self.act: Callable[[DictConfig], float | None] = lambda cfg: 0.5

    def run(self, verb: str, cfg: DictConfig, typed: Sequence[str] = ()) -> float | None:
        self.seen.append((verb, OmegaConf.to_container(cfg)))  # type: ignore[arg-type]
        self.argv = sys.argv
        return self.act(cfg)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make ``configs/`` beside a package folder, and work in the empty folder next to them."""
    for name, text in FILES.items():
        file = tmp_path / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(nas, "__file__", str(tmp_path / "nas" / "__init__.py"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def app(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Put the recording application in the place of ``nas.app``."""
    fake = App()
    monkeypatch.setitem(sys.modules, "nas.app", fake)
    return fake


@pytest.fixture
def say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Said]]:
    """Return a function that runs one line of ``nas`` and returns its status and output."""
    for name in ("NAS_DEBUG", "COLUMNS", "FORCE_COLOR", "HYDRA_FULL_ERROR"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Said:
        status = main(list(words))
        return Said(status, *capsys.readouterr())

    yield run
    console.configure()
