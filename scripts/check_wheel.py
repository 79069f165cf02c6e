"""Build the wheel, install it in an empty environment elsewhere, and run ``nas search`` there.

Nothing of the checkout may be needed: the search runs in an empty folder outside of it, with
neither the development tools nor the extra ``export`` installed. Then a search on a space of a
user's own, from a folder of one .py and one .yaml, and one from a package that is installed with an
entry point. Prints every command with its seconds, then what the run left behind; the exit status
is 0 only if all of it worked.

    .venv/bin/python scripts/check_wheel.py
    .venv/bin/python scripts/check_wheel.py --python python3.12 --installer pip --keep
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CARRIED = ("nas/__init__.py", "nas/py.typed", "nas/configs/", "search_spaces/__init__.py")
LEFT_BEHIND = ("genotype.json", "result.json", "report.html")
# Variables that would let the checkout, or another environment, shine through.
LEAKS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NAS_DATA_DIR")
SPACE = '''"""One convolution whose kernel is searched."""

from torch import nn

from nas import DataSpec, Decision
from nas.searchable import MixedOp


class Tiny:
    """A stem, one convolution, a head."""

    def __init__(self, data: DataSpec, width: int = 4) -> None:
        self.data, self.width = data, width

    def supernet(self) -> nn.Module:
        return self._net(MixedOp)

    def network(self, genotype) -> nn.Module:
        return self._net(lambda decision, make, channels: make(genotype[decision.name], channels))

    def _net(self, choose) -> nn.Module:
        def conv(size, channels):
            return nn.Conv2d(channels, channels, size, padding=size // 2)

        layer = choose(Decision("kernel", (1, 3)), conv, channels=self.width)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        stem = nn.Conv2d(self.data.channels, self.width, 1)
        return nn.Sequential(stem, layer, head, nn.Linear(self.width, self.data.outputs))
'''
PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "toy-lab"
version = "1.0"

[project.entry-points."nas.plugins"]
toy = "toy_lab"
"""
QUICK = ("preset=smoke", "stages=[search,derive]")
WHERE = "import json, nas, search_spaces; print(json.dumps([nas.__file__, search_spaces.__file__]))"


def main() -> int:
    """Run the check as the command line says; return the exit status."""
    args = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="check_wheel_")).resolve()
    try:
        check(folder, args.python, args.installer, args.constraints, args.overrides)
    except CheckError as error:
        print(f"FAILED: {error}", flush=True)
        return 1
    finally:
        if args.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("the wheel runs on its own")
    return 0


class CheckError(Exception):
    """A step that did not do what it should."""


def check(
    folder: Path, python: str, installer: str, constraints: Path | None, overrides: Sequence[str]
) -> None:
    """Build, install and run in ``folder``.

    Raises:
        CheckError: a command failed, or the wheel or the run lacks something.
    """
    wheel = build(folder / "dist", installer)
    environment = install(wheel, folder / "env", python, installer, constraints)
    empty = folder / "empty"
    empty.mkdir()
    outside(environment, empty)
    run([environment / "nas", "search", *overrides], cwd=empty)
    left = empty / "runs" / "latest"
    if left.is_file():  # a text file where symlinks are impossible
        left = left.parent / left.read_text(encoding="utf-8").strip()
    print(f"left in {left.resolve().relative_to(empty)}:", *sorted(os.listdir(left)))
    if missing := [name for name in LEFT_BEHIND if not (left / name).is_file()]:
        raise CheckError(f"the run left no {', '.join(missing)}")
    own_folder(environment, folder / "own")
    own_package(environment, folder / "package", installer)


def own_folder(environment: Path, folder: Path) -> None:
    """Search a space of one .py and one .yaml in a folder that is nobody's package."""
    (folder / "conf" / "space").mkdir(parents=True)
    (folder / "my_space.py").write_text(SPACE, encoding="utf-8")
    file = folder / "conf" / "space" / "mine.yaml"
    file.write_text("# Mine.\n_target_: my_space.Tiny\nwidth: 8\n", encoding="utf-8")
    nas = environment / "nas"
    words = ["plugins=[my_space]", "--config-dir", "conf", "space=mine"]
    run([nas, "search", *words, *QUICK], cwd=folder)
    found(folder, "mine")
    run([nas, "search", *words[:1], "space._target_=my_space.Tiny", *QUICK], cwd=folder)
    found(folder, "tiny")


def own_package(environment: Path, folder: Path, installer: str) -> None:
    """Install a package with an entry point and search its space from an empty folder."""
    package = folder / "toy_lab"
    (package / "conf" / "space").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "space.py").write_text(SPACE, encoding="utf-8")
    file = package / "conf" / "space" / "toy.yaml"
    file.write_text("# A toy.\n_target_: toy_lab.space.Tiny\n", encoding="utf-8")
    run([*pip(environment, installer), "--no-deps", folder], cwd=folder)
    empty = folder / "empty"
    empty.mkdir()
    listed = run([environment / "nas", "plugin", "--json"], cwd=empty, capture=True)
    adds = [row["adds"] for row in json.loads(listed)["plugins"]]
    if adds != [{"space": ["toy"]}]:
        raise CheckError(f"nas plugin lists {adds}")
    run([environment / "nas", "search", "space=toy", *QUICK], cwd=empty)
    found(empty, "toy")


def found(folder: Path, space: str) -> None:
    """Fail unless a run on ``space`` left a genotype."""
    if not list(folder.glob(f"runs/*/{space}-*/genotype.json")):
        raise CheckError(f"no genotype of space {space} in {folder}")


def build(dist: Path, installer: str) -> Path:
    """Build the wheel into ``dist``, look into it, and return its path."""
    if installer == "uv":
        run(["uv", "build", "--wheel", "--out-dir", dist, ROOT], cwd=ROOT)
    else:
        run([sys.executable, "-m", "build", "--wheel", "--outdir", dist, ROOT], cwd=ROOT)
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size // 1024} KiB")
    if absent := [part for part in CARRIED if not any(name.startswith(part) for name in names)]:
        raise CheckError(f"the wheel does not carry {', '.join(absent)}")
    return wheel


def install(wheel: Path, env: Path, python: str, installer: str, constraints: Path | None) -> Path:
    """Install the wheel into a new environment; return the folder of its commands."""
    commands = env / ("Scripts" if os.name == "nt" else "bin")
    pins: list[str | Path] = ["-c", constraints.resolve()] if constraints else []
    if installer == "uv":
        run(["uv", "venv", "--no-project", "--python", python, env], cwd=env.parent)
    else:
        run([python, "-m", "venv", env], cwd=env.parent)
    run([*pip(commands, installer), wheel, *pins], cwd=env.parent)
    return commands


def pip(commands: Path, installer: str) -> list[str | Path]:
    """Return the beginning of a command that installs into the environment."""
    if installer == "uv":
        return ["uv", "pip", "install", "--python", commands / "python"]
    return [commands / "python", "-m", "pip", "install", "--disable-pip-version-check", "-q"]


def outside(environment: Path, empty: Path) -> None:
    """Fail unless both packages are imported from the new environment."""
    printed = run([environment / "python", "-c", WHERE], cwd=empty, capture=True)
    for path in json.loads(printed):
        print(f"imports {path}")
        if environment.parent not in Path(path).resolve().parents:
            raise CheckError(f"{path} lies outside of {environment.parent}")


def run(command: Sequence[str | Path], cwd: Path, capture: bool = False) -> str:
    """Run and print a command with its seconds; return what it printed where ``capture`` is set."""
    words = [str(word) for word in command]
    print(f"$ {shlex.join(words)}", flush=True)
    environ = {name: value for name, value in os.environ.items() if name not in LEAKS}
    began = time.monotonic()
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environ,
        check=False,
        text=True,
        stdout=subprocess.PIPE if capture else None,
    )
    print(f"  exit status {done.returncode} after {time.monotonic() - began:.1f} s", flush=True)
    if done.returncode != 0:
        raise CheckError(f"{words[0]} ended with exit status {done.returncode}")
    return done.stdout or ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the Python to install it in")
    parser.add_argument(
        "--installer", choices=("uv", "pip"), default="uv" if shutil.which("uv") else "pip"
    )
    parser.add_argument(
        "--constraints",
        type=lambda text: Path(text) if text else None,
        default=ROOT / "constraints.txt",
        help="pins; '' for the newest versions",
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with everything in it")
    parser.add_argument(
        "overrides", nargs="*", default=["preset=smoke"], help="what nas search gets"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
