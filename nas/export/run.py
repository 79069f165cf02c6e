"""Export in several formats at once: every artifact is proven before any is put in place."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import ConfigError, NasError, nearest
from nas.export import parity
from nas.export.base import (
    WRITTEN,
    Exporter,
    ExportRecord,
    Measuring,
    UnfitError,
    frozen_copy,
)
from nas.export.integers import OnnxFile
from nas.export.onnx import OnnxExporter
from nas.export.program import ProgramExporter, Tracer
from nas.export.weights import WeightsExporter
from nas.files import explain, make_directory, read_json, write_json

FORMATS = ("safetensors", "torch_export", "onnx")
IN_TORCH = ("safetensors", "torch_export")  # run by the network's own kernels, bit for bit
RANDOM = "not written: the network draws random numbers, so that no copy of it can be proven"
_STAGE = ".partial"  # a folder inside the export folder


def exporters() -> dict[str, Exporter]:
    """A fresh exporter per format; those of graphs in fp32 share one trace of the network."""
    tracer = Tracer()
    return {
        "safetensors": WeightsExporter(),
        "torch_export": ProgramExporter(tracer),
        "onnx": OnnxFile(tracer),
        "onnx_float": OnnxExporter(tracer, "model_float.onnx"),
    }


def export_all(
    network: nn.Module,
    genotype_text: str,
    input_shape: Sequence[int],
    directory: Path,
    formats: Sequence[str] = FORMATS,
    seed: int = 0,
    *,
    tolerance: float = parity.TOLERANCE,
    known: Mapping[str, Exporter] | None = None,
) -> list[ExportRecord]:
    """Write the network in each format, checked against itself, and ``parity.json``.

    The network is copied and left as it is. One whose outputs are random (the operation ``noise``)
    or that a format cannot hold is not written, and the records say so. On an error ``directory``
    keeps what it held before.

    Args:
        network: maps (batch, *input_shape) to a tensor or a nesting of tensors.
        genotype_text: the genotype file's text, stored inside each artifact.
        input_shape: of one input, without the batch.
        directory: created where absent.
        formats: of FORMATS, ``onnx_float`` (fp32 also where layers are quantized), or of ``known``.
        seed: of the random inputs.
        tolerance: largest difference allowed, relative to max(1, abs(output)); a file in integers
            is compared layer by layer instead, and what other kernels than PyTorch's make of
            quantized inputs in fp32 may be off by ``parity.ONE_LEVEL``.
        known: other exporters by format name.

    Raises:
        NasError: for formats that `check_formats` refuses, a network that cannot be traced, a
            difference above the tolerance, or a folder that cannot be written.
    """
    available = exporters() if known is None else known
    check_formats(formats, available)
    example = torch.zeros(2, *input_shape)
    with _stage(directory) as stage, _collector_paused():
        job = _Job(frozen_copy(network), genotype_text, example, stage, seed, tolerance)
        if parity.repeats(job.network, input_shape, seed=seed):
            records = [_export(name, available[name], job) for name in formats]
        else:
            records = [ExportRecord(name, None, 0, None, RANDOM) for name in formats]
        _check_names(records)
        placed = [_place(record, directory) for record in records]
    report = {
        "schema": "nas.parity/1",
        "seed": seed,
        "batches": list(parity.BATCHES),
        "tolerance": tolerance,
        "exports": [*_others(directory, formats), *(r.to_json(directory) for r in placed)],
    }
    write_json(directory / "parity.json", report)
    return placed


def check_formats(formats: Sequence[str], known: Collection[str]) -> None:
    """Raise ConfigError for a format that is unknown or named twice, and for none at all."""
    for name in formats:
        if name not in known:
            hint = nearest(name, known) or "; one of yours is written my_lab.export.MyExporter"
            raise ConfigError(f"unknown export format {name!r}; known are {', '.join(known)}{hint}")
    if not formats or len(set(formats)) != len(formats):
        raise ConfigError(f"formats must name each of {', '.join(known)} at most once, and one")


def _others(directory: Path, formats: Sequence[str]) -> list[dict[str, Any]]:
    """Records of an earlier export in formats that this one leaves alone."""
    if not (directory / "parity.json").is_file():
        return []
    before: list[dict[str, Any]] = read_json(directory / "parity.json")["exports"]
    return [record for record in before if record["format"] not in formats]


@dataclass(frozen=True)
class _Job:
    """What every format of one export gets."""

    network: nn.Module
    genotype_text: str
    example: Tensor
    stage: Path
    seed: int
    tolerance: float


def _export(name: str, exporter: Exporter, job: _Job) -> ExportRecord:
    remedy = exporter.missing()
    if remedy:
        return ExportRecord(name, None, 0, None, f"not written: {remedy}")
    try:
        path = exporter(job.network, job.genotype_text, job.example, job.stage)
        _check_place(name, path, job.stage)
        run = exporter.reload(path, job.network)
        difference = parity.largest_difference(
            job.network, run, job.example.shape[1:], seed=job.seed
        )
        facts = _facts(exporter, path, job)
    except UnfitError as error:
        return ExportRecord(name, None, 0, None, f"not written: {error}")
    except NasError:
        raise
    except Exception as error:  # tracers raise whatever they like
        reason = (str(error).strip().splitlines() or [""])[0]
        raise NasError(
            f"export {name} failed ({type(error).__name__}: {reason}): "
            f"mend the network, or leave {name!r} out of the formats"
        ) from error
    if not facts:
        exact = name in IN_TORCH
        allowed = job.tolerance if exact else parity.tolerance_of(job.network, job.tolerance)
        parity.check(name, difference, allowed)
    return ExportRecord(name, path, path.stat().st_size, difference, WRITTEN, facts)


def _facts(exporter: Exporter, path: Path, job: _Job) -> Mapping[str, Any]:
    if not isinstance(exporter, Measuring):
        return {}
    return exporter.measure(path, job.network, job.example, job.seed)


def _check_names(records: Sequence[ExportRecord]) -> None:
    names: dict[str, str] = {}
    for record in records:
        if record.path is not None:
            other = names.setdefault(record.path.name, record.format)
            if other != record.format:
                raise NasError(
                    f"export {record.format} and {other} both write {record.path.name}; "
                    "let one of them choose another name"
                )


def _check_place(name: str, path: Path, stage: Path) -> None:
    """NasError unless an exporter wrote one file where it should, which no other one wrote."""
    if not isinstance(path, Path) or path.parent != stage or not path.is_file():
        raise NasError(
            f"export {name} returned {path!r}, which is no file in the folder that it was given: "
            "let it write there and return the path"
        )


def _place(record: ExportRecord, directory: Path) -> ExportRecord:
    if record.path is None:
        return record
    target = directory / record.path.name
    try:
        os.replace(record.path, target)
    except OSError as error:
        raise explain(error, target, "write") from error
    return replace(record, path=target)


@contextmanager
def _stage(directory: Path) -> Iterator[Path]:
    """An empty folder for what is not proven yet; also clears what a killed export left."""
    stage = directory / _STAGE
    shutil.rmtree(stage, ignore_errors=True)
    make_directory(stage)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection while tracing: millions of small objects, a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
