"""safetensors: same tensors, same genotype, same bytes."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from nas.errors import NasError
from nas.export import load_weights, save_weights
from nas.export.base import frozen_copy
from nas.export.weights import WeightsExporter


def test_round_trip(tmp_path: Path, network: nn.Module, genotype_text: str) -> None:
    path = save_weights(tmp_path / "w.safetensors", network.state_dict(), genotype_text)
    state, text = load_weights(path)
    assert text == genotype_text
    assert state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor)
        assert state[name].dtype == tensor.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_same_weights_give_the_same_bytes(
    tmp_path: Path, network: nn.Module, genotype_text: str
) -> None:
    first = save_weights(tmp_path / "a", network.state_dict(), genotype_text)
    backwards = dict(reversed(network.state_dict().items()))
    second = save_weights(tmp_path / "b", backwards, genotype_text)
    assert first.read_bytes() == second.read_bytes()


def test_tied_and_strided_weights(tmp_path: Path) -> None:
    weight = torch.randn(4, 6)
    state = {"a": weight, "b": weight, "c": weight.t(), "d": weight[:, ::2]}
    found, _ = load_weights(save_weights(tmp_path / "w", state, "{}"))
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_reload_takes_every_tensor_from_the_file(
    tmp_path: Path, network: nn.Module, genotype_text: str
) -> None:
    frozen, exporter = frozen_copy(network), WeightsExporter()
    assert exporter.missing() == ""
    example = torch.randn(2, 1, 8, 8)
    path = exporter(frozen, genotype_text, example, tmp_path)
    other = copy.deepcopy(frozen)
    for parameter in other.parameters():
        parameter.fill_(7.0)
    outputs = exporter.reload(path, other)(example)
    assert isinstance(outputs, torch.Tensor)
    assert torch.equal(outputs, frozen(example))
    assert all(bool((p == 7).all()) for p in other.parameters())


def test_reload_refuses_a_missing_tensor(tmp_path: Path, network: nn.Module) -> None:
    state = network.state_dict()
    state.popitem()
    path = save_weights(tmp_path / "w", state, "{}")
    with pytest.raises(RuntimeError, match="Missing key"):
        WeightsExporter().reload(path, network)


@pytest.mark.parametrize("content", [None, b"", b"no tensors here", b"\xff" * 64])
def test_what_is_no_weights_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NasError, match=r"cannot read weights .*w\.safetensors"):
        load_weights(path)


def test_cut_weights_are_refused(tmp_path: Path, network: nn.Module) -> None:
    path = save_weights(tmp_path / "w", network.state_dict(), "{}")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(NasError, match="cannot read weights"):
        load_weights(path)


def test_weights_without_genotype_are_foreign(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(NasError, match="holds weights but no genotype"):
        load_weights(path)


@pytest.mark.slow  # a fresh process imports torch
def test_reading_weights_imports_no_tracer() -> None:
    code = (
        "import sys; from nas.export import load_weights, export_all; "
        "sys.exit('torch._dynamo' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
