"""Which tables there are, and what they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.benchmarks.errors import QueryError
from nas.benchmarks.own import is_own, own_table
from nas.benchmarks.readers import chains, darts, devices, nasbench201, nats, scores
from nas.benchmarks.readers.published import locate
from nas.benchmarks.store import read_table
from nas.benchmarks.table import Table
from nas.errors import nearest

SHIPPED = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Entry:
    """A table by name.

    Attributes:
        title: what it is, in a line.
        files: that it is read from, below the data directory; none for one that comes along.
        load: from the data directory to the table.
    """

    title: str
    files: tuple[str, ...]
    load: Callable[[Path], Table]

    def missing(self, root: Path) -> list[str]:
        """Those of its files that are not there."""
        return [name for name in self.files if locate(root, name) is None]


TABLES = {
    "chain": Entry(
        "1,024 chains on digits, 3 seeds, 2, 4 and 8 epochs; comes along",
        (),
        lambda root: read_table(SHIPPED / "chain.json"),
    ),
    "nasbench201": Entry(
        "15,625 cells on CIFAR-10, CIFAR-100, ImageNet16-120",
        nasbench201.FILES,
        nasbench201.nasbench201,
    ),
    "nasbench201_latency": Entry(
        "their latencies on 19 devices",
        (nasbench201.FILES[0], nasbench201.LATENCIES),
        nasbench201.latencies,
    ),
    "nasbench201_pi5": Entry(
        "their latency and energy on a Raspberry Pi 5",
        (nasbench201.FILES[0], devices.PI5_FILE),
        devices.pi5,
    ),
    "nasbench201_mcu": Entry(
        "latency, energy and memory of 35 of them on a microcontroller",
        (nasbench201.FILES[0], devices.MCU_FILE),
        devices.mcu,
    ),
    "nasbench201_proxies": Entry(
        "12 zero-cost scores of 725 of them on three data sets",
        (nasbench201.FILES[0], scores.FILE),
        scores.proxies,
    ),
    "nats_six": Entry("complete records of three cells of NATS-Bench", (nats.FILE,), nats.six),
    "nats_size": Entry(
        "complete records of three of its networks by channel sizes", (nats.FILE,), nats.sizes
    ),
    "nas_bench_macro": Entry(
        "6,561 chains on CIFAR-10, 3 seeds", (chains.MACRO_FILE,), chains.macro
    ),
    "fbnet_latency": Entry("latencies of 5,000 FBNet chains", (chains.FBNET_FILE,), chains.fbnet),
    "darts_random107": Entry(
        "107 random DARTS cells, 600 epochs", (darts.RANDOM_FILE,), darts.random107
    ),
    "nasbench301": Entry(
        "725 DARTS cells, predicted accuracy and proxies", (darts.NB301_FILE,), darts.nasbench301
    ),
}


def load(name: str, root: Path) -> Table:
    """The table of a name, or of a JSON file of the user's.

    Args:
        name: one of ``TABLES``, or a file as `own.own_table` takes it.
        root: the data directory.

    Raises:
        QueryError: there is no such table.
        TableError: a file of it is missing, damaged, altered or of another form.
    """
    if is_own(name):
        return own_table(name)
    if name not in TABLES:
        raise QueryError(
            f"unknown table {name!r}; there are {', '.join(TABLES)}, or give the .json file of one "
            f"of yours{nearest(name, TABLES)}"
        )
    return TABLES[name].load(root)
