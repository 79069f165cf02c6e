"""The record of the machine, the programs and the sources a run was made with (``env.json``)."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nas.store.identity import own_source_digest

UNKNOWN = "unknown"

# Direct dependencies, those of the extras included; a test compares them with pyproject.toml.
PACKAGES = (
    "torch",
    "torchvision",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scipy",
    "scikit-learn",
    "networkx",
    "matplotlib",
    "tensorboard",
    "rich",
    "safetensors",
    "msgspec",
    "filelock",
    "packaging",
    "onnx",
    "onnxscript",
    "onnxruntime",
)


def environment(
    data_fingerprint: str,
    *,
    device: str = "cpu",
    command: Sequence[str] | None = None,
    choices: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    plugins: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the content of ``env.json``; what cannot be found out is ``"unknown"``, no error.

    ``choices`` are those of the config groups, ``overrides`` the settings that were given,
    ``plugins`` the digests of the sources of the user's own packages.
    Devices other than the CPU are asked for their names only if ``device`` says they are used.
    Memory is in bytes, ``started`` in UTC.
    """
    import torch

    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(sys.argv if command is None else command),
        "overrides": list(overrides),
        "choices": dict(choices or {}),
        "git": git_state(Path(__file__).resolve().parents[1]),
        "source": _known(own_source_digest),
        "plugins": dict(plugins or {}),
        "data": data_fingerprint,
        "python": platform.python_version(),
        "platform": _known(platform.platform),
        "cpu": {**cpu(), "usable_cores": _known(_usable_cores)},
        "memory": _known(_memory),
        "torch": {"threads": torch.get_num_threads(), "cuda": torch.version.cuda or "none"},
        "devices": _known(lambda: _device_names(device)),
        "packages": {name: version for name in PACKAGES if (version := package_version(name))},
    }


def cpu() -> dict[str, Any]:
    """Return ``{"model", "cores"}`` of this machine's processor, by which it is known again."""
    return {"model": _known(_cpu_model), "cores": os.cpu_count() or UNKNOWN}


def machine() -> dict[str, Any]:
    """Return what a measured time depends on: cpu, os, torch and its threads."""
    import torch

    return {
        "cpu": cpu(),
        "os": _known(platform.platform),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def sources(env: Mapping[str, Any]) -> list[str]:
    """Return the digests of all versions of our source that worked on a run, in their order."""
    return [str(env.get("source", UNKNOWN)), *map(str, env.get("later_sources") or ())]


def continued(env: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the record of a run that goes on with ``source``; unchanged if it did so before."""
    if sources(env)[-1] == source:
        return dict(env)
    return {**env, "later_sources": [*sources(env)[1:], source]}


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any]:
    """Return ``{"revision", "dirty"}`` of the repository that tracks the sources in ``folder``.

    Both are ``"unknown"`` without git, outside a repository, and for an installed copy that only
    lies inside one, such as in a virtual environment.
    """
    tracked = _git(folder, "ls-files", "--", ".")
    revision = _git(folder, "rev-parse", "HEAD") if tracked else None
    if not revision:
        return {"revision": UNKNOWN, "dirty": UNKNOWN}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": UNKNOWN if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            timeout=20,
            env=environ,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def _known(ask: Callable[[], Any]) -> Any:
    """Return what ``ask`` finds out; a machine may fail to answer in any way, none of which counts.

    A run is worth more than the record of it.
    """
    try:
        return ask()
    except Exception:
        return UNKNOWN


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, models), "") or platform.processor() or UNKNOWN


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _device_names(device: str) -> list[str]:
    import torch

    if not device.startswith("cuda"):
        return ["cpu"]
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
