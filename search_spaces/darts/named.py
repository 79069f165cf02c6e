"""Published cells, as facts; sources are repositories with the released genotypes.

An edge is ``operation:input``; the edges of a node stand together, nodes are separated by ``|``.
The cells of FairDARTS in which a node has no input are left out, because what the released code
does with such a node is not known to us.
"""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import GenotypeError, nearest
from search_spaces.darts.cells import Cells, Edge, Plan

_CODES = {
    "none": "none",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "sep7": "sep_conv_7x7",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
    "c71": "conv_7x1_1x7",
    "c31": "conv_3x1_1x3",
}


@dataclass(frozen=True)
class Published:
    """Two cells in short form; ``concat`` is all nodes unless given."""

    normal: str
    reduce: str
    source: str
    normal_concat: tuple[int, ...] | None = None
    reduce_concat: tuple[int, ...] | None = None


def named_cells(name: str) -> Cells:
    """The published cells ``name``; raises GenotypeError naming the known ones."""
    if name not in NAMED:
        raise GenotypeError(
            f"no published genotype is called {name!r}; known are {', '.join(NAMED)}"
            f"{nearest(name, NAMED)}"
        )
    entry = NAMED[name]
    return Cells(_plan(entry.normal, entry.normal_concat), _plan(entry.reduce, entry.reduce_concat))


def _plan(text: str, concat: tuple[int, ...] | None) -> Plan:
    nodes = tuple(tuple(_edge(word) for word in node.split()) for node in text.split("|"))
    return Plan(nodes, concat if concat is not None else tuple(range(2, 2 + len(nodes))))


def _edge(word: str) -> Edge:
    code, source = word.split(":")
    return Edge(_CODES[code], int(source))


NAMED = {
    "NASNet": Published(
        normal="sep5:1 sep3:0 | sep5:0 sep3:0 | avg:1 skip:0 | avg:0 avg:0 | sep3:1 skip:1",
        reduce="sep5:1 sep7:0 | max:1 sep7:0 | avg:1 sep5:0 | skip:3 avg:2 | sep3:2 max:1",
        source="quark0/darts: cnn/genotypes.py",
        reduce_concat=(4, 5, 6),
    ),
    "AmoebaNet": Published(
        normal="avg:0 max:1 | sep3:0 sep5:2 | sep3:0 avg:3 | sep3:1 skip:1 | skip:0 avg:1",
        reduce="avg:0 sep3:1 | max:0 sep7:2 | sep7:0 avg:1 | max:0 max:1 | c71:0 sep3:5",
        source="quark0/darts: cnn/genotypes.py",
        normal_concat=(4, 5, 6),
        reduce_concat=(3, 4, 6),
    ),
    "DARTS_V1": Published(
        normal="sep3:1 sep3:0 | skip:0 sep3:1 | skip:0 sep3:1 | sep3:0 skip:2",
        reduce="max:0 max:1 | skip:2 max:0 | max:0 skip:2 | skip:2 avg:0",
        source="quark0/darts: cnn/genotypes.py",
    ),
    "DARTS_V2": Published(
        normal="sep3:0 sep3:1 | sep3:0 sep3:1 | sep3:1 skip:0 | skip:0 dil3:2",
        reduce="max:0 max:1 | skip:2 max:1 | max:0 skip:2 | skip:2 max:1",
        source="quark0/darts: cnn/genotypes.py",
    ),
    "PC_DARTS_cifar": Published(
        normal="sep3:1 skip:0 | sep3:0 dil3:1 | sep5:0 sep3:1 | avg:0 dil3:1",
        reduce="sep5:1 max:0 | sep5:1 sep5:2 | sep3:0 sep3:3 | sep3:1 sep3:2",
        source="yuhuixu1993/PC-DARTS: genotypes.py",
    ),
    "PC_DARTS_image": Published(
        normal="skip:1 sep3:0 | sep3:0 skip:1 | sep3:1 sep3:3 | sep3:1 dil5:4",
        reduce="sep3:0 skip:1 | dil5:2 max:1 | sep3:2 sep3:1 | sep5:0 sep3:3",
        source="yuhuixu1993/PC-DARTS: genotypes.py",
    ),
    "PDARTS": Published(
        normal="skip:0 dil3:1 | skip:0 sep3:1 | sep3:1 sep3:3 | sep3:0 dil5:4",
        reduce="avg:0 sep5:1 | sep3:0 dil5:2 | max:0 dil3:1 | dil3:1 dil5:3",
        source="chenxin061/pdarts: genotypes.py",
    ),
    "DrNAS_cifar10": Published(
        normal="sep3:0 sep5:1 | sep3:1 sep3:2 | skip:0 sep3:1 | sep3:2 dil5:3",
        reduce="max:0 sep5:1 | dil5:2 sep5:1 | sep5:1 dil5:3 | skip:4 sep5:1",
        source="xiangning-chen/DrNAS: DARTS-space/genotypes.py",
    ),
    "DrNAS_imagenet": Published(
        normal="sep3:1 sep3:0 | sep3:0 sep3:1 | sep3:0 dil3:3 | skip:0 sep3:1",
        reduce="max:0 sep3:1 | sep3:0 skip:2 | sep3:0 sep3:2 | sep3:3 sep3:1",
        source="xiangning-chen/DrNAS: DARTS-space/genotypes.py",
    ),
    "PNASNet": Published(
        normal="sep5:0 max:0 | sep7:1 max:1 | sep5:1 sep3:1 | sep3:4 max:1 | sep3:0 skip:1",
        reduce="sep5:0 max:0 | sep7:1 max:1 | sep5:1 sep3:1 | sep3:4 max:1 | sep3:0 skip:1",
        source="D-X-Y/AutoDL-Projects: xautodl/nas_infer_model/DXYs/genotypes.py",
    ),
    "SETN": Published(
        normal="skip:0 sep5:1 | sep5:0 sep3:1 | sep5:1 sep5:3 | max:1 c31:4",
        reduce="sep3:0 sep5:1 | avg:0 sep5:1 | avg:0 sep5:1 | avg:0 skip:1",
        source="D-X-Y/AutoDL-Projects: xautodl/nas_infer_model/DXYs/genotypes.py",
    ),
    "GDAS_V1": Published(
        normal="skip:0 skip:1 | skip:0 sep5:2 | sep3:3 skip:0 | sep5:4 sep3:3",
        reduce="sep5:0 sep3:1 | sep5:2 sep5:1 | dil5:2 sep3:1 | sep5:0 sep5:1",
        source="D-X-Y/AutoDL-Projects: xautodl/nas_infer_model/DXYs/genotypes.py",
    ),
    "SNAS_mild": Published(
        normal="sep3:0 sep3:1 | skip:0 dil3:1 | skip:0 skip:1 | skip:0 sep3:1",
        reduce="max:0 max:1 | max:1 skip:2 | max:1 skip:2 | max:0 dil5:2",
        source="SNAS-Series/SNAS-Series: SNAS/genotypes.py",
    ),
    "SNAS_moderate": Published(
        normal="dil5:0 skip:1 | sep3:0 skip:1 | skip:0 skip:1 | sep3:0 dil5:1",
        reduce="max:0 max:1 | sep5:0 dil5:1 | sep5:0 sep5:1 | sep5:0 sep5:1",
        source="SNAS-Series/SNAS-Series: SNAS/genotypes.py",
    ),
    "SNAS_aggressive": Published(
        normal="sep5:0 skip:1 | skip:0 skip:1 | dil5:1 skip:0 | skip:0 dil5:1",
        reduce="sep5:0 none:1 | sep5:0 none:1 | none:1 none:0 | none:1 none:0",
        source="SNAS-Series/SNAS-Series: SNAS/genotypes.py",
    ),
    "ENASNet": Published(
        normal="sep3:1 skip:1 | sep5:1 skip:0 | avg:0 sep3:1 | sep3:0 avg:1 | sep5:1 avg:0",
        reduce="sep5:0 sep3:1 | sep3:1 avg:1 | sep3:1 avg:1 | avg:1 sep5:4 | sep3:5 sep5:0",
        source="xiaomi-automl/FairDARTS: fairdarts/genotypes.py",
    ),
    "MdeNAS": Published(
        normal="sep5:1 sep3:0 | skip:0 sep5:1 | sep5:3 sep3:1 | dil5:3 max:4",
        reduce="max:0 sep5:1 | skip:0 skip:1 | sep3:3 skip:2 | dil3:3 sep5:0",
        source="xiaomi-automl/FairDARTS: fairdarts/genotypes.py",
    ),
    "CNAS": Published(
        normal="dil3:1 sep3:0 | sep3:0 skip:1 | sep3:1 max:3 | sep3:2 sep3:4",
        reduce="sep3:0 skip:1 | dil5:2 skip:1 | dil3:2 sep3:1 | sep5:0 sep3:3",
        source="guoyongcs/CNAS: cnas/model/genotypes.py",
    ),
    "FairDARTS_b": Published(
        normal="sep3:0 sep3:1 | sep3:1 | dil3:0 sep5:1 | dil5:1",
        reduce="skip:0 dil3:1 | skip:0 dil3:1 | max:0 sep3:1 | skip:2 max:0",
        source="xiaomi-automl/FairDARTS: fairdarts/genotypes.py",
    ),
    "FairDARTS_d": Published(
        normal="sep3:0 sep5:1 | dil3:1 max:0 | dil3:0 dil3:1 | sep3:0 dil5:1",
        reduce="max:0 sep5:1 | avg:0 dil5:2 | dil3:3 avg:0 | avg:0 skip:3",
        source="xiaomi-automl/FairDARTS: fairdarts/genotypes.py",
    ),
    "FairDARTS_f": Published(
        normal="max:0 sep3:1 | dil3:1 | sep5:1 | sep3:0 sep3:1",
        reduce="max:0 max:1 | max:0 dil3:1 | dil3:2 max:0 | max:0 sep3:1",
        source="xiaomi-automl/FairDARTS: fairdarts/genotypes.py",
    ),
}
