"""The file: what it holds, what it computes, what is said of it, and that false ones are found."""

import copy
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas.costs import count_bytes
from nas.errors import NasError
from nas.export import export_all
from nas.export.base import Measuring, frozen_copy
from nas.export.integers import OnnxFile, exporter
from nas.export.integers.contents import size_of, structure_of
from nas.export.integers.runtime import session_of
from nas.export.integers.steps import Steps, steps_of
from nas.export.onnx import OnnxExporter
from tests.nas.export.integers.made import SHAPE, chain, kinds, operators_of, quantized, written

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@dataclass
class Made:
    net: nn.Module
    export: OnnxFile
    path: Path
    facts: dict[str, Any]

    @property
    def operators(self) -> Counter[str]:
        return operators_of(self.path.read_bytes())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("integers")


@pytest.fixture(scope="module")
def made(place: Path) -> Callable[[int, int], Made]:
    """Return the chain of given bits with its file, made once for all tests."""

    @cache
    def once(weights: int, inputs: int) -> Made:
        torch.manual_seed(0)
        net = quantized(chain(64), SHAPE, weights, inputs)
        folder = place / f"{weights}-{inputs}"
        folder.mkdir()
        export, example = OnnxFile(rounds=0), torch.zeros(2, *SHAPE)
        path = export(net, "{}", example, folder)
        return Made(net, export, path, dict(export.measure(path, net, example, 0)))

    return once


@pytest.mark.parametrize(
    ("bits", "packed"),
    [
        pytest.param((8, 8), "UINT8", marks=pytest.mark.slow),
        ((4, 4), "INT4"),
        pytest.param((2, 8), "INT2", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_chain_is_computed_in_integers(made, bits: tuple[int, int], packed: str) -> None:
    each = made(*bits)
    onnx.checker.check_model(onnx.load(each.path), full_check=True)
    facts, width = each.facts, each.net.get_submodule("0").out_channels
    assert (facts["layers"], facts["computed"]) == (4, 3)  # the last convolution is averaged
    assert (each.operators["QLinearConv"], each.operators["QGemm"]) == (2, 1)
    assert each.operators["DequantizeLinear"] == 0
    assert facts["unmet"] == []
    assert facts["steps_off"] <= 1
    assert facts["codes_off"] < 0.01
    assert facts["outputs_off"] < 1e-5
    assert facts["predicted_bytes"] == count_bytes(each.net)
    assert each.path.stat().st_size < facts["predicted_bytes"] + 5000
    # the stem and the linear layer have 8 bits, the convolutions behind the stem the given ones
    assert kinds(each.path)[packed] >= 9 * width**2
    inputs = torch.randn(16, *SHAPE)
    (found,) = each.export.reload(each.path, each.net)(inputs)
    expected = each.net(inputs)
    assert float((found - expected).std() / expected.std()) < 0.05


@pytest.mark.slow
def test_the_file_is_the_same_each_time(made, place: Path) -> None:
    again = OnnxFile(rounds=0)(made(4, 4).net, "{}", torch.zeros(2, *SHAPE), place)
    assert again.read_bytes() == made(4, 4).path.read_bytes()


def test_the_file_names_its_layers(made) -> None:
    each = made(4, 4)
    assert [file.name for file in each.path.parent.iterdir()] == ["model.onnx"]
    model = onnx.load(each.path)
    names = {constant.name for constant in model.graph.initializer}
    assert {"0.codes", "4.codes", "8.codes", "14.codes", "0.inputs.scale"} <= names
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("genotype", "{}")]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("input", "output")
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for folder in (str(Path(__file__).parent), str(Path(torch.__file__).parent)):
        assert folder.encode() not in each.path.read_bytes()


def test_it_runs_where_there_is_neither_torch_nor_this_framework(made, tmp_path: Path) -> None:
    each, inputs = made(4, 4), torch.randn(2, *SHAPE)
    np.save(tmp_path / "inputs.npy", inputs.numpy())
    lines = (
        "import sys, numpy, onnxruntime",
        "session = onnxruntime.InferenceSession(sys.argv[1])",
        "(found,) = session.run(None, {'input': numpy.load('inputs.npy')})",
        "numpy.save('outputs.npy', found)",
        "assert not {'torch', 'nas'} & set(sys.modules)",
    )
    words = [sys.executable, "-c", "\n".join(lines), str(each.path)]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=60)
    (here,) = each.export.reload(each.path, each.net)(inputs)
    assert np.array_equal(np.load(tmp_path / "outputs.npy"), here.numpy())


def test_fake_quantization_is_told_from_integers(made, place: Path) -> None:
    """A negative control: what only rounds in fp32 is neither small nor computed in integers."""
    each = made(4, 4)
    plan, matrices = each.export._written.plan, each.export._written.matrices
    fake = OnnxExporter(name="fake.onnx")(each.net, "{}", torch.zeros(2, *SHAPE), place)
    assert structure_of(each.path.read_bytes(), plan.operators, matrices) == []
    complaints = structure_of(fake.read_bytes(), plan.operators, matrices)
    assert complaints[:2] == [
        "0 of 2 operators QLinearConv in ONNX Runtime",
        "0 of 1 operators QGemm in ONNX Runtime",
    ]
    assert re.fullmatch(r"[\d,]+ weights in fp32 where there should be 0", complaints[2])
    size, predicted = fake.stat().st_size, count_bytes(each.net)
    assert size_of(each.path.stat().st_size, predicted, 4) == []
    assert size_of(size, predicted, 4)[0].startswith(f"{size:,} bytes where {predicted:,} are")
    assert len(each.export._written.fp32) > 5 * each.path.stat().st_size  # as is plain fp32


@pytest.mark.slow
def test_masked_channels_are_told_from_channels_that_are_gone(place: Path) -> None:
    """A negative control: zeros in place of half of the channels save neither bytes nor time."""
    masked, cut = (quantized(chain(width), SHAPE, 8, 8) for width in (128, 64))
    with torch.no_grad():
        for layer in masked.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight[64:] = layer.bias[64:] = 0
    assert written(cut, place)[1]["unmet"] == []
    path, facts = written(masked, place)
    assert facts["unmet"] == []  # by its own count
    assert size_of(path.stat().st_size, count_bytes(cut), 4) != []


def test_wrong_integers_are_found(made) -> None:
    each = made(4, 4)
    model = onnx.load(each.path)
    (codes,) = [constant for constant in model.graph.initializer if constant.name == "0.codes"]
    values = 255 - onnx.numpy_helper.to_array(codes)
    codes.CopyFrom(onnx.numpy_helper.from_array(values, "0.codes"))
    wrong = steps_of(model.SerializeToString(), each.net, SHAPE, 0)
    assert wrong.largest > 1
    with pytest.raises(NasError, match=r"of a layer's integers are off, by up to \d+ steps"):
        exporter._check(wrong)
    exporter._check(Steps(0.05, 1, 1e-4))
    for bad in (Steps(0.06, 1, 0.0), Steps(0.01, 2, 0.0), Steps(0.0, 0, 2e-4)):
        with pytest.raises(NasError, match="nothing was written"):
            exporter._check(bad)


def test_the_network_in_fp32_beside_it_is_the_same_one(made) -> None:
    each = made(4, 4)
    beside = each.export._written.fp32
    plain = copy.deepcopy(each.net)
    for layer in plain.modules():
        if hasattr(layer, "input_quantizer"):
            layer.input_quantizer = nn.Identity()
    inputs = torch.randn(4, *SHAPE)
    (found,) = session_of(beside).run(None, {"input": inputs.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), plain(inputs), atol=1e-4, rtol=1e-4)
    assert set(operators_of(beside)) <= {
        *("Conv", "FusedConv", "MaxPool", "ReduceMean", "GlobalAveragePool", "Reshape", "Gemm"),
        *("Add", "ReorderInput", "ReorderOutput", "Flatten"),
    }


def test_an_export_says_it(tmp_path: Path) -> None:
    net = quantized(nn.Linear(4, 3), (4,))
    (record,) = export_all(net, "{}", (4,), tmp_path, ("onnx",))
    assert record.status == "written"
    assert record.facts["ms"] > 0
    assert record.facts["fp32_ms"] > 0
    assert record.largest_difference is not None
    stored = json.loads((tmp_path / "parity.json").read_text())["exports"][0]
    assert stored["facts"] == record.facts
    assert isinstance(OnnxFile(), Measuring)


def test_midrise_is_not_written_and_says_what_is(tmp_path: Path) -> None:
    net = quantized(nn.Linear(4, 3), (4,), 4, 4, grid="midrise")
    (refused,) = export_all(net, "{}", (4,), tmp_path, ("onnx",))
    assert re.match(
        r"not written: weights of '' lie on the grid midrise.*onnx_float", refused.status
    )
    assert refused.path is None
    assert [each.name for each in tmp_path.iterdir()] == ["parity.json"]


@pytest.mark.slow
def test_fp32_if_asked(tmp_path: Path) -> None:
    """Its inputs may fall on other levels than in PyTorch, which integers are told apart from."""
    net = quantized(chain(), SHAPE, 8, 8, grid="midrise")
    refused, asked = export_all(net, "{}", SHAPE, tmp_path, ("onnx", "onnx_float"))
    assert (refused.path, asked.status) == (None, "written")
    assert asked.path == tmp_path / "model_float.onnx"
    assert asked.facts == {}


@pytest.mark.slow
def test_a_network_in_fp32_is_what_it_was(tmp_path: Path) -> None:
    net, example = frozen_copy(nn.Linear(4, 3)), torch.zeros(2, 4)
    export = OnnxFile()
    path = export(net, "{}", example, tmp_path)
    assert export.measure(path, net, example, 0) == {}
    beside = OnnxExporter(name="other.onnx")(net, "{}", example, tmp_path)
    assert path.read_bytes() == beside.read_bytes()
