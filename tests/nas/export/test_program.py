"""torch.export: free batch size, the genotype inside, no trace of this machine."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.export.base import frozen_copy
from nas.export.program import ProgramExporter, Tracer


@pytest.fixture
def example() -> Tensor:
    return torch.zeros(2, 1, 8, 8)


def test_program_runs_at_any_batch(
    tmp_path: Path, network: nn.Module, genotype_text: str, example: Tensor
) -> None:
    frozen, exporter = frozen_copy(network), ProgramExporter()
    path = exporter(frozen, genotype_text, example, tmp_path)
    assert path == tmp_path / "model.pt2"
    run = exporter.reload(path, nn.Identity())  # the file is enough
    for batch in (1, 2, 5):
        inputs = torch.randn(batch, 1, 8, 8)
        torch.testing.assert_close(run(inputs), frozen(inputs), atol=1e-6, rtol=0)


def test_file_carries_the_genotype_and_no_folder_of_this_machine(
    tmp_path: Path, network: nn.Module, genotype_text: str, example: Tensor
) -> None:
    path = ProgramExporter()(frozen_copy(network), genotype_text, example, tmp_path)
    extra = {"genotype.json": ""}
    torch.export.load(path, extra_files=extra)
    assert extra["genotype.json"] == genotype_text
    content = path.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content


def test_two_formats_share_one_trace(network: nn.Module, example: Tensor) -> None:
    tracer, first = Tracer(), frozen_copy(network)
    program = tracer(first, example)
    assert tracer(first, example) is program
    assert tracer(frozen_copy(network), example) is not program
