"""One run's folder: where its files are, who works in it, how far it is; and how runs are found."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from nas.dataspec import DataSpec
from nas.errors import NasError, nearest
from nas.files import explain, is_file, make_directory, read_json, write_json
from nas.store.pointer import LATEST, SWEEPS, point_latest, pointed_at

STATES = ("running", "interrupted", "failed", "finished", "unknown")
GOING, GONE = ".going", ".gone"  # folders inside the run's, for what is being removed
# Looking whether a lock is held takes it for a moment; a start must outwait that.
_LOCK_PATIENCE = 1.0


@dataclass(frozen=True)
class Status:
    """How far a run is; times are ISO 8601 in UTC, empty where not known."""

    state: str = "unknown"
    stage: str = ""
    started: str = ""
    updated: str = ""
    finished: str = ""
    message: str = ""


@dataclass(frozen=True)
class RunFolder:
    """The folder ``<runs>/<experiment>/<name>`` and the places in it (which need not exist)."""

    path: Path

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Make the folder where it is absent; NasError if that is impossible."""
        return cls(make_directory(path))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Return the folder; NasError if ``path`` is no run folder."""
        folder = cls(Path(path))
        if not folder.is_run():
            raise NasError(f"{folder.path} is no run folder; `nas ls` lists the runs there are")
        return folder

    def is_run(self) -> bool:
        """Tell whether a run has left its settings or its status here."""
        return is_file(self.config) or is_file(self.status_file)

    @property
    def name(self) -> str:
        """The folder's own name, ``<space>-<strategy>-s<seed>-<hash6>``."""
        return self.path.name

    @property
    def hash(self) -> str:
        """The six digits of the name: owner of the run's checkpoints."""
        return self.name.rpartition("-")[2]

    @property
    def label(self) -> str:
        """``<experiment>/<name>``: what tells this run from all others."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def config(self) -> Path:
        """The resolved settings."""
        return self.path / "config.yaml"

    @property
    def env(self) -> Path:
        """The machine and programs (`nas.store.environment`)."""
        return self.path / "env.json"

    @property
    def status_file(self) -> Path:
        """What `status` reads."""
        return self.path / "status.json"

    @property
    def splits(self) -> Path:
        """The indices of the data splits."""
        return self.path / "splits.json"

    @property
    def data(self) -> Path:
        """What a network has to know of the data."""
        return self.path / "data.json"

    def data_spec(self) -> DataSpec:
        """The specification of the run's data; NasError where it is missing or damaged."""
        return DataSpec.from_json(read_json(self.data))

    @property
    def metrics(self) -> Path:
        """The rows of `nas.store.metrics`."""
        return self.path / "metrics.jsonl"

    @property
    def genotype(self) -> Path:
        """The genotype found."""
        return self.path / "genotype.json"

    def genotype_at(self, epoch: int) -> Path:
        """The genotype as it was after ``epoch``."""
        return self.path / "genotypes" / f"epoch_{epoch:03d}.json"

    def genotype_named(self, name: str) -> Path:
        """A genotype that was found beside the first, for a target of its own."""
        return self.path / "genotypes" / f"{name}.json"

    @property
    def result(self) -> Path:
        """The figures of the finished run."""
        return self.path / "result.json"

    def checkpoints(self, stage: str) -> Path:
        """The folder of the checkpoints of ``stage``, such as ``search`` or ``retrain/found``."""
        return self.path / "checkpoints" / stage

    @property
    def plots(self) -> Path:
        """The folder of the pictures."""
        return self.path / "plots"

    @property
    def tb(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tb"

    def retrain(self, name: str) -> Path:
        """The folder of the retrained network ``name``."""
        return self.path / "retrain" / name

    @property
    def export(self) -> Path:
        """The folder of the exported files."""
        return self.path / "export"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    def status(self) -> Status:
        """Return how far the run is; one that runs no more although it says so is interrupted.

        A missing or damaged ``status.json`` gives the state ``unknown``. Whether a run runs is
        told by its `lock`, which the system frees even for a killed process.
        """
        stored = self._stored_status()
        if stored.state == "running" and not self.held():
            return replace(stored, state="interrupted")
        return stored

    def set_status(self, state: str, *, stage: str | None = None, message: str = "") -> Status:
        """Write ``status.json``; the first start and, without ``stage``, the stage stay."""
        if state not in STATES:
            raise ValueError(f"unknown state {state!r}; one of {STATES}")
        before, now = self._stored_status(), _now()
        status = Status(
            state=state,
            stage=before.stage if stage is None else stage,
            started=before.started or now,
            updated=now,
            finished=now if state == "finished" else "",
            message=message,
        )
        write_json(self.status_file, asdict(status))
        return status

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process out of the folder; NasError naming the holder if one is in."""
        make_directory(self.path)
        lock = FileLock(self._lock_file, timeout=_LOCK_PATIENCE)
        try:
            lock.acquire(poll_interval=0.05)
        except Timeout:
            raise NasError(
                f"{self.path} is in use by {self._holder()}: wait for it to end, or stop it, "
                "and repeat the command"
            ) from None
        except OSError as error:
            raise explain(error, self._lock_file, "lock") from error
        try:
            write_json(self._holder_file, {"pid": os.getpid(), "host": platform.node()})
            yield
        finally:
            with suppress(OSError):
                self._holder_file.unlink()
            lock.release()

    def held(self) -> bool:
        """Tell whether a process, this one included, is in the folder by `lock`."""
        if not self._lock_file.exists():
            return False
        try:
            with FileLock(self._lock_file, timeout=0):
                return False
        except OSError:  # taken, or on a disk where this user cannot tell
            return True

    def point_latest(self) -> bool:
        """Let ``<runs>/latest`` lead here; False if that is a user's own file, left alone."""
        return point_latest(self.path.parent.parent, self.path)

    @property
    def _lock_file(self) -> Path:
        return self.path / ".lock"

    @property
    def _holder_file(self) -> Path:
        return self.path / ".holder.json"

    def _holder(self) -> str:
        try:
            holder = read_json(self._holder_file)
            return f"process {holder['pid']} on {holder['host']}"
        except (NasError, KeyError, TypeError):
            return "another process"

    def _stored_status(self) -> Status:
        try:
            stored = read_json(self.status_file)
        except NasError:
            return Status()
        if not isinstance(stored, dict) or stored.get("state") not in STATES:
            return Status(message=f"{self.status_file.name} is damaged")
        names = [field.name for field in fields(Status)]
        return Status(**{name: str(stored.get(name) or "") for name in names})


def runs(root: str | os.PathLike[str]) -> list[tuple[RunFolder, Status]]:
    """Return the run folders below ``root`` with their status, the last updated first."""
    found = [(folder, folder.status()) for folder in _folders(Path(root))]
    return sorted(found, key=lambda run: (run[1].updated, run[0].label), reverse=True)


def resolve(text: str, root: str | os.PathLike[str]) -> RunFolder:
    """Return the run that ``text`` names.

    ``text`` is ``latest``, a path, ``<experiment>/<name>``, or the beginning or the end of the
    name of just one run below ``root``. Raises NasError with the nearest names otherwise, and for
    a sweep, which is many runs.
    """
    base = Path(root)
    if text == LATEST:
        return RunFolder(_one_run(latest_of(base), text))
    path = Path(text).expanduser()
    path = _one_run(pointed_at(path) or path, text)
    if text and path.is_dir() and RunFolder(path).is_run():
        return RunFolder(path)
    folders = _folders(base)
    exact = [folder for folder in folders if text in (folder.name, folder.label)]
    close = [folder for folder in folders if text and _matches(folder, text)]
    candidates = exact or close
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        several = ", ".join(folder.label for folder in candidates[:5])
        raise NasError(f"{text!r} fits {len(candidates)} runs ({several}): write more of the name")
    if text and (base / SWEEPS / text).is_dir():
        _one_run(base / SWEEPS / text, text)
    raise NasError(f"no run {text!r} in {base}{_hint(text, folders)}")


def _matches(folder: RunFolder, text: str) -> bool:
    known = (folder.name, folder.label)
    return any(name.startswith(text) or name.endswith(text) for name in known)


def _hint(text: str, folders: list[RunFolder]) -> str:
    if not folders:
        return ": there is no run yet, start one with `nas search`"
    named = nearest(text, [name for folder in folders for name in (folder.name, folder.label)])
    listed = ", ".join(folder.name for folder in folders[:3])
    return named or f": there are {len(folders)}, such as {listed}; `nas ls` shows all"


def _one_run(path: Path, text: str) -> Path:
    if path.parent.name == SWEEPS:
        is_sweep = f"{text} is the sweep {path}" if text != str(path) else f"{path} is a sweep"
        raise NasError(f"{is_sweep}, many runs; name one of them, `nas show {text}` lists them")
    return path


def latest_of(root: Path) -> Path:
    """Return the folder of the newest run or sweep; NasError where ``latest`` leads to none."""
    link = root / LATEST
    target = pointed_at(link)
    if target is None:
        what = "is no pointer to a run" if os.path.lexists(link) else "does not exist"
        raise NasError(f"{link} {what}{_hint(LATEST, _folders(root))}")
    if not target.is_dir():
        raise NasError(f"{link} leads to {target}, which is gone{_hint('', _folders(root))}")
    return target


def _folders(root: Path) -> list[RunFolder]:
    found = (RunFolder(path) for path in sorted(root.glob("*/*")))
    inside = (run for run in found if not run.path.parent.name.startswith(("_", ".")))
    return [run for run in inside if not run.path.parent.is_symlink() and run.is_run()]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
