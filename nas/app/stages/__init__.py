"""The stages of a run, each leaving one last file by which a resumed run knows that it is done.

Their modules are imported when they run, so that a finished run is recognized without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import ConfigError, nearest
from nas.store.folder import GOING

if TYPE_CHECKING:
    from nas.app.session import Session


@dataclass(frozen=True)
class Stage:
    """A function of a module here, the file that it writes last, and whose files it reads."""

    module: str
    function: str
    leaves: str
    needs: tuple[str, ...] = ()

    def run(self, session: Session) -> None:
        """Run the stage."""
        getattr(import_module(f"{__name__}.{self.module}"), self.function)(session)


STAGES = {
    "search": Stage("search", "search", "search.json"),
    "derive": Stage("derive", "derive", "genotype.json", ("search",)),
    "retrain": Stage("retrain", "retrain", "retrain.json", ("derive",)),
    "evaluate": Stage("evaluate", "evaluate_networks", "evaluation.json", ("retrain",)),
    "export": Stage("export", "export", "export.json", ("retrain",)),
    "report": Stage("report", "report", "report.html", ("derive",)),
}


def check_stages(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """The wanted stages in their order; ConfigError for an unknown or repeated one, or for none."""
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"stages: there is no stage {name!r} here; stages are {', '.join(known)}"
                f"{nearest(name, known)}"
            )
    if not wanted or len(set(wanted)) != len(wanted):
        raise ConfigError(
            f"stages must name each of {', '.join(known)} at most once, and one at least"
        )
    return [name for name in known if name in wanted]


def missing(folder: Path, stages: Sequence[str]) -> list[str]:
    """The stages whose last file is not there yet, or is about to be removed."""
    if (folder / GOING).is_dir():
        return list(stages)
    return [name for name in stages if not (folder / STAGES[name].leaves).is_file()]


def check_order(folder: Path, stages: Sequence[str], known: Sequence[str]) -> None:
    """ConfigError if a stage that is to run reads from one that neither ran nor will."""
    for name in missing(folder, stages):
        there = [*stages, *(s for s in known if not missing(folder, [s]))]
        for needed in STAGES[name].needs:
            if needed in known and needed not in there:
                raise ConfigError(
                    f"stage {name!r} needs stage {needed!r}, which has not run; add it"
                )


def run_stages(session: Session) -> None:
    """Run the session's stages that are not done."""
    from nas.app.candidates import RunCandidates
    from nas.app.low_rank import trained_rank
    from nas.app.stages.export import exporters_for
    from nas.strategies.derivation import ChecksRun

    if "export" in session.stages:  # a wrong format is told before the search, not after
        exporters_for(list(session.cfg.formats), session.cfg.plugins)
    session.parts.costs  # noqa: B018  (a user's own may fail)
    if "derive" in session.stages and session.parts.derivation is not None:
        # A method that does not suit the space is told before the search, not after.
        candidates = RunCandidates(session)
        session.parts.derivation.check(candidates.decisions)
        if isinstance(session.parts.derivation, ChecksRun):
            session.parts.derivation.check_run(candidates)
    if "retrain" in session.stages:
        # A batch that does not fit, and low rank without layers, are told before the search.
        session.parts.training()
        trained_rank(session.cfg, session.parts.blueprint)
    for name in session.stages:
        if not missing(session.folder.path, [name]):
            continue
        session.stopper.check(f"before stage {name}")
        session.folder.set_status("running", stage=name)
        STAGES[name].run(session)
