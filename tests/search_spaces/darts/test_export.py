"""Networks for sequences and with an image out as ONNX, beside the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.dataspec import DataSpec
from nas.export.base import frozen_copy
from nas.export.onnx import OnnxExporter
from search_spaces.darts import DartsSpace

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "kind"),
    [((2, 33), "classes"), ((2, 33), "dense"), ((3, 9, 7), "image"), ((3, 16, 16), "dense")],
    ids=str,
)
def test_the_file_computes_what_the_network_does(
    shape: tuple[int, ...], kind: Any, tmp_path: Path
) -> None:
    space = DartsSpace(DataSpec(shape, kind, 4), network_channels=4, network_cells=3)
    network = space.build(space.named()["PC_DARTS_cifar"])
    network(torch.randn(8, *shape))  # statistics of its own
    frozen = frozen_copy(network)
    exporter = OnnxExporter()
    path = exporter(frozen, "{}", torch.zeros(2, *shape), tmp_path)
    run = exporter.reload(path, nn.Identity())
    for batch in (1, 3):
        inputs = torch.randn(batch, *shape)
        with torch.no_grad():
            expected = frozen(inputs)
        assert expected.shape[2:] == (() if kind == "classes" else shape[1:])
        torch.testing.assert_close(run(inputs), [expected], atol=1e-5, rtol=0)
