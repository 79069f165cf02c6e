"""``nas doctor``: whether this machine can search, with a remedy for what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.version import Version

import nas
from nas import console
from nas.cli.look import Look

State = Literal["ok", "note", "fails"]
DISTRIBUTION = "diffnas"
PYTHON_FLOOR = (3, 11)
DISK_FLOOR = 200e6  # bytes; a run of the main job writes about a tenth of it
MEMORY_FLOOR = 1.5e9  # bytes; importing torch takes about a third of it
_UPGRADE = "pip install"


@dataclass(frozen=True)
class Check:
    """One line of the doctor: ``fails`` prevents a search, a ``note`` does not."""

    name: str
    state: State
    text: str
    remedy: str = ""


def look(line: Look) -> int:
    """``nas doctor``."""
    return doctor(json=line.json)


def doctor(*, json: bool) -> int:
    """Print every check as a table or as JSON; return 1 if something prevents a search, else 0."""
    found = list(checks())
    failing = [check for check in found if check.state == "fails"]
    if json:
        console.emit({"ok": not failing, "checks": [asdict(check) for check in found]})
        return int(bool(failing))
    console.table((check.name, check.state, check.text) for check in found)
    remedies = [check for check in found if check.remedy]
    if remedies:
        console.say()
    for check in remedies:
        console.say(f"{check.name}: {check.remedy}")
    console.say()
    if failing:
        names = ", ".join(check.name for check in failing)
        console.say(f"a search cannot run here: {names}", style="bold red")
    else:
        console.say("a search can run here; next  nas search", style="bold")
    return int(bool(failing))


def checks() -> Iterator[Check]:
    """Yield every check; none raises, whatever the machine is like."""
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _torch,
        _torchvision,
        _packages,
        _device,
        _compiler,
        _folders,
        _memory,
    )
    for part in parts:
        try:
            yield from part()
        except Exception as error:  # a doctor that dies of the illness helps nobody
            name = part.__name__.lstrip("_")
            yield Check(name, "note", f"could not be checked ({_reason(error)})")


def _python() -> Iterator[Check]:
    state: State = "ok" if sys.version_info[:2] >= PYTHON_FLOOR else "fails"
    remedy = "" if state == "ok" else "install Python 3.11 or newer"
    yield Check("python", state, f"{platform.python_version()} on {platform.platform()}", remedy)


def _torch() -> Iterator[Check]:
    version = _version("torch")
    if version is None:
        yield Check("torch", "fails", "not installed", f"{_UPGRADE} torch")
        return
    try:
        import_module("torch")
    except Exception as error:
        remedy = "reinstall it: pip install --force-reinstall torch torchvision"
        yield Check("torch", "fails", f"{version} does not import ({_reason(error)})", remedy)
        return
    yield Check("torch", "ok", version)


def _torchvision() -> Iterator[Check]:
    version, torch = _version("torchvision"), _version("torch")
    if version is None:
        remedy = f"{_UPGRADE} torchvision (image data sets need it; digits does not)"
        yield Check("torchvision", "note", "not installed", remedy)
        return
    try:
        import_module("torchvision")
    except Exception as error:
        text = f"{version} does not import beside torch {torch} ({_reason(error)})"
        yield Check("torchvision", "note", text, mismatch_remedy(str(torch), version))
        return
    yield Check("torchvision", "ok", f"{version} beside torch {torch}")


def mismatch_remedy(torch: str, torchvision: str) -> str:
    """Return what to do when torchvision does not import beside this torch.

    The known case is a ``+cpu`` torch with the registry's torchvision, which is built for CUDA
    ("operator torchvision::nms does not exist"): both must come from the same index.
    """
    build = torch.partition("+")[2]
    tail = " (image data sets need it; digits does not)"
    if build and build != torchvision.partition("+")[2]:
        index = f"https://download.pytorch.org/whl/{build}"
        return (
            f"torch is the {build} build and torchvision is not; take both from one index: "
            f"pip install --force-reinstall torch torchvision --index-url {index}{tail}"
        )
    return f"install the pair again: pip install --force-reinstall torch torchvision{tail}"


def _packages() -> Iterator[Check]:
    for need in requirements():
        if need.name in ("torch", "torchvision"):
            version = _version(need.name)
            if version and not need.specifier.contains(Version(version).public, prereleases=True):
                yield Check(need.name, "note", f"{version} is outside {need.specifier}", _ask(need))
            continue
        extra = _extra(need)
        if extra is None:
            yield _installed(need)
    for extra, needs in _extras().items():
        yield _extra_check(extra, needs)


def _installed(need: Requirement) -> Check:
    version = _version(need.name)
    if version is None:
        return Check(need.name, "fails", "not installed", _ask(need))
    if not need.specifier.contains(version, prereleases=True):
        return Check(need.name, "note", f"{version} is outside {need.specifier}", _ask(need))
    return Check(need.name, "ok", version)


def _extra_check(extra: str, needs: list[Requirement]) -> Check:
    missing = [need.name for need in needs if _version(need.name) is None]
    if missing:
        target = f"-e '.[{extra}]'" if _project_file().is_file() else f"'{DISTRIBUTION}[{extra}]'"
        return Check(f"[{extra}]", "note", f"without {', '.join(missing)}", f"{_UPGRADE} {target}")
    return Check(f"[{extra}]", "ok", ", ".join(f"{n.name} {_version(n.name)}" for n in needs))


def requirements() -> list[Requirement]:
    """Return what pyproject.toml asks for, read from the checkout or the installed metadata."""
    file = _project_file()
    if not file.is_file():
        return [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    import tomllib

    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    texts = list(project["dependencies"])
    texts += [f"{text}; extra == '{extra}'" for extra, needs in extras.items() for text in needs]
    return [Requirement(text) for text in texts]


def _project_file() -> Path:
    return Path(nas.__file__).resolve().parents[1] / "pyproject.toml"


def _extra(need: Requirement) -> str | None:
    match = re.search(r"extra == ['\"]([\w-]+)['\"]", str(need.marker or ""))
    return match[1] if match else None


def _extras() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for need in requirements():
        extra = _extra(need)
        if extra:
            found.setdefault(extra, []).append(need)
    return found


def _ask(need: Requirement) -> str:
    return f"{_UPGRADE} '{need.name}{need.specifier}'"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device() -> Iterator[Check]:
    torch = import_module("torch")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("threads", "ok", f"{torch.get_num_threads()} of torch on {cores} usable cores")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Check("device", "ok", f"device=auto takes cuda: {', '.join(names)}")
    else:
        yield Check("device", "ok", "device=auto takes cpu; no CUDA device can be used")


def _compiler() -> Iterator[Check]:
    names = (os.environ.get("CXX", ""), "g++", "clang++", "cl")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    text = found or "none: compile=true cannot work on the processor"
    yield Check("compiler", "ok" if found else "note", text)


def _folders() -> Iterator[Check]:
    yield _writable(
        "runs/", Path("runs"), "fails", "work in a folder of your own, or give runs=FOLDER"
    )
    free = shutil.disk_usage(_existing(Path("runs"))).free
    state: State = "ok" if free >= DISK_FLOOR else "fails"
    remedy = "" if state == "ok" else "free some space, or give runs=FOLDER on another disk"
    yield Check("disk", state, f"{free / 1e9:.1f} GB free for runs/", remedy)
    yield _writable("HOME", Path.home(), "note", "")


def _existing(folder: Path) -> Path:
    """Return the folder or its nearest parent that exists."""
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())


def _writable(name: str, folder: Path, otherwise: State, remedy: str) -> Check:
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        text = f"{place} cannot be written ({error.strerror})"
        return Check(
            name,
            otherwise,
            text if remedy else f"{text}: caches need another place",
            remedy,
        )
    return Check(name, "ok", f"{place} can be written")


def _memory() -> Iterator[Check]:
    free = available_memory()
    if free is None:
        return
    state: State = "ok" if free >= MEMORY_FLOOR else "note"
    remedy = "" if state == "ok" else "close other programs, or use preset=smoke"
    yield Check("memory", state, f"{free / 1e9:.1f} GB available", remedy)


def available_memory(root: Path = Path("/")) -> float | None:
    """Return the bytes of memory a new process may take, or None where nothing tells.

    The lesser of what the system has and what the control group of a container leaves.
    """
    found = []
    meminfo = root / "proc" / "meminfo"
    if meminfo.is_file():
        match = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
        found += [1024.0 * int(match[1])] if match else []
    group = root / "sys" / "fs" / "cgroup"
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file():
        text = limit.read_text(encoding="ascii").strip()
        found += [] if text == "max" else [float(text) - float(used.read_text(encoding="ascii"))]
    return min(found, default=None)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
