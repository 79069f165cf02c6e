"""Networks that are unlike each other: what their files hold and compute (slow tests)."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.compression import Compression
from nas.compression.quantizer import Quantizer
from nas.export import export_all
from nas.export.base import frozen_copy
from nas.export.integers import OnnxFile
from nas.testing import check_exporter
from tests.nas.export.integers.made import SHAPE, chain, kinds, operators_of, quantized, written

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


def test_eight_by_eight_bits_saturate_nothing(tmp_path: Path) -> None:
    """The largest products of one sign side by side: VPMADDUBSW would cut their sum in half."""
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
    path, facts = written(net, tmp_path, (16, 8, 8))
    assert operators_of(path.read_bytes())["QLinearConv"] == 1
    inputs = torch.ones(1, 16, 8, 8)
    (found,) = OnnxFile().reload(path, net)(inputs)
    torch.testing.assert_close(found, net(inputs), atol=1e-4, rtol=0)
    assert facts["steps_off"] <= 1


def test_sequences_rows_of_features_and_layers_that_are_called_twice(tmp_path: Path) -> None:
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
    path, facts = written(net, tmp_path, (3, 12))
    operators = operators_of(path.read_bytes())
    assert (operators["QLinearConv"], operators["QGemm"], facts["unmet"]) == (3, 3, [])
    assert facts["outputs_off"] < 1e-5
    assert facts["steps_off"] <= 1
    assert [out.name for out in onnx.load(path).graph.output] == ["output_0", "output_1"]


def test_what_a_runtime_may_do_to_floats_between_codes_it_does_not_do(tmp_path: Path) -> None:
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
    _, facts = written(net, tmp_path)
    assert facts["unmet"] == []
    assert 0 < facts["computed"] < facts["layers"] == 7
    assert facts["steps_off"] <= 1
    assert facts["codes_off"] < 0.01
    assert facts["outputs_off"] < 1e-6


def test_weights_alone_become_fp32_when_the_file_is_loaded(tmp_path: Path) -> None:
    net = quantized(chain(), SHAPE, 4, None)
    path, facts = written(net, tmp_path)
    assert (facts["computed"], facts["codes_off"], facts["unmet"]) == (0, 0.0, [])
    assert set(kinds(path)) == {"INT4", "INT8", "FLOAT", "INT64"}
    assert "Cast" not in operators_of(path.read_bytes())
    inputs = torch.randn(3, *SHAPE)
    (found,) = OnnxFile().reload(path, net)(inputs)
    torch.testing.assert_close(found, net(inputs), atol=1e-5, rtol=0)


def test_layers_that_never_run_are_in_no_file(tmp_path: Path) -> None:
    class More(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.never, self.b = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.b(torch.relu(self.a(x)))
            return out

    path, facts = written(quantized(More(), (4,)), tmp_path, (4,))
    assert (facts["layers"], facts["unmet"]) == (2, [])
    assert "never.codes" not in {each.name for each in onnx.load(path).graph.initializer}


def test_it_keeps_the_contract_of_exporters() -> None:
    check_exporter(OnnxFile(rounds=0), quantized(chain(), SHAPE), SHAPE, tolerance=0.05)


def test_a_wide_chain_is_faster(tmp_path: Path) -> None:
    if "AVX" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("no AVX2 here")
    net = quantized(chain(128, 6), (3, 32, 32), 4, 4)
    (record,) = export_all(net, "{}", (3, 32, 32), tmp_path, ("onnx",))
    assert record.facts["ms"] < 0.9 * record.facts["fp32_ms"]
    assert record.bytes < record.facts["fp32_bytes"] / 6
