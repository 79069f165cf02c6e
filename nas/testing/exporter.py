"""The contract of an exporter."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nas.testing import common
from nas.testing.common import attempting, require

TOLERANCE = 1e-4  # that of nas.export, which lies above
BATCHES = (1, 4)
SHAPE = (1, 8, 8)
TEXTS = ("genotype one", "genotype two")


def check_exporter(
    exporter: Any,
    network: nn.Module | None = None,
    input_shape: Sequence[int] = SHAPE,
    *,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> None:
    """Check an exporter: one whole file or none, which computes what the network computes.

    Args:
        exporter: what to check; its format must be one that can be written here.
        network: in eval mode, float32, on the CPU; default: a small one with batch-norm statistics.
        input_shape: of one input, without the batch.
        tolerance: largest difference, relative to max(1, abs(output)), that the format may make.
        seed: of everything random.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    for name in ("missing", "reload"):
        require(callable(getattr(exporter, name, None)), f"an exporter needs {name}()")
    require(callable(exporter), "an exporter is called to write")
    remedy = exporter.missing()
    require(remedy == "", f"this format cannot be written here, so it is not checked: {remedy}")
    with (
        common.seeded(seed) as generator,
        tempfile.TemporaryDirectory() as place,
    ):
        found = _network(generator) if network is None else network
        trial = Trial(exporter, found, tuple(input_shape), Path(place))
        path = trial.check_file()
        trial.check_overwriting(path)
        trial.check_outputs(path, generator, tolerance)
        trial.check_failing(path)
        trial.check_blocked(path.name)


class Trial:
    """One exporter at work in folders of its own."""

    def __init__(
        self, exporter: Any, network: nn.Module, shape: tuple[int, ...], place: Path
    ) -> None:
        """Keep the parts and make the folder that is exported to."""
        self.exporter, self.network, self.shape, self.place = exporter, network, shape, place
        self.directory = place / "export"
        self.directory.mkdir()

    def write(self, text: str, network: nn.Module | None = None) -> Path:
        """Export once; whatever it raises comes through."""
        example = torch.zeros(2, *self.shape)
        path: Path = self.exporter(network or self.network, text, example, self.directory)
        return path

    def check_file(self) -> Path:
        """One file in the folder that was given, and the network as it was."""
        before = {name: value.clone() for name, value in self.network.state_dict().items()}
        with attempting("exporting"):
            path = self.write(TEXTS[0])
        self._check_place(path)
        after = self.network.state_dict()
        same = all(_same(value, after.get(name)) for name, value in before.items())
        require(same and not self.network.training, "exporting changed the network")
        return path

    def _check_place(self, path: Path) -> None:
        inside = isinstance(path, Path) and path.parent == self.directory and path.is_file()
        require(inside, f"it must return the file that it wrote into its folder, got {path!r}")
        others = sorted(each.name for each in self.directory.iterdir() if each != path)
        require(
            not others,
            f"beside {path.name} it left {', '.join(others)}: a format is one file, whose size is "
            "reported",
        )
        require(path.stat().st_size > 0, f"{path.name} is empty")

    def check_overwriting(self, path: Path) -> None:
        """A second export replaces the file; who has the first one open still reads it whole."""
        old = path.read_bytes()
        with path.open("rb") as reader, attempting("exporting a second time"):
            again = self.write(TEXTS[1])
            seen = reader.read()
        require(again == path, f"the second export went to {again}, the first one to {path}")
        self._check_place(path)
        require(
            seen == old,
            "the second export wrote into the file of the first: stopped on its way it would leave "
            "half of each; write a file beside it and rename that",
        )
        require(
            path.read_bytes() != old, "the genotype is not in the file: with another it is the same"
        )

    def check_outputs(self, path: Path, generator: torch.Generator, tolerance: float) -> None:
        """The file computes what the network does, also beside a network of other weights."""
        other = copy.deepcopy(self.network)
        common.disturb(other, generator)
        with attempting("reloading the file"):
            run = self.exporter.reload(path, other)
        for count in BATCHES:
            inputs = torch.randn(count, *self.shape, generator=generator)
            with torch.no_grad(), attempting(f"running the file on a batch of {count}"):
                wanted, got = _tensors(self.network(inputs)), _tensors(run(inputs))
            largest = _largest(wanted, got)
            require(
                largest <= tolerance,
                f"the outputs of the file differ from the network's by {largest:.3g} on a batch of "
                f"{count}; allowed are {tolerance:.3g}",
            )

    def check_failing(self, path: Path) -> None:
        """A network that cannot be exported leaves the earlier file, and nothing else."""
        old = path.read_bytes()
        self._check_raises("a network that raises was exported", Raises())
        left = sorted(each.name for each in self.directory.iterdir())
        whole = left == [path.name] and path.read_bytes() == old
        require(whole, f"a failed export must leave the earlier file alone; it left {left}")

    def check_blocked(self, name: str) -> None:
        """Where the file cannot be put in place, nothing stays."""
        self.directory = self.place / "blocked"
        (self.directory / name).mkdir(parents=True)
        self._check_raises(f"{name} is a folder there, and the export did not fail")
        left = sorted(str(each.relative_to(self.directory)) for each in self.directory.rglob("*"))
        require(left == [name], f"an export that could not put its file in place left {left}")

    def _check_raises(self, sentence: str, network: nn.Module | None = None) -> None:
        try:
            self.write(TEXTS[0], network)
        except Exception:
            return
        raise AssertionError(sentence)


class Raises(nn.Module):
    """A network of which neither outputs nor weights can be had."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Raise RuntimeError."""
        raise RuntimeError("no outputs")

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Raise RuntimeError."""
        raise RuntimeError("no weights")


def _network(generator: torch.Generator) -> nn.Module:
    norm = nn.BatchNorm2d(4)
    net = nn.Sequential(
        nn.Conv2d(SHAPE[0], 4, 3, padding=1),
        norm,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    common.disturb(net, generator)
    for statistic in (norm.running_mean, norm.running_var):
        if statistic is not None:
            statistic.add_(torch.rand(statistic.shape, generator=generator))
    return net.eval().requires_grad_(False)


def _same(value: Tensor, other: Tensor | None) -> bool:
    return other is not None and value.dtype == other.dtype and torch.equal(value, other)


def _tensors(outputs: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]


def _largest(wanted: Sequence[Tensor], got: Sequence[Tensor]) -> float:
    """Largest difference relative to max(1, abs(wanted)); infinite where shapes differ, or NaN."""
    if [y.shape for y in wanted] != [y.shape for y in got]:
        return math.inf
    parts = ((y - x).abs() / x.abs().clamp(min=1) for x, y in zip(wanted, got, strict=True))
    worst = (part.nan_to_num(nan=math.inf).max() for part in parts if part.numel())
    return max(map(float, worst), default=0.0)
