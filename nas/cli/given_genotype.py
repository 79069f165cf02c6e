"""A genotype from what was typed: a file, a run, a published name, or the text of a space."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import genotype as files
from nas.app.located import locate
from nas.cli import known_spaces
from nas.decision import Choice
from nas.errors import GenotypeError, NasError, nearest
from nas.files import read_bytes

if TYPE_CHECKING:
    from nas.space import SearchSpace

_ASSIGNED = re.compile(r"\s*[^\W\d]\w*\s*=\s*(?=\w)")  # as the released files name genotypes
_TEXT = re.compile(r"\s*\w*[(|:]")
_BEGINNING = re.compile(r"\w*\W")


@dataclass(frozen=True)
class Given:
    """A genotype with the space it belongs to, and its file, made up where it came as text."""

    space: SearchSpace
    choices: Mapping[str, Choice]
    file: files.GenotypeFile

    @property
    def text(self) -> str | None:
        """The genotype in its space's own form; None where the space has none."""
        form = getattr(self.space, "format", None)
        return None if form is None else str(form(self.choices))


@dataclass(frozen=True)
class Reader:
    """Reads what was typed.

    Attributes:
        space: the name of the space it must be of; empty means whichever fits.
        runs: folder of all runs.
        plugins: modules of the user's own that may be loaded.
    """

    space: str = ""
    runs: str = "runs"
    plugins: Sequence[str] = ()

    def read(self, word: str) -> Given:
        """The genotype of a word: ``-`` (standard input), a file, a run, a name, or a text.

        Raises:
            NasError: it is none of these, is damaged, or is outside its space.
        """
        if word == "-":
            return self._content(sys.stdin.read(), "standard input", Path("config.yaml"))
        path = Path(word).expanduser()
        if _is_file(path):
            content = read_bytes(path).decode("utf-8", "replace")
            return self._content(content, str(path), path.parent / "config.yaml")
        if path.suffix != ".json" and _TEXT.match(_value_of(word)):
            return self._text(word)
        return self._named(word) or self._run(word)

    def _content(self, content: str, source: str, config: Path) -> Given:
        if source.endswith(".json") or content.lstrip().startswith("{"):
            return self._file(files.loads(content, source=source), source, config)
        try:
            return self._text(content)
        except NasError as error:
            raise GenotypeError(f"{source}: {error}") from error

    def _run(self, word: str) -> Given:
        path = locate(word, self.runs)
        if path is None:
            from nas.store.folder import runs

            names = [name for each in self._spaces() for name in _published(each.space)]
            names += [run.name for run, _ in runs(self.runs)]
            raise GenotypeError(
                f"no genotype {word!r}: no file, run or published one has that name, and no text "
                f"begins so{nearest(word, names)}"
            )
        inside = [place for place in path.parents if (place / "config.yaml").is_file()]
        config = (inside[0] if inside else path.parent) / "config.yaml"
        return self._file(files.load(path), str(path), config)

    def _file(self, file: files.GenotypeFile, source: str, config: Path) -> Given:
        from nas.space import check_genotype, fingerprint, name_of

        if self.space and file.space.name != self.space:
            raise GenotypeError(
                f"{source} is a genotype of space {file.space.name!r}, not of {self.space!r}"
            )
        space = known_spaces.of_file(file, config, self.plugins)
        files.check_space(file, name_of(space), fingerprint(space))
        try:
            return Given(space, check_genotype(space, file.choices), file)
        except GenotypeError as error:
            raise GenotypeError(f"{source}: {error}") from error

    def _named(self, word: str) -> Given | None:
        for each in self._spaces():
            published = _published(each.space)
            if word in published:
                try:
                    choices = each.space.from_cells(published[word])  # type: ignore[attr-defined]
                except NasError as error:
                    raise GenotypeError(
                        f"{word} is no genotype of space {each.name!r}: {error}"
                    ) from error
                return each.given(choices, word)
        return None

    def _text(self, text: str) -> Given:
        beginnings = {}
        value = _value_of(text)
        for each in self._spaces():
            beginning = beginnings[each.name] = _beginning(each.space)
            if beginning and (self.space or value.lstrip().startswith(beginning)):
                choices = each.space.parse(text)  # type: ignore[attr-defined]
                return each.given(choices, "text")
        forms = [f"{start!r} ({name})" for name, start in beginnings.items() if start]
        if not forms:
            raise GenotypeError(f"space {self.space!r} reads no text; give a genotype file")
        shown = " ".join(text.split())
        raise GenotypeError(f"{shown[:40]!r} is no genotype: texts begin with {' or '.join(forms)}")

    def _spaces(self) -> Iterator[Built]:
        """The spaces that it may be of; the one that was named must build."""
        if self.space:
            yield self._built(self.space)
            return
        for entry in known_spaces.listed():
            try:
                built = self._built(entry.name)
            except NasError:  # one of the user's that does not build hides no other
                continue
            yield built

    def _built(self, name: str) -> Built:
        cfg = known_spaces.find(name, self.plugins).own()
        settings = {str(k): v for k, v in cfg.space.items() if k != "_target_"}
        return Built(name, settings, known_spaces.build(cfg))


@dataclass(frozen=True)
class Built:
    """A space by its name, with the settings that shape its decisions."""

    name: str
    settings: Mapping[str, Any]
    space: SearchSpace

    def given(self, choices: Mapping[str, Choice], source: str) -> Given:
        """A genotype of this space that came as ``source``, with a file made up for it."""
        from nas.space import check_genotype, fingerprint, name_of

        checked = check_genotype(self.space, choices)
        view = getattr(self.space, "view", None)
        file = files.make(
            name_of(self.space),
            fingerprint(self.space),
            checked,
            args=self.settings,
            view=None if view is None else view(checked),
            provenance={"source": source},
        )
        return Given(self.space, checked, file)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a text is longer than a name may be
        return False


def _value_of(text: str) -> str:
    """The text after ``name =``; as it is where nothing is assigned."""
    return _ASSIGNED.sub("", text, count=1) if _ASSIGNED.match(text) else text


def _published(space: SearchSpace) -> Mapping[str, Any]:
    named = getattr(space, "named", None)
    return {} if named is None or not hasattr(space, "from_cells") else dict(named())


def _beginning(space: SearchSpace) -> str:
    """How the texts of a space begin, such as ``Genotype(``; empty where it reads none."""
    if not (hasattr(space, "format") and hasattr(space, "parse")):
        return ""
    import torch

    from nas.space import sample

    text = str(space.format(sample(space, torch.Generator().manual_seed(0))))
    found = _BEGINNING.match(text)
    return found[0] if found else text
