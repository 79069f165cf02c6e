"""Published files in the user's data directory: found, checked against known digests, parsed."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.benchmarks.errors import TableError
from nas.files import is_file, read_bytes, sha256

# SHA-256 and size in bytes of the files that the readers were written for.
KNOWN = {
    "darts_random107_dev.json.gz": (
        "9db124cc5199bbf96188bd76db0cb1b64e423d39633e26a18f046b0de9a20cfe",
        9432,
    ),
    "fbnet_latency_dev.csv.gz": (
        "faf7545b78825dba3e46dc97c3f3896ce6afdf6ff420e5d70a6ddfa1ccd210f3",
        425153,
    ),
    "nas_bench_macro_cifar10.csv.gz": (
        "cf686c79711a3fc12f6d4cae4e07538b09321e2533443e53f256541d7327e07d",
        95991,
    ),
    "nats_bench_six_archs.json.gz": (
        "f23d1d121aa9dddeeb8fd9bc191aebea938071efd648097e5247878bed2184f6",
        104838,
    ),
    "nb201_12ep_val.csv.gz": (
        "3c0db40fa99579aba0137528c4dd7b3ac9883d9c848b09844bfd8fbb85a4ff60",
        128295,
    ),
    "nb201_200ep_test_dev.csv.gz": (
        "fbc51f06ae1025a6ea55c69b39527083aaefb4780cb2c0630a2c480d7a45039b",
        15766,
    ),
    "nb201_architectures.csv.gz": (
        "9153d3d7495fc94aca4e25f56c78d2a8df92f7744444f4991117d94720c29ad3",
        181386,
    ),
    "nb201_latency_dev.csv.gz": (
        "af0cd0b94b58170982ba4156b9b84a70fe8910da684d1ca9475e56312348f8df",
        938387,
    ),
    "nb201_mcu_sample35.csv": (
        "35a6c44bb68e8159cb413e01c4d4b1f4d28bb8824873a230b4fba7e5263edd69",
        1321,
    ),
    "nb201_pi5_onnx_dev.csv.gz": (
        "3110cd7a9eb097188443aa5b0e6aa3ddb457c9e612f5db9b8f23f656eeb26deb",
        113463,
    ),
    "nb201_zero_cost_proxies.csv.gz": (
        "465ed5985dd82466b7091213ef075b62dc7b907378302490a62da7176051ef69",
        98698,
    ),
    "nb301_zero_cost_proxies.csv.gz": (
        "0a12f4b7cc1fc93d0aa2d0aac4a7d60ff2cf89e8e012e54d6e8d04f94e7641c4",
        53677,
    ),
}


def locate(root: Path, name: str) -> Path | None:
    """Where a file lies: in ``tables/`` of the data directory, or in the directory itself."""
    places = (root / "tables" / name, root / name)
    return next((place for place in places if is_file(place)), None)


def content(root: Path, name: str) -> bytes:
    """The unpacked bytes of a known file.

    Raises:
        TableError: it is missing, cut, or not the published one.
    """
    path = locate(root, name)
    if path is None:
        raise TableError(
            f"there is no {name} in {root / 'tables'} or {root}; "
            "set root=FOLDER or NAS_DATA_DIR=FOLDER to where it is"
        )
    raw = read_bytes(path)
    digest, size = KNOWN[name]
    if len(raw) != size:
        state = "cut off" if len(raw) < size else "altered"
        raise TableError(
            f"{path} is {state}: it has {len(raw)} bytes, the published file {size}; get it again"
        )
    if sha256(raw) != digest:
        raise TableError(
            f"{path} was altered: its SHA-256 is {sha256(raw)[:12]}..., that of the published file "
            f"{digest[:12]}...; get it again"
        )
    try:
        return gzip.decompress(raw) if name.endswith(".gz") else raw
    except (OSError, EOFError, zlib.error) as error:  # a digest of ours that is wrong
        raise TableError(f"{path} cannot be unpacked ({error}); get it again") from error


def json_of(root: Path, name: str) -> Any:
    """The content of a known JSON file; raises as `content` does."""
    return json.loads(content(root, name))


def lines_of(root: Path, name: str) -> tuple[list[str], list[str]]:
    """Column names and lines of a known CSV file; raises as `content` does."""
    head, *rows = content(root, name).decode("ascii").splitlines()
    return head.split(","), rows


def numbers_of(root: Path, name: str) -> tuple[list[str], NDArray[np.float64]]:
    """Column names and numbers (rows, columns) of a known CSV file; raises as `content` does."""
    text = content(root, name)
    head = text[: text.index(b"\n")].decode("ascii").strip().split(",")
    table = np.loadtxt(io.BytesIO(text), delimiter=",", skiprows=1, ndmin=2)
    return head, table


def coded(rows: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """Rows of codes as a table takes them."""
    return np.array(rows, dtype=np.uint8)
