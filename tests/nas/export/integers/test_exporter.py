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
from torch import Tensor, nn

from nas.costs import count_bytes
from nas.errors import NasError
from nas.export import export_all
from nas.export.base import Measuring, frozen_copy
from nas.export.integers import OnnxFile, exporter
from nas.export.integers.contents import size_of, structure_of
from nas.export.integers.runtime import optimized, session_of
from nas.export.integers.steps import Steps, steps_of
from nas.export.onnx import OnnxExporter
from nas.testing import check_exporter
from tests.nas.export.integers.made import SHAPE, quantized

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def chain(width: int = 16) -> nn.Module:
    """Convolutions in a row, one of them over pooled outputs, and a linear layer."""
    parts: list[nn.Module] = []
    for place, (c_in, c_out) in enumerate(((3, width), (width, width), (width, width))):
        parts += [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out)]
        parts += [nn.ReLU(), nn.MaxPool2d(2) if place == 0 else nn.Identity()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))


def written(
    net: nn.Module, place: Path, shape: tuple[int, ...] = SHAPE
) -> tuple[Path, dict[str, Any]]:
    """The file of a network, and what is measured of it."""
    export, example = OnnxFile(rounds=0), torch.zeros(2, *shape)
    path = export(net, "{}", example, place)
    return path, dict(export.measure(path, net, example, 0))


def operators_of(file: bytes) -> Counter[str]:
    return Counter(node.op_type for node in optimized(file).graph.node)


def kinds(path: Path) -> Counter[str]:
    """How many numbers of each type a file's constants have, scalars left out."""
    found: Counter[str] = Counter()
    for tensor in onnx.load(path).graph.initializer:
        if tensor.dims:
            found[onnx.TensorProto.DataType.Name(tensor.data_type)] += torch.Size(
                tensor.dims
            ).numel()
    return found


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


@pytest.mark.slow
def test_eight_by_eight_bits_saturate_nothing(place: Path) -> None:
    """The largest products of one sign side by side: VPMADDUBSW would cut their sum in half."""
    from nas.compression import Compression
    from nas.compression.quantizer import Quantizer

    net = Compression((8,), (8,)).apply(
        nn.Sequential(nn.Conv2d(16, 4, 1, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten())
    )
    net = frozen_copy(net)
    with torch.no_grad():
        for name, clip in (("0", 1.0), ("2", 20.0)):
            layer = net.get_submodule(name)
            layer.get_parameter("weight").fill_(1.0)
            for quantizer in (layer.weight_quantizer, layer.input_quantizer):
                assert isinstance(quantizer, Quantizer)
                quantizer.signed.fill_(False)
                quantizer.clip.fill_(clip)
            layer.weight_quantizer.clip.fill_(1.0)
    net = frozen_copy(net)
    path, facts = written(net, place, (16, 8, 8))
    assert operators_of(path.read_bytes())["QLinearConv"] == 1
    inputs = torch.ones(1, 16, 8, 8)
    (found,) = OnnxFile().reload(path, net)(inputs)
    torch.testing.assert_close(found, net(inputs), atol=1e-4, rtol=0)
    assert facts["steps_off"] <= 1


@pytest.mark.slow
def test_sequences_rows_of_features_and_layers_that_are_called_twice(place: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(3, 8, 3, padding=1), nn.Conv1d(8, 8, 3, padding=1)
            self.twice, self.rows = nn.Conv1d(8, 8, 1), nn.Linear(8, 8)
            self.head = nn.Linear(8, 4, bias=False)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.twice(torch.relu(self.twice(self.b(torch.relu(self.a(x))))))
            y = self.rows(torch.relu(self.rows(y.transpose(1, 2))))
            return y, self.head(y.mean(1))

    net = quantized(Mixed(), (3, 12), 4, 8)
    path, facts = written(net, place, (3, 12))
    operators = operators_of(path.read_bytes())
    assert (operators["QLinearConv"], operators["QGemm"], facts["unmet"]) == (3, 3, [])
    assert facts["outputs_off"] < 1e-5
    assert facts["steps_off"] <= 1
    assert [out.name for out in onnx.load(path).graph.output] == ["output_0", "output_1"]


@pytest.mark.slow
def test_what_a_runtime_may_do_to_floats_between_codes_it_does_not_do(place: Path) -> None:
    """Left behind a DequantizeLinear, weights in fp32 would be quantized anew, by 28 steps."""

    class Awkward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Conv2d(3, 8, 1) if i == 0 else nn.Conv2d(8, 8, 1) for i in range(7)
            )

        def forward(self, x: Tensor) -> Tensor:
            a, b, c, d, e, f, g = self.layers
            x = b(torch.relu(a(x)))  # codes around a middle: not those of a ReLU
            x = c(2 * x)  # the runtime makes the factor part of the weights
            x = d(c(x)[:, :, 1:])
            x = e(nn.functional.relu6(d(x)))
            x = f(torch.sigmoid(e(x)).transpose(2, 3))
            return torch.tanh(g(x + f(x)))

    net = quantized(Awkward(), SHAPE)
    quantizer = net.get_submodule("layers.1.input_quantizer")
    quantizer.get_buffer("signed").fill_(True)
    net = frozen_copy(net)
    _, facts = written(net, place)
    assert facts["unmet"] == []
    assert 0 < facts["computed"] < facts["layers"] == 7
    assert facts["steps_off"] <= 1
    assert facts["codes_off"] < 0.01
    assert facts["outputs_off"] < 1e-6


@pytest.mark.slow
def test_weights_alone_become_fp32_when_the_file_is_loaded(place: Path) -> None:
    net = quantized(chain(), SHAPE, 4, None)
    path, facts = written(net, place)
    assert (facts["computed"], facts["codes_off"], facts["unmet"]) == (0, 0.0, [])
    assert set(kinds(path)) == {"INT4", "INT8", "FLOAT", "INT64"}
    assert "Cast" not in operators_of(path.read_bytes())
    inputs = torch.randn(3, *SHAPE)
    (found,) = OnnxFile().reload(path, net)(inputs)
    torch.testing.assert_close(found, net(inputs), atol=1e-5, rtol=0)


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
def test_layers_that_never_run_are_in_no_file(place: Path) -> None:
    class More(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.never, self.b = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.b(torch.relu(self.a(x)))
            return out

    path, facts = written(quantized(More(), (4,)), place, (4,))
    assert (facts["layers"], facts["unmet"]) == (2, [])
    assert "never.codes" not in {each.name for each in onnx.load(path).graph.initializer}


@pytest.mark.slow
def test_a_network_in_fp32_is_what_it_was(tmp_path: Path) -> None:
    net, example = frozen_copy(nn.Linear(4, 3)), torch.zeros(2, 4)
    export = OnnxFile()
    path = export(net, "{}", example, tmp_path)
    assert export.measure(path, net, example, 0) == {}
    beside = OnnxExporter(name="other.onnx")(net, "{}", example, tmp_path)
    assert path.read_bytes() == beside.read_bytes()


@pytest.mark.slow
def test_it_keeps_the_contract_of_exporters() -> None:
    check_exporter(OnnxFile(rounds=0), quantized(chain(), SHAPE), SHAPE, tolerance=0.05)


@pytest.mark.slow
def test_a_wide_chain_is_faster(tmp_path: Path) -> None:
    if "AVX" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("no AVX2 here")
    net = quantized(chain(128), (3, 32, 32), 4, 4)
    (record,) = export_all(net, "{}", (3, 32, 32), tmp_path, ("onnx",))
    assert record.facts["ms"] < 0.9 * record.facts["fp32_ms"]
    assert record.bytes < record.facts["fp32_bytes"] / 6
