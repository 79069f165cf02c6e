"""Types the first ten minutes of README in a fresh clone and holds each line to its promise.

Every line must end with exit status 0 (2 for the typo) and print nothing wider than 100 columns;
all of them together must take less than ten minutes, the installation not counted.

    python scripts/check_tour.py         # a clone of the committed sources in a temporary folder
    python scripts/check_tour.py --here  # this checkout and its environment, in a scratch folder
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 100
MINUTES = 10


@dataclass(frozen=True)
class Step:
    """One line of the tour."""

    line: str
    status: int = 0
    says: str = ""


TOUR = (
    Step("make search", says="next"),
    Step("nas show latest", says="next"),
    Step("nas report latest", says="report.html"),
    Step("nas search strategy=gdas --plan", says="plan"),
    Step(
        "nas search -m strategy=pc_darts,gdas seed=0,1 preset=smoke space.nodes=1 "
        "stages=[search,derive,retrain,evaluate,report]",
        says="next",
    ),
    Step("nas compare latest", says="paired"),
    Step("nas ls", says="test"),
    Step("nas search data=folder data.root=pets preset=smoke", says="classes"),
    Step("nas new space my_space", says="next"),
    Step("nas space check my_space", says="ok"),
    Step("nas convert PC_DARTS_cifar", says="Genotype("),
    Step("nas doctor"),
    Step("nas serch", status=2, says="unknown verb 'serch'; did you mean 'search'?"),
)


def main() -> int:
    """Run the tour; returns 0 if every promise held."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--here", action="store_true", help="use this checkout as it is")
    with tempfile.TemporaryDirectory(prefix="tour-") as scratch:
        place = Path(scratch)
        clone = ROOT if parser.parse_args().here else cloned(place)
        work = place / "work" if clone == ROOT else clone
        work.mkdir(exist_ok=True)
        make_pets(work / "pets")
        env = {**os.environ, "PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        return tour(clone, work, env)


def cloned(place: Path) -> Path:
    """A clone of the committed sources with its environment; that time does not count."""
    target = place / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    subprocess.run(["make", "--quiet", "setup"], cwd=target, check=True)
    return target


def tour(clone: Path, work: Path, env: dict[str, str]) -> int:
    """Type every line and print one row for each."""
    failures = []
    start = time.monotonic()
    for step in TOUR:
        # In this checkout `make search` would leave its runs among the user's.
        line = step.line if work == clone else step.line.replace("make search", "nas search")
        began = time.monotonic()
        done = subprocess.run(
            line, shell=True, cwd=work, env=env, capture_output=True, text=True, check=False
        )
        faults = list(wrong(step, done.returncode, done.stdout + done.stderr))
        took = time.monotonic() - began
        print(f"{took:6.1f} s  {'; '.join(faults) or 'ok':<12}  {line}", flush=True)
        if faults:
            print(done.stdout + done.stderr)
        failures += faults
    seconds = time.monotonic() - start
    print(f"{seconds:6.1f} s in all, {len(failures)} promises broken")
    return int(bool(failures) or seconds > 60 * MINUTES)


def wrong(step: Step, status: int, said: str) -> list[str]:
    """What a line did not keep of its promise."""
    faults = []
    if status != step.status:
        faults.append(f"exit status {status}, not {step.status}")
    if step.says and step.says not in " ".join(said.split()):
        faults.append(f"does not say {step.says!r}")
    wide = [line for line in said.splitlines() if len(line.rstrip()) > COLUMNS]
    if wide:
        faults.append(f"{len(wide)} lines over {COLUMNS} columns")
    return faults


def make_pets(folder: Path) -> None:
    """Write a small tree of images in classes: a user's own data."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "rng = np.random.default_rng(0)\n"
        "for k, name in enumerate(['cat', 'dog', 'fox']):\n"
        "    place = Path(sys.argv[1], name)\n"
        "    place.mkdir(parents=True, exist_ok=True)\n"
        "    for i in range(150):\n"
        "        image = rng.integers(0, 90, (20, 20, 3), dtype=np.uint8)\n"
        "        image[..., k] += 120\n"
        "        Image.fromarray(image).save(place / f'{i:03d}.png')\n"
    )
    python = folder.parent / ".venv" / "bin" / "python"
    used = str(python) if python.exists() else sys.executable
    subprocess.run([used, "-c", code, str(folder)], check=True)


if __name__ == "__main__":
    sys.exit(main())
