"""The contract of exporters: every shipped one passes it, every fault is found."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.export.base import Exporter
from nas.export.parity import TOLERANCE
from nas.export.run import FORMATS, exporters
from nas.files import write_atomic
from nas.testing import check_exporter, exporter


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name == "onnx" else ()) for name in FORMATS],
)
def test_shipped_exporters_pass(name: str) -> None:
    found = exporters()[name]
    if found.missing():
        pytest.skip(found.missing())
    check_exporter(found)


def test_the_tolerance_is_that_of_an_export() -> None:
    assert exporter.TOLERANCE == TOLERANCE


class Plain:
    """A good exporter of weights, for the faults below to derive from."""

    def missing(self) -> str:
        return ""

    def content(self, network: nn.Module, text: str) -> bytes:
        buffer = io.BytesIO()
        torch.save({"genotype": text, "weights": network.state_dict()}, buffer)
        return buffer.getvalue()

    def put(self, path: Path, content: bytes) -> Path:
        return write_atomic(path, content)

    def __call__(self, network: nn.Module, text: str, example: Tensor, directory: Path) -> Path:
        return self.put(directory / "model.pt", self.content(network, text))

    def reload(self, path: Path, network: nn.Module) -> Any:
        found = copy.deepcopy(network)
        found.load_state_dict(torch.load(path, weights_only=True)["weights"])
        return found


class WritesInPlace(Plain):
    def put(self, path: Path, content: bytes) -> Path:
        path.write_bytes(content)
        return path


class WritesFirst(Plain):
    """Begins the file before it knows what will be in it."""

    def __call__(self, network: nn.Module, text: str, example: Tensor, directory: Path) -> Path:
        (directory / "begun").touch()
        path = super().__call__(network, text, example, directory)
        (directory / "begun").unlink()
        return path


class LeavesTemporary(Plain):
    """Does not clear up where the last step fails."""

    def put(self, path: Path, content: bytes) -> Path:
        beside = path.with_suffix(".new")
        beside.write_bytes(content)
        return beside.replace(path)


class TwoFiles(Plain):
    def put(self, path: Path, content: bytes) -> Path:
        write_atomic(path.with_suffix(".index"), b"1")
        return super().put(path, content)


class Elsewhere(Plain):
    def __call__(self, network: nn.Module, text: str, example: Tensor, directory: Path) -> Path:
        return super().__call__(network, text, example, directory / "deeper")


class NoGenotype(Plain):
    def content(self, network: nn.Module, text: str) -> bytes:
        return super().content(network, "")


class Rounded(Plain):
    """Loses more than it may."""

    def content(self, network: nn.Module, text: str) -> bytes:
        rounded = copy.deepcopy(network)
        for value in rounded.state_dict().values():
            value.copy_((value * 10).round() / 10 if value.is_floating_point() else value)
        return super().content(rounded, text)


class NoBuffers(Plain):
    def reload(self, path: Path, network: nn.Module) -> Any:
        found = copy.deepcopy(network)
        stored = torch.load(path, weights_only=True)["weights"]
        for name, value in found.named_parameters():
            value.data.copy_(stored[name])
        for value in found.buffers():
            value.zero_()
        return found


class NeverReads(Plain):
    def reload(self, path: Path, network: nn.Module) -> Any:
        return network


class Halves(Plain):
    def content(self, network: nn.Module, text: str) -> bytes:
        return super().content(network.half(), text)


class Silent(Plain):
    """Writes something whatever happens."""

    def content(self, network: nn.Module, text: str) -> bytes:
        try:
            return super().content(network, text)
        except RuntimeError:
            return text.encode()


class Missing(Plain):
    def missing(self) -> str:
        return "install something"


BROKEN: dict[str, tuple[Callable[[], Exporter], str]] = {
    "written in place": (WritesInPlace, "wrote into the file of the first"),
    "begun before it fails": (WritesFirst, "must leave the earlier file alone; it left"),
    "what is temporary stays": (LeavesTemporary, r"left \['model.new', 'model.pt'\]"),
    "two files": (TwoFiles, "beside model.pt it left model.index"),
    "another folder": (Elsewhere, "must return the file that it wrote into its folder"),
    "no genotype": (NoGenotype, "the genotype is not in the file"),
    "rounded weights": (Rounded, "differ from the network's by"),
    "no buffers": (NoBuffers, "differ from the network's by"),
    "a file that is not read": (NeverReads, "differ from the network's by"),
    "a network that is changed": (Halves, "exporting changed the network"),
    "no failure": (Silent, "a network that raises was exported"),
    "a format that is missing": (Missing, "cannot be written here.*install something"),
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_faults_are_found(make: Callable[[], Exporter], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_exporter(make())


def test_the_exporter_of_these_faults_is_good_without_them() -> None:
    check_exporter(Plain())


def test_a_network_of_ones_own_and_a_tolerance() -> None:
    network = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(18, 2)).eval()
    check_exporter(Plain(), network.requires_grad_(False), (2, 8))
    check_exporter(Rounded(), tolerance=1.0)
