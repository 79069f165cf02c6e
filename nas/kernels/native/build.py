"""Compiles the C++ sources beside this file, once per machine, and calls what is in them."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import cast

import torch  # before the library is loaded: both then share one OpenMP, hence one set of threads
from torch import Tensor

from nas import console
from nas.errors import NasError
from nas.files import is_file, make_directory, temporary_path

SOURCES = Path(__file__).parent
COMPILERS = ("g++", "clang++", "c++")
# Not -ffast-math: it would let NaN vanish, and a search that diverged would look well.
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"),
    *("-fno-signed-zeros", "-fopenmp", "-fPIC"),
)
MAX_SECONDS = 300
NUMBERS = {torch.float32: "float", torch.float64: "double"}  # each has a library of its own


def available(dtype: torch.dtype = torch.float32) -> bool:
    """Whether the kernels can be called; the first call compiles them (seconds, then kept).

    Where that fails, one line says why, once. ``NAS_NATIVE=0`` in the environment says no.
    """
    if os.environ.get("NAS_NATIVE") == "0" or dtype not in NUMBERS:
        return False
    return _library(NUMBERS[dtype]) is not None


def call(name: str, dtype: torch.dtype, *arguments: object) -> None:
    """Run the kernel ``name`` for a type of numbers with as many threads as PyTorch uses.

    Arguments are dense tensors, whole numbers, what `sizes` makes, or None.
    """
    plain = [address(x) if isinstance(x, Tensor) else x for x in arguments]
    _function(name, NUMBERS[dtype], len(plain) + 1)(*plain, torch.get_num_threads())


def sizes(*values: int) -> ctypes.Array[ctypes.c_ssize_t]:
    """Whole numbers (or addresses) as the array that kernels read."""
    return (ctypes.c_ssize_t * len(values))(*values)


def address(tensor: Tensor | None) -> int:
    """Where the numbers of a dense tensor lie; 0 for None."""
    if tensor is None:
        return 0
    assert tensor.is_contiguous()
    return tensor.data_ptr()


@cache
def _function(name: str, number: str, arguments: int) -> Callable[..., None]:
    function = getattr(_library(number), name)
    function.restype = None
    # All are as wide as an address: without types, ctypes would cut them to 32 bits.
    function.argtypes = [ctypes.c_void_p] * arguments
    return cast("Callable[..., None]", function)


@cache
def _library(number: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(_compiled(number)))
    except (NasError, OSError, subprocess.SubprocessError) as error:
        console.hint(f"note    no native kernels, PyTorch's own are used: {error}")
        return None


def _compiled(number: str) -> Path:
    compiler = _compiler()
    sources, headers = (sorted(SOURCES.glob(pattern)) for pattern in ("*.cpp", "*.h"))
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, check=True, timeout=MAX_SECONDS
    ).stdout
    key = hashlib.sha256()
    for part in (*(path.read_bytes() for path in (*sources, *headers)), version, _processor()):
        key.update(hashlib.sha256(part).digest())
    flags = (*FLAGS, f"-DNUMBER={number}")
    key.update(repr((compiler, flags)).encode())
    path = _folder() / f"native-{key.hexdigest()[:20]}.so"
    if not is_file(path):
        with _alone_in(make_directory(path.parent)):
            if not is_file(path):
                _compile([*compiler, *flags], sources, path)
    return path


def _compiler() -> list[str]:
    if named := os.environ.get("CXX"):
        return shlex.split(named)
    for name in COMPILERS:
        if found := shutil.which(name):
            return [found]
    raise NasError(f"no C++ compiler ({', '.join(COMPILERS)}) is installed")


def _processor() -> bytes:
    """What ``-march=native`` looks at: a cache folder may be shared by different machines."""
    text = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{text} {platform.processor()} {platform.node()}".encode()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join([text, *sorted({line for line in lines if line.startswith(wanted)})]).encode()


def _folder() -> Path:
    """Like `nas.data.cache.cache_folder`, which stands on a higher floor."""
    if named := os.environ.get("NAS_CACHE_DIR"):
        return Path(os.path.expanduser(named)) / "kernels"
    shared = os.environ.get("XDG_CACHE_HOME")
    home = Path(os.path.expanduser("~"))
    usable = home.is_absolute() and os.access(home, os.W_OK)
    base = Path(shared) if shared else (home if usable else Path()) / ".cache"
    return base / "diffnas" / "kernels"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Processes that start together compile once; where folders have no locks, each does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _compile(compiler: list[str], sources: Sequence[Path], path: Path) -> None:
    """Leaves the library whole, or nothing."""
    temporary = temporary_path(path.parent)
    try:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = [Path(folder) / f"{source.stem}.o" for source in sources]
            jobs = [
                pool.submit(_run, [*compiler, "-c", str(source), "-o", str(made)])
                for source, made in zip(sources, objects, strict=True)
            ]
            for job in jobs:
                job.result()
            _run([*compiler, "-shared", *map(str, objects), "-o", str(temporary)])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [""]
        raise NasError(f"{Path(command[0]).name} failed {lines[0][-200:]}".strip())
