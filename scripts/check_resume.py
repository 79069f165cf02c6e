"""Kill a search again and again, resume it by the same command, and compare it bit for bit.

First comes the reference: uninterrupted runs (as many as --jobs) that must already agree. Then runs
are killed and resumed until all kills are used up: half of them at times drawn uniformly over the
reference's wall time, half at forced points: inside the write of a file, just before and just after
its rename, and between an epoch's row in metrics.jsonl and its checkpoint. For these a child wraps
the functions around the point and then calls the command; the product knows nothing of it. Prints
every kill, the SHA-256 of what the runs left, and whether they are equal; the exit status is 0 only
if all are and every sitting ended well or was stopped by its kill.

    .venv/bin/python scripts/check_resume.py
    .venv/bin/python scripts/check_resume.py --kills 80 --seed 1 --overrides strategy=darts_2nd
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to check

POINTS = ("write", "before rename", "after rename", "epoch edge")
PLACES = {"search": "/checkpoints/search/", "retrain": "/retrain/", "export": "/export/"}
FORCED = [(p, s) for s in PLACES for p in POINTS if (p, s) != ("epoch edge", "export")]
SIGNALS = ("SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGINT")
STOPPED = (-9, -15, -2, 143, 130)  # exit statuses of a process that was stopped
LEFT = "genotype.json genotypes/* plots/* retrain/*/[gw]* evaluation.json export/*.safetensors"
PER_RUN = 7
PATIENCE = 900.0  # seconds for one sitting


@dataclass(frozen=True)
class Kill:
    """At a share of the reference's time, or the ``nth`` time that ``stage`` passes a point."""

    number: int
    sign: str
    point: str
    stage: str = ""
    nth: int = 0
    share: float = 0.0


@dataclass
class Record:
    """What one run came to."""

    hashes: dict[str, str] = field(default_factory=dict)
    unused: list[Kill] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    sittings: int = 0
    resumed: int = 0
    failure: str = ""


def main() -> int:
    """Run the check as the command line says; return the exit status."""
    if sys.argv[1:2] == ["--child"]:
        return child(Kill(**json.loads(sys.argv[2])), sys.argv[3:])
    args = arguments()
    folder = Path(tempfile.mkdtemp(prefix="check_resume_"))
    began = time.monotonic()
    print(f"runs are made in {folder}")
    try:
        good = Check(folder, args).run()
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{time.monotonic() - began:.0f} s: {'all equal' if good else 'NOT EQUAL, or a failure'}")
    return 0 if good else 1


class Check:
    """The reference, the killed runs, and their comparison."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args, self.numbers = folder, args, count(1)
        often = "checkpoint_seconds=0.2"  # or kills would find none
        self.settings = ["preset=smoke", f"threads={args.threads}", often, *args.overrides]
        self.wall = self.start_up = 0.0

    def run(self) -> bool:
        """Do everything; True if nothing differs and nothing failed."""
        print(f"nas search {' '.join(self.settings)}, kills drawn with seed {self.args.seed}")
        with ThreadPoolExecutor(self.args.jobs) as pool:
            began = time.time()
            records = list(pool.map(self.one_run, [[]] * self.args.jobs))
            if not all(record.hashes for record in records):
                return conclude(records)
            self.wall, self.start_up = (self.age(name) - began for name in ("status", "splits"))
            jobs = f"{self.args.jobs} at a time"
            print(f"reference: {self.wall:.0f} s, {self.start_up:.0f} s of them start-up, {jobs}")
            print("seed  no. run  signal   kill point                  reached", flush=True)
            pending, attempt = [*range(1, self.args.kills + 1)], 0
            while pending and not any(record.failure for record in records):
                kills = [drawn(number, attempt, self.args.seed) for number in pending]
                found = list(pool.map(self.one_run, shared(kills)))
                pending = sorted(kill.number for record in found for kill in record.unused)
                records, attempt = [*records, *found], attempt + 1
        return conclude(records)

    def age(self, name: str) -> float:
        """When the last of the runs' files of this name was written."""
        return max(path.stat().st_mtime for path in self.folder.glob(f"*/*/*/{name}.json"))

    def one_run(self, kills: Sequence[Kill]) -> Record:
        """Start a fresh run, kill and resume it as said, let it end, and hash what it left."""
        number = next(self.numbers)
        root, record, share = self.folder / f"run{number:02d}", Record(), 0.0
        root.mkdir()
        waiting = sorted(kills, key=lambda kill: (*PLACES, "").index(kill.stage) + kill.share)
        while True:
            kill = waiting.pop(0) if waiting else None
            began = time.monotonic()
            status, output = self.sitting(root, kill, share)
            record.sittings += 1
            record.resumed += "resumed from epoch" in output
            if status == 0:  # it ended before the kill
                record.unused = [*([kill] if kill else []), *waiting]
                record.hashes = hashes(root)
                return record
            stage, newest, state = reached(root)
            stopped = status in STOPPED or "KeyboardInterrupt" in output  # in Python's own start
            if kill is None or not stopped or state not in ("interrupted", "finished", ""):
                what = f"run {number}: exit status {status}, state {state!r}"
                record.failure = f"{what}\n{output[-2000:]}"
                return record
            share = kill.share
            record.stages.append(stage)
            point = (
                f"{kill.point}, {kill.stage}, {kill.nth}." if kill.stage else f"time {share:.3f}"
            )
            row = (self.args.seed, kill.number, number, kill.sign, point, f"{stage} {newest}")
            line = "{:4d} {:4d} {:3d}  {:8s} {:27s} {:33s}".format(*row)
            print(f"{line} {time.monotonic() - began:6.1f} s", flush=True)

    def sitting(self, root: Path, kill: Kill | None, share: float) -> tuple[int, str]:
        """The command once; returns its exit status and what it printed."""
        line = ["search", *self.settings, f"runs={root}"]
        command, patience = [sys.executable, "-m", "nas", *line], PATIENCE
        if kill is not None and kill.stage:
            command = [sys.executable, __file__, "--child", json.dumps(asdict(kill)), *line]
        elif kill is not None:
            # A later sitting first gets to where the one before was; some are killed on the way.
            chance = random.Random(f"{self.args.seed}/{kill}").uniform(0, 2) if share else 0.0
            patience = self.wall * (kill.share - share) + self.start_up * chance
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "NAS_DEBUG": "1"}
        with (root / "output.txt").open("w+b") as output:
            process = subprocess.Popen(
                command, cwd=root, env=environ, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.Signals[kill.sign if kill else "SIGKILL"])
                process.wait(PATIENCE)
            output.seek(0)
            return process.returncode, output.read().decode(errors="replace")


def drawn(number: int, attempt: int, seed: int) -> Kill:
    """A kill by its number: even ones at times, odd ones at forced points."""
    draw = random.Random(f"{seed}/{number}/{attempt}")
    sign = draw.choice(SIGNALS)
    if number % 2 == 0:
        return Kill(number, sign, "time", share=draw.random())
    point, stage = FORCED[number // 2 % len(FORCED)]
    return Kill(number, sign, point, stage, draw.randint(1, 2 if point == "epoch edge" else 3))


def shared(kills: Sequence[Kill]) -> list[list[Kill]]:
    """The kills of each run; a run has kills of one kind."""
    found = []
    for kind in ([kill for kill in kills if kill.stage], [k for k in kills if not k.stage]):
        runs = -(-len(kind) // PER_RUN)
        found += [kind[index::runs] for index in range(runs)]
    return found


def reached(root: Path) -> tuple[str, str, str]:
    """Stage and newest checkpoint of it after a kill, and the state that the run's folder tells."""
    from nas.store.folder import RunFolder

    for path in root.glob("*/*/status.json"):
        folder = RunFolder(path.parent)
        status = folder.status()
        files = sorted(file.stem for file in folder.checkpoints(status.stage).glob("*.ckpt"))
        return status.stage or status.state, files[-1] if files else "", status.state
    return "start-up", "", ""


def hashes(root: Path) -> dict[str, str]:
    """SHA-256 of everything that must not depend on interruptions, by name."""
    from nas.engine.checkpoint import Checkpointer
    from nas.files import sha256

    (folder,) = (path.parent for path in root.glob("*/*/status.json"))
    files = [path for pattern in LEFT.split() for path in sorted(folder.glob(pattern))]
    found = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    loaded = Checkpointer(folder / "checkpoints/search", folder.name.rpartition("-")[2]).latest()
    for part, state in loaded.state["update"].items() if loaded else ():
        found[f"last checkpoint of the search: {part}"] = tree_hash(state)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    plain = [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    found["metrics.jsonl without seconds"] = sha256(json.dumps(plain).encode())
    return found


def tree_hash(tree: Any) -> str:
    """SHA-256 over the names, types, shapes and bytes of a nesting of tensors and plain values."""
    import torch
    from torch.utils._pytree import keystr, tree_flatten_with_path

    digest = hashlib.sha256()
    for path, leaf in tree_flatten_with_path(tree)[0]:
        digest.update(keystr(path).encode())
        if isinstance(leaf, torch.Tensor):
            digest.update(f"{leaf.dtype} {tuple(leaf.shape)}".encode())
            digest.update(leaf.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def conclude(records: Sequence[Record]) -> bool:
    """Print hashes and sums; True if all is equal and nothing failed."""
    whole = [record.hashes for record in records if record.hashes]
    names = sorted({name for found in whole for name in found})
    for name in names:
        differing = sum(found.get(name) != whole[0].get(name) for found in whole)
        verdict = f"{differing} DIFFER" if differing else "equal"
        print(f"{whole[0].get(name, 'absent')[:16]}  {verdict:8s}  {name}")
    for record in records:
        if record.failure:
            print(f"FAILED {record.failure}")
    stages = [stage.partition("/")[0] for record in records for stage in record.stages]
    each = ", ".join(f"{stage} {stages.count(stage)}" for stage in dict.fromkeys(sorted(stages)))
    resumed = sum(record.resumed for record in records)
    print(f"{len(stages)} kills ({each}); {len(records)} runs, {len(whole)} to their end;", end=" ")
    print(f"{resumed} of {sum(r.sittings for r in records)} sittings resumed from a checkpoint")
    equal = all(found == whole[0] for found in whole)
    return bool(names) and equal and not any(record.failure for record in records)


def child(kill: Kill, line: Sequence[str]) -> int:
    """Run the command in this process, which sends itself a signal at the point of ``kill``."""
    from nas import files
    from nas.cli import main as nas
    from nas.store.metrics import MetricsFile

    write, rename, append = files._write_synced, os.replace, MetricsFile.append
    passed = count(1)

    def die(point: str, path: object) -> None:
        there = kill.point == point and PLACES[kill.stage] in Path(str(path)).as_posix()
        if there and next(passed) == kill.nth:
            os.kill(os.getpid(), signal.Signals[kill.sign])

    def wrapped_write(path: Path, payload: Any, flags: int) -> None:
        half = len(payload) // 2
        write(path, memoryview(payload)[:half], flags)
        die("write", path)
        write(path, memoryview(payload)[half:], os.O_WRONLY | os.O_APPEND)

    def wrapped_rename(source: Any, target: Any) -> None:
        die("before rename", target)
        rename(source, target)
        die("after rename", target)

    def wrapped_append(self: MetricsFile, row: Mapping[str, Any]) -> None:
        append(self, row)
        die("epoch edge", f"/checkpoints/{row['stage']}/row")

    files._write_synced = wrapped_write
    os.replace = wrapped_rename  # type: ignore[assignment]
    MetricsFile.append = wrapped_append  # type: ignore[method-assign]
    return nas(list(line))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=40, help="how many, in all runs together")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of torch, in every run")
    parser.add_argument(
        "--keep", action="store_true", help="leave the runs in the temporary folder"
    )
    parser.add_argument("--overrides", nargs="*", default=[], help="more settings of nas search")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
