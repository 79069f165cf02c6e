"""The one list of verbs: what each does, what it takes and three examples of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["run", "look"]


@dataclass(frozen=True)
class Verb:
    """One verb of the command line.

    ``positional`` is, for a run verb, the setting that a word without ``=`` stands for; for a look
    verb it is only what the help says of its words. Empty means that it takes none. ``plans``
    says whether ``--plan`` shows what would run; ``unused`` are groups that are only there so that
    experiments fit. A look verb takes from ``words[0]`` to
    ``words[1]`` words and the ``settings`` (name, explanation); its function is ``look`` of
    ``nas.cli.<module>``, which is named like the verb where it is not given. A run verb whose first
    word is one of ``looks`` is a look verb for that line. ``latex`` says whether ``--latex`` prints
    its table for a paper. ``branches`` are run verbs of two words, the first of which is this name.
    """

    name: str
    kind: Kind
    help: str
    examples: tuple[tuple[str, str], ...]
    positional: str = ""
    plans: bool = False
    unused: tuple[str, ...] = ()
    words: tuple[int, int] = (0, 0)
    settings: tuple[tuple[str, str], ...] = ()
    module: str = ""
    looks: tuple[str, ...] = ()
    latex: bool = False
    branches: tuple[Verb, ...] = ()

    @property
    def config(self) -> str:
        """Return the name of a run verb's config file."""
        return self.name.replace(" ", "_")

    @property
    def usage(self) -> str:
        """Return the line of usage."""
        word = f" [{self.positional.upper()}]" if self.positional else ""
        if self.kind == "look" and self.words[0]:
            word = f" {self.positional.upper()}"
        tail = " [key=value ...] [options]" if self.kind == "run" else " [options]"
        return f"nas {self.name}{word}{tail}"


_BUILD = Verb(
    "bench build",
    "run",
    "train architectures of a space alone, and write the table that nas bench run takes",
    (
        ("nas bench build n=20 seeds=2", "20 chains on digits, each trained twice"),
        ("nas bench build space=nasbench201 data=cifar10 n=50", "50 cells on color images"),
        ("nas bench build n=100 jobs=2 --plan", "how long that would take in one process"),
    ),
    plans=True,
)

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
        unused=("strategy", "budget"),
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
        "rank",
        "run",
        "compare a supernet's order of architectures with that of training them alone",
        (
            ("nas rank latest", "50 random architectures, trained as the run's own are"),
            ("nas rank latest n=20 epochs=2 jobs=2", "fewer, briefly, in two processes"),
            ("nas rank latest table=nasbench201", "and beside a published table"),
        ),
        positional="run",
    ),
    Verb(
        "profile",
        "run",
        "time a space's operations and networks on this machine, for cost.latency_ms",
        (
            ("nas profile space=darts data=digits", "every operation, 40 whole networks"),
            ("nas profile backend=onnx threads=2 batch=8", "ONNX Runtime, two threads, 8 inputs"),
            ("nas profile from=phone.csv name=phone", "times of another device, from a file"),
        ),
        unused=("task",),
    ),
    Verb(
        "bench",
        "run",
        "run search methods on tables of trained architectures; look at tables, judge proxies",
        (
            ("nas bench run seeds=100", "four search methods on the table that comes along"),
            ("nas bench query chain:20302 epochs=8", "what a table says of one architecture"),
            ("nas bench proxies n=50", "zero-cost proxies against a table's accuracies"),
        ),
        positional="action",
        plans=True,
        words=(1, 2),
        settings=(
            ("table", "a table of the list, or a .json file of yours (chain)"),
            ("root", "folder of published tables (NAS_DATA_DIR, else data)"),
            ("metric", "what is asked (everything)"),
            ("dataset", "on which data (all)"),
            ("split", "of which split (all)"),
            ("epochs", "after which training (all; of proxies: the longest)"),
            ("proxies", "which, as [synflow,naswot] (nine of them)"),
            ("n", "architectures whose proxies are computed (150)"),
            ("data", "data of the proxies' batch (digits for space chain, else cifar10)"),
            ("preset", "widths and lengths of the proxies' networks (cpu)"),
            ("batch", "samples in the proxies' batch (64)"),
            ("seed", "of architectures, batch and weights of proxies (0)"),
        ),
        looks=("list", "query", "proxies"),
        branches=(_BUILD,),
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
        words=(0, 1),
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
        words=(0, 1),
    ),
    Verb(
        "diff",
        "look",
        "show what differs between two runs: settings, genotypes, results",
        (
            ("nas diff latest my_run", "the newest run and another"),
            ("nas diff a/genotype.json b/genotype.json", "two genotype files"),
            ("nas diff latest my_run --json", "the same as JSON"),
        ),
        positional="one other",
        words=(2, 2),
    ),
    Verb(
        "compare",
        "look",
        "compare strategies over seeds: mean, interval, paired test, one sentence",
        (
            ("nas compare latest", "the jobs of the newest sweep"),
            ("nas compare runs/pc_darts_digits", "the runs of one experiment"),
            ("nas compare latest front=macs", "and the runs that none beats in both"),
        ),
        positional="runs",
        words=(0, 50),
        settings=(
            ("by", "the setting whose values are compared (strategy)"),
            ("front", "costs to trade off: macs, parameters, search, with commas between them"),
        ),
        latex=True,
    ),
    Verb(
        "report",
        "look",
        "write a run's report.html anew and say where it is",
        (
            ("nas report latest", "the newest run"),
            ("nas report runs/search/my_run", "another one"),
            ("nas report latest --json", "its path as JSON"),
        ),
        positional="run",
        words=(0, 1),
    ),
    Verb(
        "convert",
        "look",
        "read a genotype and write it in another form: file, DARTS text, NAS-Bench-201 string",
        (
            ("nas convert latest", "the newest run's genotype as text"),
            ("nas convert 'Genotype(normal=[...], ...)' out=cell.json", "a text as a file"),
            ("nas convert PC_DARTS_cifar to=json", "a published one as JSON"),
        ),
        positional="genotype",
        words=(1, 1),
        settings=(
            ("to", "text or json (text, or json where out= ends in .json)"),
            ("out", "file to write (the terminal)"),
            ("space", "the space whose genotype it is (told from the text)"),
        ),
    ),
    Verb(
        "space",
        "look",
        "list, show, measure or check search spaces",
        (
            ("nas space list", "every space there is"),
            (
                "nas space size darts budget.macs=1e6",
                "what it holds, costs, and a limit's tightness",
            ),
            ("nas space check my_space", "the contract of spaces, run on one of yours"),
        ),
        positional="action name",
        words=(1, 2),
        settings=(
            ("data", "the data whose shape it is built for (digits)"),
            ("preset", "its lengths and widths (cpu; smoke where it is checked)"),
            ("compression", "what layers may lose, such as superbit (none)"),
            ("budget.*", "limits of which size says whether they can be met, e.g. budget.macs=1e6"),
            ("cost.latency_ms.table", "table of nas profile, for budget.latency_ms"),
        ),
    ),
    Verb(
        "derive",
        "look",
        "derive the genotype of a search from its last checkpoint, finished or not",
        (
            ("nas derive latest", "the newest run"),
            ("nas derive latest out=now.json", "into a file of yours"),
            ("nas derive latest --json", "the genotype as JSON"),
        ),
        positional="run",
        words=(0, 1),
        settings=(("out", "file to write (the terminal only)"),),
    ),
    Verb(
        "new",
        "look",
        "write a template of a part of your own: space or strategy",
        (
            ("nas new space my_space", "my_space.py and conf/space/my_space.yaml"),
            ("nas new strategy my_strategy", "an update rule and its config"),
            ("nas new space my_space && nas space check my_space", "a template that passes"),
        ),
        positional="kind name",
        words=(2, 2),
    ),
    Verb(
        "plugin",
        "look",
        "list the parts of others that are installed and may be loaded",
        (
            ("nas plugin", "every installed one"),
            ("nas plugin plugins=[my_lab]", "with a module of yours"),
            ("nas plugin --json", "the same as JSON"),
        ),
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
        words=(0, 1),
    ),
)

VERBS: dict[str, Verb] = {verb.name: verb for verb in _LISTED}
