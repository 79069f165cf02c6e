"""Records can be written anywhere, and the copy to export leaves its original alone."""

from pathlib import Path

import torch
from torch import nn

from nas.export.base import ExportRecord, frozen_copy


def test_frozen_copy_leaves_the_original_alone(network: nn.Module) -> None:
    network.get_submodule("stem").eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    copied = frozen_copy(network.double())
    assert not any(module.training for module in copied.modules())
    assert not any(p.requires_grad for p in copied.parameters())
    assert {p.dtype for p in copied.parameters()} == {torch.float32}
    assert network.training
    assert not network.get_submodule("stem").training
    assert network.get_submodule("separable").training
    assert all(p.requires_grad and p.dtype == torch.float64 for p in network.parameters())
    for parameter in copied.parameters():
        parameter.zero_()
    assert all(
        torch.equal(before[n], t.to(before[n].dtype)) for n, t in network.state_dict().items()
    )


def test_frozen_copy_unwraps_a_compiled_network(network: nn.Module) -> None:
    class Compiled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self._orig_mod = inner

    assert list(frozen_copy(Compiled(network)).state_dict()) == list(network.state_dict())


def test_record_paths_are_relative_to_the_run() -> None:
    record = ExportRecord("onnx", Path("run/export/model.onnx"), 12, 1e-7, "written")
    assert record.to_json(Path("run")) == {
        "format": "onnx",
        "path": "export/model.onnx",
        "bytes": 12,
        "largest_difference": 1e-7,
        "status": "written",
    }
    absent = ExportRecord("onnx", None, 0, None, "not written: install [export]")
    assert absent.to_json(Path("run"))["path"] is None
