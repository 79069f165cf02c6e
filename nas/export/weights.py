"""Weights as safetensors, with the genotype they belong to in the metadata."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from nas.errors import NasError
from nas.export.base import Run
from nas.files import PathText, write_atomic

_GENOTYPE = "genotype"  # the only key: with several, safetensors writes them in any order


class WeightsExporter:
    """The state dict of the network; rebuilding it needs the genotype's space."""

    def missing(self) -> str:
        """Nothing: safetensors is always there."""
        return ""

    def __call__(
        self, network: nn.Module, genotype_text: str, example: Tensor, directory: Path
    ) -> Path:
        """Write ``model.safetensors``; no example is needed."""
        return save_weights(directory / "model.safetensors", network.state_dict(), genotype_text)

    def reload(self, path: Path, network: nn.Module) -> Run:
        """A copy of ``network`` with every parameter and buffer from the file."""
        restored = copy.deepcopy(network)
        for tensor in restored.state_dict().values():
            tensor.zero_()  # what the file does not restore shows up as a difference
        restored.load_state_dict(load_weights(path)[0], strict=True)
        return restored


def save_weights(path: PathText, state: Mapping[str, Tensor], genotype_text: str) -> Path:
    """Write a state dict with its genotype, atomically; tied weights are written once per name."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    return write_atomic(path, safetensors.torch.save(tensors, metadata={_GENOTYPE: genotype_text}))


def load_weights(path: PathText) -> tuple[dict[str, Tensor], str]:
    """The state dict and the genotype text; NasError if the file is absent, damaged or foreign."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_GENOTYPE)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise NasError(
            f"cannot read weights {path} ({error}): give the path of a whole .safetensors file"
        ) from error
    if text is None:
        raise NasError(
            f"{path} holds weights but no genotype: "
            "give a file that `nas retrain` or `nas export` wrote"
        )
    return state, text
