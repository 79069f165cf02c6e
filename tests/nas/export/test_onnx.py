"""ONNX: checked by onnxruntime, quiet, and absent without the extra."""

import logging
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.errors import NasError
from nas.export import onnx as nas_onnx
from nas.export.base import frozen_copy
from nas.export.onnx import OnnxExporter

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")


@pytest.fixture
def example() -> Tensor:
    return torch.zeros(2, 1, 8, 8)


def test_file_is_valid_and_names_what_a_user_needs(
    tmp_path: Path,
    network: nn.Module,
    genotype_text: str,
    example: Tensor,
    capfd: pytest.CaptureFixture[str],
) -> None:
    frozen, exporter = frozen_copy(network), OnnxExporter()
    assert exporter.missing() == ""
    path = exporter(frozen, genotype_text, example, tmp_path)
    run = exporter.reload(path, nn.Identity())
    for batch in (1, 2, 5):
        inputs = torch.randn(batch, 1, 8, 8)
        torch.testing.assert_close(run(inputs), [frozen(inputs)], atol=1e-5, rtol=0)
    assert capfd.readouterr() == ("", "")

    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]  # no external data
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (given,), (out,) = model.graph.input, model.graph.output
    assert (given.name, out.name) == ("input", "output")
    assert given.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [d.dim_value for d in given.type.tensor_type.shape.dim[1:]] == [1, 8, 8]
    assert [(e.key, e.value) for e in model.metadata_props] == [("genotype", genotype_text)]
    content = path.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content


def test_several_outputs_are_numbered(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, inputs: Tensor) -> tuple[Tensor, None, Tensor]:
            return inputs + 1, None, inputs.flatten(1).sum(1)

    exporter = OnnxExporter()
    path = exporter(Two(), "{}", torch.zeros(2, 1, 3), tmp_path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert len({out.name for out in session.get_outputs()}) == 2
    inputs = torch.randn(3, 1, 3)
    run = exporter.reload(path, nn.Identity())
    torch.testing.assert_close(run(inputs), [inputs + 1, inputs.flatten(1).sum(1)])


@pytest.mark.parametrize("absent", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    assert OnnxExporter().missing() == "install [export]"


def test_weights_over_the_format_limit_are_refused(
    tmp_path: Path, network: nn.Module, example: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nas_onnx, "_LIMIT", 10)
    with pytest.raises(NasError, match="leave 'onnx' out"):
        OnnxExporter()(network, "{}", example, tmp_path)


def test_only_the_skipped_operators_of_torchvision_are_silenced(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    with nas_onnx._quiet():
        logger.error("torchvision is not installed. Skipping %s", "torchvision::nms")
        logger.error("something new")
    logger.error("torchvision is not installed. Skipping %s", "again")
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["something new", "torchvision is not installed. Skipping again"]
