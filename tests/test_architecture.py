"""The rules of the house, read off the source: who imports whom, and what no module may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 400

# A module stands on the floor of the longest name here that covers it; lower never imports higher.
FLOORS = {
    name: floor
    for floor, names in enumerate(
        (
            "nas.errors nas.decision nas.genotype nas.dataspec nas.files nas.console nas.batch",
            "nas.arch nas.relaxations nas.kernels",
            "nas.supernet nas.space nas.settled nas.searchable nas.cost_tree nas.compression",
            "nas.costs nas.policies nas.tasks nas.agents",
            "nas.budget nas.objectives nas.strategies nas.schedules nas.testing nas.benchmarks "
            "nas.proxies nas.gradients",
            "nas.data nas.engine nas.store nas.export nas.analysis nas.profile",
            "nas nas.schema nas.plugins nas.instantiate nas.build nas.app nas.cli nas.api "
            "nas.__main__ nas.templates",
        )
    )
    for name in names.split()
}
SPACES_MAY_IMPORT = 2  # the highest floor that search_spaces may use
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
HARMLESS = {"pickle.UnpicklingError"}  # what torch.load raises for a file it refuses


def floor_of(module: str) -> int | None:
    """Return the floor of a module of ``nas``, or None where the table has no place for it."""
    parts = module.split(".")
    for end in range(len(parts), 1, -1):
        if (name := ".".join(parts[:end])) in FLOORS:
            return FLOORS[name]
    return FLOORS["nas"] if module == "nas" else None


def imports(module: str, tree: ast.AST, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every import, also inside functions and ``TYPE_CHECKING``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = module.split(".")[: -node.level + is_package or None] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"  # a module, or only a name in one
                whole = base in PICKLES or (base == "nas" and floor_of(inner) is not None)
                yield node.lineno, inner if whole else base
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
            texts = (first.value for first in node.args[:1] if isinstance(first, ast.Constant))
            yield from ((node.lineno, str(text)) for text in texts)


def bad_imports(module: str, tree: ast.AST, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield what the import table forbids in a module of ``nas`` or ``search_spaces``."""
    own = "search_spaces" if module.split(".")[0] == "search_spaces" else "nas"
    floor = SPACES_MAY_IMPORT if own == "search_spaces" else floor_of(module)
    if floor is None:
        yield 1, "stands on no floor; give it one in FLOORS"
        return
    for line, name in imports(module, tree, is_package):
        top = name.split(".")[0]
        its = floor_of(name) if top == "nas" else 0
        if its is None:
            yield line, f"imports {name}, which stands on no floor"
        elif its > floor:
            yield line, f"on floor {floor} imports {name} of floor {its}"
        if own == "nas" and top == "search_spaces":
            yield line, "nas imports search_spaces; they meet through the configs"
        if own == "nas" and floor == 0 and top in {"torch", "torchvision"}:
            yield line, f"floor 0 imports {top}"
        if module.startswith("nas.testing") and top in {"pytest", "_pytest"}:
            yield line, "nas.testing imports pytest; it must run from a wheel"
        if top in PICKLES and name not in HARMLESS:
            yield line, f"imports {top}, which can run what a file says"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)


def _keyword(node: ast.Call, name: str) -> object:
    values = [word.value for word in node.keywords if word.arg == name]
    return getattr(values[0], "value", ...) if values else None


def bad_statements(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the statements and calls that no module may hold."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield node.lineno, "global statement"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in {"eval", "exec", "print", "builtins.eval", "builtins.exec"}:
                yield node.lineno, f"{name}()"
            if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
                yield node.lineno, ".cuda(); use .to(device)"
            loads = name == "torch.load" or (name == "load" and "torch" in _origin(tree, "load"))
            if loads and _keyword(node, "weights_only") is not True:
                yield node.lineno, "torch.load without weights_only=True"
            if _keyword(node, "allow_pickle") not in {None, False}:
                yield node.lineno, "allow_pickle"


def _origin(tree: ast.AST, name: str) -> set[str | None]:
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {node.module for node in found if any(alias.name == name for alias in node.names)}


def violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """Return every broken rule of one file as ``module:line: what``."""
    tree = ast.parse(source)
    found = [*bad_imports(module, tree, is_package), *bad_statements(tree)]
    if (lines := source.count("\n")) > MAX_LINES:
        found.append((lines, f"{lines} lines; a file has at most {MAX_LINES}"))
    return [f"{module}:{line}: {what}" for line, what in sorted(found)]


def sources() -> list[Path]:
    """Return every file of the two packages."""
    return sorted(path for top in ("nas", "search_spaces") for path in (ROOT / top).rglob("*.py"))


def module_name(path: Path) -> str:
    """Return the dotted name under which a file of the packages is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_file_keeps_the_rules() -> None:
    files = sources()
    assert files, "no sources found"
    broken = [
        found
        for path in files
        for found in violations(
            module_name(path), path.read_text(encoding="utf-8"), path.name == "__init__.py"
        )
    ]
    assert not broken, "\n".join(["", *broken])


def test_nas_and_its_lowest_floor_import_no_torch() -> None:
    lowest = [name for name, floor in FLOORS.items() if floor == 0]
    there = [name for name in lowest if (ROOT / f"{name.replace('.', '/')}.py").is_file()]
    code = f"import sys, {', '.join(['nas', *there])}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0


BROKEN = {
    "higher floor": ("nas.arch", "from nas.engine.loop import run", "of floor 5"),
    "higher floor, inside a function": (
        "nas.errors",
        "def f():\n    import nas.arch",
        "of floor 1",
    ),
    "higher floor, for types only": (
        "nas.space",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nas.tasks import Task",
        "of floor 3",
    ),
    "higher floor, from the package": ("nas.arch", "from nas import engine", "of floor 5"),
    "higher floor, relative": (
        "nas.searchable.mixed",
        "from ..strategies import base",
        "of floor 4",
    ),
    "higher floor, by string": ("nas.arch", "import_module('nas.cli')", "of floor 6"),
    "whole package": ("nas.costs.base", "import nas", "of floor 6"),
    "no floor": ("nas.attic", "", "stands on no floor"),
    "import from no floor": (
        "nas.cli.main",
        "import nas.attic",
        "nas.attic, which stands on no floor",
    ),
    "spaces above their floor": (
        "search_spaces.darts.space",
        "from nas.strategies import base",
        "of floor 4",
    ),
    "nas imports spaces": (
        "nas.app.search",
        "import search_spaces.darts",
        "meet through the configs",
    ),
    "nas imports spaces by string": (
        "nas.app",
        "importlib.import_module('search_spaces')",
        "meet through the configs",
    ),
    "torch on floor 0": ("nas.decision", "from torch.nn import Module", "floor 0 imports torch"),
    "pytest in nas.testing": ("nas.testing.spaces", "import pytest", "imports pytest"),
    "pickle": ("nas.store.attic", "import pickle", "imports pickle"),
    "pickle, by name": ("nas.store.attic", "from pickle import loads", "imports pickle"),
    "allow_pickle": ("nas.data.arrays", "np.load(path, allow_pickle=True)", "allow_pickle"),
    "eval": ("nas.genotype", "eval('1')", "eval()"),
    "exec": ("nas.genotype", "exec('a = 1')", "exec()"),
    "print": ("search_spaces.ops", "print('hello')", "print()"),
    "cuda": ("nas.engine.loop", "model.stem.cuda()", ".cuda()"),
    "global": ("nas.engine.loop", "def f():\n    global state", "global statement"),
    "bare except": ("nas.engine.loop", "try:\n    f()\nexcept:\n    pass", "bare except"),
    "torch.load": (
        "nas.engine.checkpoint",
        "import torch\ntorch.load(path)",
        "without weights_only",
    ),
    "torch.load, unsafe": (
        "nas.engine.checkpoint",
        "torch.load(path, weights_only=False)",
        "without weights_only",
    ),
    "torch.load, by name": (
        "nas.engine.checkpoint",
        "from torch import load\nload(path)",
        "without weights_only",
    ),
    "too long": ("nas.arch", "a = 1\n" * (MAX_LINES + 1), "lines; a file has"),
}


@pytest.mark.parametrize(("module", "source", "what"), BROKEN.values(), ids=BROKEN.keys())
def test_checker_catches(module: str, source: str, what: str) -> None:
    found = violations(module, source)
    assert len(found) == 1
    assert what in found[0]


KEPT = {
    "same floor": ("nas.arch", "from nas.relaxations import softmax"),
    "lower floor": ("nas.cli.main", "from nas import errors\nfrom nas.engine import loop"),
    "relative in a package": ("nas.engine", "from .loop import run\nfrom ..arch import Arch", True),
    "spaces use floor 2": ("search_spaces.ops", "import torch\nfrom nas.searchable import mixed"),
    "a name of the same package": ("search_spaces.darts", "from search_spaces import ops"),
    "methods with such names": ("nas.arch", "model.eval()\nconsole.print('x')\nread.load(path)"),
    "safe load": ("nas.engine.checkpoint", "torch.load(path, weights_only=True)"),
    "own load": ("nas.engine.checkpoint", "from nas.files import load\nload(path)"),
    "the error of pickle": ("nas.engine.checkpoint", "from pickle import UnpicklingError"),
    "numpy": ("nas.data.arrays", "np.load(path, allow_pickle=False)"),
}


@pytest.mark.parametrize("example", KEPT.values(), ids=KEPT.keys())
def test_checker_allows(example: tuple[str, str] | tuple[str, str, bool]) -> None:
    assert violations(*example) == []
