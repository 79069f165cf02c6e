"""Train every network of the space `chain` on digits and write the table of benchmark `chain`.

Usage: python scripts/make_embedded_benchmark.py [--out nas/benchmarks/tables] [--work .cache/chain]
                                                 [--processes 1] [--calibrate]

1,024 networks x 3 seeds; each keeps the accuracies after 2, 4 and 8 epochs of its one training, on
validation and test. Stopped and started again it goes on behind the last part that it had finished.
`--calibrate` trains 30 networks, prints how well the seeds agree, and writes nothing.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from dataclasses import asdict, dataclass
from itertools import combinations, product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nas.benchmarks import Column, SpaceRecord, Table
from nas.benchmarks.correlation import kendall
from nas.benchmarks.store import write_table
from nas.costs import count_macs, count_parameters
from nas.data import Digits
from nas.decision import Choice
from nas.files import sha256, write_atomic
from search_spaces.chain import OPERATIONS, ChainSpace, StackedNetwork

TOGETHER = 32  # networks in one stack


@dataclass(frozen=True)
class Recipe:
    """How every network is trained; part of the table's provenance."""

    epochs: int = 8
    recorded: tuple[int, ...] = (2, 4, 8)
    batch: int = 32
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine from rate to 0 over all steps"
    nesterov: bool = True
    channels: int = 8
    train: int = 600
    validation: int = 599
    test: int = 598
    split_seed: int = 0
    seeds: tuple[int, ...] = (0, 1, 2)


RECIPE = Recipe()
SPLITS = ("validation", "test")


def genotypes(space: ChainSpace) -> list[dict[str, Choice]]:
    """All genotypes, the last layer counting fastest."""
    rows = product(OPERATIONS, repeat=len(space.decisions))
    return [dict(zip(space.decisions, row, strict=True)) for row in rows]


def images() -> tuple[ChainSpace, Tensor, Tensor, dict[str, Tensor]]:
    """The space, standardized inputs (1797, 1, 8, 8), targets, and the indices of the splits."""
    data = Digits(test=RECIPE.test, validation=RECIPE.validation).load()
    parts = {name: data.indices(name) for name in SPLITS}
    parts["train"] = torch.cat([data.indices(name) for name in ("weights", "architecture")])
    x = data.inputs.float() / 255
    known = x[parts["train"]]
    space = ChainSpace(data.spec, network_channels=RECIPE.channels)
    return space, (x - known.mean()) / known.std(), data.targets.long(), parts


def train(chosen: list[dict[str, Choice]], seed: int) -> NDArray[np.uint16]:
    """Correct answers (networks, recorded epochs, splits) of networks with one seed.

    The seed gives the initial weights of each network, as if it were alone, and the order of the
    batches, which is the same for all.
    """
    torch.set_num_threads(1)
    space, x, y, parts = images()
    networks = []
    for genotype in chosen:
        torch.manual_seed(seed)
        networks.append(space.network(genotype))
    net = StackedNetwork(chosen, networks)
    optimizer = torch.optim.SGD(
        net.parameters(),
        RECIPE.rate,
        momentum=RECIPE.momentum,
        nesterov=RECIPE.nesterov,
        weight_decay=RECIPE.weight_decay,
    )
    generator = torch.Generator().manual_seed(seed)
    steps, step, found = len(parts["train"]) // RECIPE.batch, 0, []
    for epoch in range(1, RECIPE.epochs + 1):
        order = parts["train"][torch.randperm(len(parts["train"]), generator=generator)]
        for number in range(steps):
            rate = RECIPE.rate * (1 + math.cos(math.pi * step / (RECIPE.epochs * steps))) / 2
            optimizer.param_groups[0]["lr"] = rate
            batch = order[number * RECIPE.batch : (number + 1) * RECIPE.batch]
            answers = y[batch].repeat(len(chosen))
            loss = F.cross_entropy(net(x[batch]).flatten(0, 1), answers, reduction="sum")
            optimizer.zero_grad()
            (loss / RECIPE.batch).backward()
            optimizer.step()
            step += 1
        if epoch in RECIPE.recorded:
            found.append(torch.stack([correct(net, x, y, parts[name]) for name in SPLITS], 1))
    return torch.stack(found, 1).numpy().astype(np.uint16)


@torch.no_grad()
def correct(net: StackedNetwork, x: Tensor, y: Tensor, indices: Tensor) -> Tensor:
    """How many of the samples each network answers correctly, (networks,)."""
    net.eval()
    answers = torch.cat([net(x[part]).argmax(-1) for part in indices.split(200)], 1)
    net.train()
    return (answers == y[indices]).sum(1)


def part(job: tuple[Path, int, int, int]) -> str:
    """Train one part of one seed, unless its file is there."""
    work, seed, start, stop = job
    file = work / f"seed{seed}-{start:04}-{stop:04}.npy"
    if not file.is_file():
        space = images()[0]
        counts = train(genotypes(space)[start:stop], seed)
        write_atomic(file, counts.astype("<u2").tobytes())
    return file.name


def results(work: Path, processes: int) -> NDArray[np.uint16]:
    """Correct answers (seeds, networks, recorded epochs, splits) of all networks."""
    count = len(genotypes(images()[0]))
    jobs = [
        (work, seed, start, min(start + TOGETHER, count))
        for start in range(0, count, TOGETHER)
        for seed in RECIPE.seeds
    ]
    began = time.perf_counter()
    with get_context("spawn").Pool(processes) as pool:
        for number, name in enumerate(pool.imap(part, jobs), start=1):
            print(f"{number}/{len(jobs)}  {name}  {time.perf_counter() - began:.0f} s", flush=True)
    shape = (-1, len(RECIPE.recorded), len(SPLITS))
    found = {
        seed: [
            np.frombuffer((work / f"seed{each}-{start:04}-{stop:04}.npy").read_bytes(), "<u2")
            for _, each, start, stop in jobs
            if each == seed
        ]
        for seed in RECIPE.seeds
    }
    return np.stack([np.concatenate(found[seed]).reshape(shape) for seed in RECIPE.seeds])


def agreement(rates: NDArray[np.float64]) -> str:
    """How well the seeds of rates (seeds, networks) agree, and how far the networks lie apart."""
    pairs = combinations(rates, 2)
    taus = ", ".join(f"{kendall(one, other):.3f}" for one, other in pairs)
    least, most = 100 * rates.mean(0).min(), 100 * rates.mean(0).max()
    return f"Kendall between seeds {taus}; validation {least:.1f} to {most:.1f} %"


def calibrate() -> None:
    """Train 30 networks with every seed and print how well the seeds agree."""
    began = time.perf_counter()
    chosen = genotypes(images()[0])[7::34]
    rates = np.stack([train(chosen, seed)[:, -1, 0] / RECIPE.validation for seed in RECIPE.seeds])
    cost = (time.perf_counter() - began) / rates.size
    print(f"{len(chosen)} networks: {agreement(rates)}; {cost:.2f} s for each training")


def seconds_per_epoch(space: ChainSpace, macs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Simulated cost: proportional to MACs, on a machine of 1e9 multiply-accumulates a second.

    An epoch is forward and backward, three times the forward's MACs, over all training images. A
    measured time would be that of one machine, and of a network far too small for it.
    """
    return 3 * macs * RECIPE.train / 1e9


def table_of(found: NDArray[np.uint16]) -> Table:
    """The table of correct answers (seeds, networks, recorded epochs, splits)."""
    space = images()[0]
    known = genotypes(space)
    columns, values = [], []
    for place, split in enumerate(SPLITS):
        total = getattr(RECIPE, split)
        for index, epochs in enumerate(RECIPE.recorded):
            for row, seed in enumerate(RECIPE.seeds):
                columns.append(Column("accuracy", "digits", split, epochs, seed))
                values.append(100 * found[row, :, index, place] / total)
    with torch.device("meta"):
        networks = [space.network(genotype) for genotype in known]
    values.append(np.array([count_parameters(net) for net in networks], dtype=np.float64))
    networks = [space.network(genotype) for genotype in known]
    macs = np.array([count_macs(net, space.data.input_shape) for net in networks], float)
    values.append(macs)
    columns += [Column("parameters"), Column("macs")]
    record = SpaceRecord(
        "chain", tuple(space.decisions.values()), {"network_channels": RECIPE.channels}
    )
    codes = np.array([record.encode(genotype) for genotype in known], dtype=np.uint8)
    seconds = seconds_per_epoch(space, macs)
    return Table("chain", record, codes, tuple(columns), np.stack(values), seconds)


def provenance(found: NDArray[np.uint16]) -> dict[str, object]:
    """How the table was made, where, and how well its seeds agree."""
    return {
        "command": "python scripts/make_embedded_benchmark.py",
        "recipe": asdict(RECIPE),
        "data": Digits(test=RECIPE.test, validation=RECIPE.validation).fingerprint(),
        "together": TOGETHER,
        "seconds": "3 MACs per image at 1e9 a second; not measured",
        "machine": f"{platform.machine()}, one thread per process",
        "torch": torch.__version__,
        "agreement": agreement(found[:, :, -1, 0] / RECIPE.validation),
    }


def main() -> None:
    """Calibrate, or train what is missing and write the table."""
    parser = argparse.ArgumentParser(description="The table of benchmark `chain`.")
    parser.add_argument("--out", type=Path, default=Path("nas/benchmarks/tables"))
    parser.add_argument("--work", type=Path, default=Path(".cache/chain"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--calibrate", action="store_true")
    options = parser.parse_args()
    if options.calibrate:
        calibrate()
        return
    # Parts of another recipe lie elsewhere: what is gone on with was trained alike.
    work = options.work / sha256(repr(RECIPE).encode())[:8]
    found = results(work, options.processes)
    path = write_table(table_of(found), options.out, provenance(found))
    print(f"{path}: {agreement(found[:, :, -1, 0] / RECIPE.validation)}")


if __name__ == "__main__":
    main()
