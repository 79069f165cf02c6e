"""Search spaces by name, built as ``nas search`` builds them, and those of genotype files."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from nas.cli.paths import shipped_folders
from nas.dataspec import DataSpec
from nas.errors import ConfigError, GenotypeError, nearest
from nas.genotype import GenotypeFile
from nas.plugins import CONFIGS, packages, top

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from nas.data import ArrayData
    from nas.space import SearchSpace

# A space asks for the data's shape; genotypes do not depend on it.
ANY_DATA = DataSpec(input_shape=(3, 32, 32), kind="classes", outputs=10)
METHODS = {"supernet", "network"}


COMPRESSION = "nas.compression.Compression"  # where no shipped config has a file's settings


@dataclass(frozen=True)
class Known:
    """A search space that was found by its name.

    Attributes:
        name: as it was typed.
        where: the file or the class that it comes from.
        words: what ``nas search`` needs to search it.
        plugins: modules of the user's own that may be loaded for it.
    """

    name: str
    where: str
    words: tuple[str, ...]
    plugins: tuple[str, ...] = ()

    def own(self) -> DictConfig:
        """Its settings but for those that a preset decides: widths are no part of a genotype."""
        from omegaconf import OmegaConf

        node: dict[str, Any] = {"_target_": self.where}
        if self.where.endswith(".yaml"):
            node = _unresolved(Path(self.where))
            node = _unresolved(self._composed().space) if "defaults" in node else node
        kept = {key: value for key, value in node.items() if "${" not in str(value)}
        return OmegaConf.create({"space": kept, "plugins": list(self.plugins)})

    def _composed(self) -> DictConfig:
        """As `settings`, to be read only: many spaces are asked for by one line."""
        from nas.cli.compose import remembered
        from nas.cli.positional import parse
        from nas.cli.verbs import VERBS

        line = parse(VERBS["search"], [*self.words])
        found = remembered(line, line.overrides)
        return self.settings() if found is None else found

    def settings(self, *words: str) -> DictConfig:
        """The settings of a search on it; ``words`` are further ones, such as ``preset=smoke``."""
        from nas.cli.compose import composed
        from nas.cli.mistakes import explain
        from nas.cli.positional import parse
        from nas.cli.verbs import VERBS

        line = parse(VERBS["search"], [*self.words, *words])
        try:
            return composed(line, line.overrides)
        except Exception as error:  # of Hydra, OmegaConf or YAML: one sentence is made of it
            raise explain(error, line) from error


def build(cfg: DictConfig, data: DataSpec = ANY_DATA) -> SearchSpace:
    """The space of composed settings, for data of this shape."""
    from nas.build import Parts

    return Parts(cfg, cast("ArrayData", SimpleNamespace(spec=data))).space


def find(name: str, plugins: Sequence[str] = ()) -> Known:
    """The space of a name: a shipped one, one of this folder, or a class.

    That is ``conf/space/NAME.yaml`` or ``NAME.py`` of the current folder, or a class as Python
    imports it. Who types the name of a module allows it to be loaded, and no other.

    Raises:
        ConfigError: nothing has that name, or a file has no class that is a space.
    """
    allowed = tuple(dict.fromkeys([*plugins, *([name] if _module(name) else [])]))
    granted = (f"plugins=[{','.join(allowed)}]",) if allowed else ()
    for folder in shipped_folders():
        if (file := _file(folder, name)).is_file():
            given = (f"plugins=[{','.join(plugins)}]",) if plugins else ()
            return Known(name, str(file), (f"space={name}", *given), tuple(plugins))
    own = Path(CONFIGS)
    if _file(own, name).is_file():
        words = (f"--config-dir={own}", f"space={name}", *granted)
        return Known(name, str(_file(own, name)), words, allowed)
    if module := _module(name):
        target = f"{name}.{_class_in(module)}"
        return Known(name, target, (*granted, f"space._target_={target}"), allowed)
    if "." in name and name.rpartition(".")[2]:
        modules = tuple(dict.fromkeys([*plugins, name.rpartition(".")[0]]))
        words = (f"plugins=[{','.join(modules)}]", f"space._target_={name}")
        return Known(name, name, words, modules)
    names = [entry.name for entry in listed()]
    raise ConfigError(
        f"no space {name!r}: it is neither one of {', '.join(names)}, nor {_file(own, name)} or "
        f"{name}.py in this folder; a class is written my_lab.space.Mine{nearest(name, names)}"
    )


def buildable(name: str, plugins: Sequence[str] = ()) -> bool:
    """Whether a name that a file gave, not the user, may be built.

    That is one of the shipped spaces, or of the modules that the user allowed.
    """
    shipped = any(_file(folder, name).is_file() for folder in shipped_folders())
    return shipped or top(name) in packages(plugins)


@dataclass(frozen=True)
class Entry:
    """A space with a config file: its name, the file's first line, and where the file is."""

    name: str
    text: str
    file: Path


def listed() -> list[Entry]:
    """Every space with a config file: ours, of installed plug-ins, and of this folder."""
    found: dict[str, Entry] = {}
    for folder in (*shipped_folders(), Path(CONFIGS)):
        for file in sorted((folder / "space").glob("*.yaml")):
            found.setdefault(file.stem, Entry(file.stem, _first_comment(file), file))
    return list(found.values())


def of_file(file: GenotypeFile, config: Path, plugins: Sequence[str] = ()) -> SearchSpace:
    """Build the space of a genotype file from the arguments in the file.

    The class is named by the run's ``config.yaml`` or by the shipped config of that name. Only our
    own packages and ``plugins`` may be loaded, whatever the files say.

    Raises:
        NasError: no config names the class, or it may not be loaded.
    """
    from omegaconf import OmegaConf

    named = [_target_in(_file(folder, file.space.name)) for folder in shipped_folders()]
    target = next(filter(None, [_target_in(config, "space"), *named]), "")
    if not target:
        raise GenotypeError(f"no config says which class space {file.space.name!r} is")
    settings = {"space": {"_target_": target, **file.space.args}, "plugins": list(plugins)}
    if file.compression:
        known = _target_in(config, "compression") or _compression_of(file.compression)
        settings["compression"] = {"_target_": known, **file.compression}
    return build(OmegaConf.create(settings))


def _file(folder: Path, name: str) -> Path:
    return folder / "space" / f"{name}.yaml"


def _compression_of(settings: Mapping[str, Any]) -> str:
    """The class that a shipped compression with such settings names."""
    for folder in shipped_folders():
        for file in sorted((folder / "compression").glob("*.yaml")):
            node = _unresolved(file)
            if node.get("_target_") and set(settings) <= set(node):
                return str(node["_target_"])
    return COMPRESSION


def _first_comment(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    comments = (line[1:].strip() for line in lines if line.startswith("#") and "@" not in line)
    return next(comments, "")


def _module(name: str) -> Path | None:
    """The file of the module ``name`` in the current folder; None where there is none."""
    path = Path(f"{name}.py")
    return path if name.isidentifier() and path.is_file() else None


def _class_in(file: Path) -> str:
    """The one class of a file that has the methods of a space; nothing is imported."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{file} is no Python source ({error}); mend it") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    found = [each.name for each in classes if METHODS.issubset(_methods(each))]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} classes with" if found else "no class with"
    example = f"{file.stem}.{found[0] if found else 'Mine'}"
    raise ConfigError(
        f"{file} has {what} supernet() and network(); write which class is meant, as {example}"
    )


def _methods(node: ast.ClassDef) -> set[str]:
    return {part.name for part in node.body if isinstance(part, ast.FunctionDef)}


def _unresolved(settings: Path | DictConfig) -> dict[str, Any]:
    """Settings, or those in a file, with the names of what they refer to."""
    from omegaconf import OmegaConf

    try:
        node = OmegaConf.load(settings) if isinstance(settings, Path) else settings
        found = OmegaConf.to_container(node, resolve=False)
    except Exception as error:  # of the disk, of YAML or of OmegaConf
        raise ConfigError(f"{settings} cannot be read ({type(error).__name__}); mend it") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{settings} holds no settings of a space; mend it")
    return cast("dict[str, Any]", found)


def _target_in(config: Path, *group: str) -> str:
    if not config.is_file():
        return ""
    try:
        node: Any = _unresolved(config)
        for key in group:
            node = node[key]
        return str(node.get("_target_", ""))
    except Exception:  # a damaged config: the shipped one may still know the space
        return ""
