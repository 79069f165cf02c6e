"""The one list of verbs: what each does, what it takes and three examples of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["run", "look"]


@dataclass(frozen=True)
class Verb:
    """One verb of the command line.

    ``positional`` is, for a run verb, the setting that a word without ``=`` stands for; for a look
    verb it is only the name of its argument in the help. Empty means that it takes none. ``plans``
    says whether ``--plan`` shows what would run.
    """

    name: str
    kind: Kind
    help: str
    examples: tuple[tuple[str, str], ...]
    positional: str = ""
    plans: bool = False

    @property
    def usage(self) -> str:
        """Return the line of usage."""
        word = f" [{self.positional.upper()}]" if self.positional else ""
        tail = " [key=value ...] [options]" if self.kind == "run" else " [options]"
        return f"nas {self.name}{word}{tail}"


_LISTED = (
    Verb(
        "search",
        "run",
        "search an architecture, then retrain, evaluate, export and report it",
        (
            ("nas search", "the main job: PC-DARTS on handwritten digits"),
            ("nas search strategy=darts preset=smoke --plan", "show what would run, and stop"),
            ("nas search -m seed=0,1,2 preset=smoke", "three runs, one after the other"),
        ),
        plans=True,
    ),
    Verb(
        "retrain",
        "run",
        "train a found or published architecture from scratch",
        (
            ("nas retrain latest", "the genotype of the newest run"),
            ("nas retrain PC_DARTS_cifar preset=smoke", "a published cell, trained briefly"),
            (
                "nas retrain runs/search/my_run/genotype.json seed=1",
                "a genotype file, another seed",
            ),
        ),
        positional="genotype",
        plans=True,
    ),
    Verb(
        "evaluate",
        "run",
        "measure a trained network on the test split",
        (
            ("nas evaluate latest", "the networks of the newest run"),
            ("nas evaluate latest device=cpu", "the same, on the processor"),
            ("nas evaluate latest --json", "the numbers as JSON"),
        ),
        positional="run",
    ),
    Verb(
        "export",
        "run",
        "write a trained network as safetensors, torch.export and ONNX, each checked",
        (
            ("nas export latest", "every format that is installed"),
            ("nas export latest formats=[onnx]", "one format only"),
            ("nas export latest --json", "the files and their differences as JSON"),
        ),
        positional="run",
    ),
    Verb(
        "ls",
        "look",
        "list the runs and their results",
        (
            ("nas ls", "everything under runs/"),
            ("nas ls runs/pc_darts_digits", "the runs of one experiment"),
            ("nas ls --json", "the same as JSON"),
        ),
        positional="folder",
    ),
    Verb(
        "show",
        "look",
        "show a run's result and its cells",
        (
            ("nas show latest", "the newest run"),
            ("nas show runs/search/my_run/genotype.json", "the cells of a genotype file"),
            ("nas show latest --json", "the result as JSON"),
        ),
        positional="run",
    ),
    Verb(
        "doctor",
        "look",
        "check that this machine can search, with a remedy for what is missing",
        (
            ("nas doctor", "every check, one line each"),
            ("nas doctor --json", "the same as JSON"),
            ("nas doctor && nas search", "search only if nothing prevents it"),
        ),
    ),
    Verb(
        "help",
        "look",
        "explain the command or one verb",
        (
            ("nas help", "the list of verbs"),
            ("nas help search", "the settings of nas search"),
            ("nas search --help", "the same"),
        ),
        positional="verb",
    ),
)

VERBS: dict[str, Verb] = {verb.name: verb for verb in _LISTED}
