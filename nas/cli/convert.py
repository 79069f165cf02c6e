"""``nas convert``: a genotype from anywhere as a file, or as the text of its space."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path

import msgspec

from nas import console
from nas import genotype as files
from nas.cli.given_genotype import Given, Reader
from nas.cli.look import Look
from nas.errors import ConfigError, GenotypeError
from nas.files import write_atomic

FORMS = ("text", "json")


def look(line: Look) -> int:
    """``nas convert GENOTYPE [to=text|json] [out=FILE] [space=NAME]``."""
    out = line.settings.get("out", "")
    form = _form(line.settings.get("to", ""), out)
    word = line.word(0)
    given = Reader(line.settings.get("space", ""), line.runs, line.plugins).read(word)
    if form == "text" and given.text is None and not line.json:
        raise GenotypeError(
            f"space {given.file.space.name!r} has no text form; write the genotype with to=json"
        )
    path = _write(given, form, Path(out).expanduser()) if out else None
    if line.json:
        console.emit(
            {
                "space": given.file.space.name,
                "id": given.file.id,
                "text": given.text,
                "genotype": msgspec.to_builtins(given.file),
                "out": path,
            }
        )
        return 0
    if path is not None:
        console.say(f"wrote   {path}: genotype {given.file.id} of space {given.file.space.name}")
        console.say(f"next    {_after(path, form, given)}")
        return 0
    _print(given, form, word)
    return 0


def _form(asked: str, out: str) -> str:
    inside = "json" if out.endswith(".json") else "text"
    form = asked or inside
    if form not in FORMS:
        raise ConfigError(f"to must be {' or '.join(FORMS)}, got {form!r}")
    if form == "text" and inside == "json":
        raise ConfigError(f"out={out} would hold no JSON; write to=json, or another name")
    return form


def _write(given: Given, form: str, path: Path) -> Path:
    if form == "json":
        return files.save(path, given.file)
    if given.text is None:
        raise GenotypeError(
            f"space {given.file.space.name!r} has no text form; write the genotype with to=json"
        )
    return write_atomic(path, given.text + "\n")


def _print(given: Given, form: str, word: str) -> None:
    """The form alone on stdout, so that it can be piped, and the next command on stderr."""
    if form == "json":
        console.verbatim(files.dumps(given.file).rstrip("\n"))
    else:
        # Broken at its blanks only: what reads it takes any.
        lines = textwrap.wrap(
            given.text or "", console.MAX_COLUMNS, break_long_words=False, break_on_hyphens=False
        )
        console.verbatim("\n".join(lines))
    if given.file.provenance.get("source") == "text" or word == "-":
        console.hint("next    the same command with out=cell.json, then nas retrain cell.json")
    else:
        console.hint(f"next    nas retrain {shlex.quote(word)} space={given.file.space.name}")


def _after(path: Path, form: str, given: Given) -> str:
    if form == "json":
        return f"nas retrain {path} space={given.file.space.name} · nas show {path}"
    return f"nas convert {path} out=cell.json"
