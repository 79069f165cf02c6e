import pytest
import torch
from torch import nn

from nas.engine.device import autocast_of, check_layout, compile_cells, pick_device
from nas.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("there", [True, False])
def test_auto_takes_cuda_where_there_is_one(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device("auto").type == ("cuda" if there else "cpu")
    assert pick_device("cpu").type == "cpu"


def test_cuda_must_be_there_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device; use device=auto or device=cpu"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("cuda").type == "cuda"


@pytest.mark.parametrize("name", ["gpu", "CPU", "", "cuda:1"])
def test_an_unknown_device_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(ConfigError, match=f"auto, cpu or cuda, got {name!r}"):
        pick_device(name)


def test_precision_decides_in_what_a_forward_computes() -> None:
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    with autocast_of(CPU, "fp32")():
        assert layer(x).dtype == torch.float32
    with autocast_of(CPU, "bf16")():
        assert layer(x).dtype == torch.bfloat16
    assert layer(x).dtype == torch.float32
    with pytest.raises(ConfigError, match="fp32 or bf16, got 'fp16'"):
        autocast_of(CPU, "fp16")


class Celled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.cells = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])


def test_cells_are_compiled_one_by_one_and_a_network_without_any_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    net, plain = Celled(), nn.Linear(2, 2)
    names = list(net.state_dict())
    compile_cells(net)
    assert compiled == list(net.cells)
    compile_cells(plain)
    assert compiled[2:] == [plain]
    assert list(net.state_dict()) == names


def test_channels_last_is_for_images_on_a_gpu() -> None:
    check_layout(False, 1, torch.device("cpu"))
    check_layout(True, 2, torch.device("cuda"))
    with pytest.raises(ConfigError, match=r"images, but .* have 1 .*use channels_last=false"):
        check_layout(True, 1, torch.device("cuda"))
    with pytest.raises(ConfigError, match=r"needs a GPU.* got device=cpu, use channels_last=false"):
        check_layout(True, 2, torch.device("cpu"))
