"""Every shipped data config loads the data it names, made small, as a search would see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from nas.app.config import data_source
from nas.build import Parts
from nas.cli import main
from nas.cli.paths import config_dir
from tests.nas.data.made import MakeTree
from tests.nas.data.standards import write_cifar, write_mnist, write_svhn

OWN = """
import torch

class Noise(torch.utils.data.Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.full((3, 8, 8), index, dtype=torch.uint8), index % 2
"""
Make = Callable[[], list[str]]


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("search", ["preset=smoke", *overrides])
    with open_dict(cfg):
        cfg.pop("hydra", None)
    return cfg


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "toy_lab.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("toy_lab", None)


@pytest.fixture
def makers(
    tmp_path: Path, make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch, own_module: None
) -> dict[str, Make]:
    """By name of the config: writes its data and returns the settings that lead there."""
    bytes_of = np.random.default_rng(0).integers
    root = tmp_path / "data"

    def cifar(name: str, train: int) -> list[str]:
        images = bytes_of(0, 256, (train + 100, 3072), dtype=np.uint8)
        return [f"data.root={write_cifar(root, name, images, train, monkeypatch)}"]

    def mnist(name: str) -> list[str]:
        images = bytes_of(0, 256, (120, 28, 28), dtype=np.uint8)
        return [f"data.root={write_mnist(root, name, images, 100)}"]

    def svhn() -> list[str]:
        images = bytes_of(0, 256, (32, 32, 3, 120), dtype=np.uint8)
        return [f"data.root={write_svhn(root, images, 100, monkeypatch)}"]

    def npz() -> list[str]:
        x = bytes_of(0, 256, (60, 8, 8), dtype=np.uint8)
        np.savez(tmp_path / "toy.npz", x=x, y=np.arange(60) % 3)
        return [f"data.file={tmp_path / 'toy.npz'}"]

    return {
        "cifar10": lambda: cifar("CIFAR10", 100),
        "cifar100": lambda: cifar("CIFAR100", 500),
        "mnist": lambda: mnist("MNIST"),
        "fashion_mnist": lambda: mnist("FashionMNIST"),
        "svhn": svhn,
        "folder": lambda: [f"data.root={make_tree({'cats': 20, 'dogs': 20})}"],
        "npz": npz,
        "dataset": lambda: ["data.dataset._target_=toy_lab.Noise", "+data.dataset.count=40"],
    }


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("cifar10", (3, 32, 32), 10),
        ("cifar100", (3, 32, 32), 100),
        ("mnist", (1, 28, 28), 10),
        ("fashion_mnist", (1, 28, 28), 10),
        ("svhn", (3, 32, 32), 10),
        ("folder", (3, 8, 8), 2),
        ("npz", (1, 8, 8), 3),
        ("dataset", (3, 8, 8), 2),
    ],
)
def test_a_config_leads_to_its_data_and_batches(
    name: str, shape: tuple[int, ...], classes: int, makers: dict[str, Make]
) -> None:
    settings = [f"data={name}", "plugins=[toy_lab]", "trainer.batch_size=4", *makers[name]()]
    cfg = composed(*settings)
    source = data_source(cfg)
    data = source.load()
    assert data.spec.input_shape == shape
    assert data.spec.outputs == classes
    assert list(data.counts()) == ["weights", "architecture", "validation", "test"]
    assert data_source(cfg).fingerprint() == source.fingerprint()
    batch = Parts(cfg, data.without("test")).streams()["weights"].batch(0, 0)
    assert batch.inputs.shape == (4, *shape)
    assert bool(torch.isfinite(batch.inputs).all())


def test_presets_limit_the_samples_and_paper_does_not() -> None:
    for preset, wanted in (("smoke", 600), ("cpu", 6000), ("paper", None)):
        assert composed(f"preset={preset}", "data=cifar10").data.samples == wanted


def test_the_root_is_the_environments_and_else_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA_DIR", "/elsewhere")
    assert composed("data=svhn").data.root == "/elsewhere"
    monkeypatch.delenv("NAS_DATA_DIR")
    assert composed("data=svhn").data.root == "data"


def test_every_config_of_data_from_files_is_tried_here(makers: dict[str, Make]) -> None:
    shipped = {path.stem for path in (config_dir() / "data").glob("*.yaml")}
    made_up = {name for name in shipped if name.startswith("synthetic") or name == "digits"}
    assert shipped - made_up == set(makers)


def test_arguments_of_a_class_that_is_not_named_ask_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["search", "data=dataset", "data.dataset.root=x"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "it has no class yet, name that as well: data.dataset._target_=my_lab.MyClass" in told
