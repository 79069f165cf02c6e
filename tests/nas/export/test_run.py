"""Everything at once: proven before placed, nothing changed on failure, the network untouched."""

import gc
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.errors import ConfigError, NasError
from nas.export import FORMATS, export_all, load_weights
from nas.export.base import Run
from nas.export.weights import WeightsExporter


class Broken(WeightsExporter):
    """Writes the right weights and computes something else."""

    def reload(self, path: Path, network: nn.Module) -> Run:
        """The network, off by 0.001."""
        return lambda inputs: network(inputs) + 1e-3


class Absent(WeightsExporter):
    """Needs what is not installed."""

    def missing(self) -> str:
        """Always something."""
        return "install [export]"


class Raising(WeightsExporter):
    """Fails as tracers do."""

    def __call__(
        self, network: nn.Module, genotype_text: str, example: Tensor, directory: Path
    ) -> Path:
        """Leave a part behind and raise."""
        (directory / "model.safetensors").write_text("half")
        raise RuntimeError("Could not guard on u0\nand forty more lines")


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_all_formats(
    tmp_path: Path,
    network: nn.Module,
    genotype_text: str,
    shape: tuple[int, ...],
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxruntime")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random, collecting = torch.get_rng_state(), gc.isenabled()
    records = export_all(network, genotype_text, shape, tmp_path / "export", seed=3)
    assert capfd.readouterr() == ("", "")
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert gc.isenabled() == collecting
    assert torch.is_grad_enabled()

    assert [record.format for record in records] == list(FORMATS)
    files = ["model.safetensors", "model.pt2", "model.onnx"]
    for record, file in zip(records, files, strict=True):
        assert record.path == tmp_path / "export" / file
        assert record.path.stat().st_size == record.bytes > 0
        assert record.status == "written"
        assert record.largest_difference is not None
        assert 0.0 <= record.largest_difference < 1e-5
    assert records[0].largest_difference == 0.0
    assert names(tmp_path / "export") == {*files, "parity.json"}
    report = json.loads((tmp_path / "export" / "parity.json").read_text())
    assert report == {
        "schema": "nas.parity/1",
        "seed": 3,
        "batches": [1, 4],
        "tolerance": 1e-4,
        "exports": [record.to_json(tmp_path / "export") for record in records],
    }


@pytest.mark.parametrize("bad", ["torch_exprot", "tflite"])
def test_unknown_format(tmp_path: Path, network: nn.Module, bad: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown export format '{bad}'") as caught:
        export_all(network, "{}", (1, 8, 8), tmp_path / "export", formats=(bad,))
    assert ("did you mean 'torch_export'" in str(caught.value)) == (bad == "torch_exprot")
    assert not (tmp_path / "export").exists()


def test_a_difference_fails_and_leaves_what_was_there(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...]
) -> None:
    export_all(network, "old", shape, tmp_path, formats=("safetensors",))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    known = {"safetensors": WeightsExporter(), "broken": Broken()}
    with pytest.raises(NasError, match=r"export broken: .* by 0\.001"):
        export_all(network, "new", shape, tmp_path, formats=tuple(known), known=known)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    records = export_all(
        network, "new", shape, tmp_path, formats=("broken",), known=known, tolerance=1e-2
    )
    assert records[0].largest_difference == pytest.approx(1e-3, rel=1e-2)


def test_an_untraceable_network_is_one_sentence(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...]
) -> None:
    with pytest.raises(NasError) as caught:
        export_all(network, "{}", shape, tmp_path, formats=("x",), known={"x": Raising()})
    expected = (
        "export x failed (RuntimeError: Could not guard on u0): "
        "mend the network, or leave 'x' out of the formats"
    )
    assert str(caught.value) == expected
    assert names(tmp_path) == set()


def test_a_network_of_fixed_batch_is_refused(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.reshape(2, -1)

    with pytest.raises(NasError, match="export torch_export failed") as caught:
        export_all(Fixed(), "{}", (4,), tmp_path, formats=("torch_export",))
    assert "\n" not in str(caught.value)


def test_a_missing_extra_is_a_record_not_an_error(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...]
) -> None:
    known = {"onnx": Absent(), "safetensors": WeightsExporter()}
    records = export_all(network, "{}", shape, tmp_path, formats=tuple(known), known=known)
    assert [r.status for r in records] == ["not written: install [export]", "written"]
    assert (records[0].path, records[0].bytes, records[0].largest_difference) == (None, 0, None)
    assert names(tmp_path) == {"model.safetensors", "parity.json"}


def test_onnx_without_the_extra(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (record,) = export_all(network, "{}", shape, tmp_path, formats=("onnx",))
    assert record.status == "not written: install [export]"


def test_what_a_killed_export_left_is_cleared(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...]
) -> None:
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "model.onnx").write_text("half")
    export_all(network, "{}", shape, tmp_path, formats=("safetensors",))
    assert names(tmp_path) == {"model.safetensors", "parity.json"}


def test_genotype_travels_with_the_weights(
    tmp_path: Path, network: nn.Module, genotype_text: str, shape: tuple[int, ...]
) -> None:
    export_all(network, genotype_text, shape, tmp_path, formats=("safetensors",))
    assert load_weights(tmp_path / "model.safetensors")[1] == genotype_text


def test_a_folder_that_is_a_file_is_named(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...]
) -> None:
    (tmp_path / "export").write_text("")
    with pytest.raises(NasError, match=r"cannot create the folder .*export"):
        export_all(network, "{}", shape, tmp_path / "export", formats=("safetensors",))


class Elsewhere(WeightsExporter):
    """Returns a path that is no file of its folder."""

    def __call__(
        self, network: nn.Module, genotype_text: str, example: Tensor, directory: Path
    ) -> Path:
        """A file beside the folder."""
        return directory.parent / "model.safetensors"


@pytest.mark.parametrize("formats", [(), ("safetensors", "safetensors")], ids=["none", "twice"])
def test_formats_are_named_once_and_there_is_one(
    tmp_path: Path, network: nn.Module, formats: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match="at most once, and one"):
        export_all(network, "{}", (1, 8, 8), tmp_path / "export", formats=formats)
    assert not (tmp_path / "export").exists()


def test_an_exporter_writes_into_its_folder(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...]
) -> None:
    known = {"my_lab.Mine": Elsewhere()}
    with pytest.raises(NasError, match=r"export my_lab\.Mine returned .*which is no file in the"):
        export_all(network, "{}", shape, tmp_path, formats=tuple(known), known=known)


def test_two_exporters_may_not_write_one_file(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...]
) -> None:
    known = {"safetensors": WeightsExporter(), "my_lab.Mine": WeightsExporter()}
    with pytest.raises(NasError, match=r"my_lab\.Mine and safetensors both write model\.safetens"):
        export_all(network, "{}", shape, tmp_path, formats=tuple(known), known=known)
    assert names(tmp_path) == set()
