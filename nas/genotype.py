"""The genotype file: strict JSON in, readable JSON out, nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import msgspec

from nas.decision import Candidate, Genotype
from nas.errors import GenotypeError, NasError, nearest
from nas.files import PathText, jsonable, read_bytes, write_atomic

SCHEMA: Final = "nas.genotype/1"
_WIDTH = 80  # columns a mapping may take on one line, its name not counted
_DEPTH = 64
_AGAIN = "mend it there, or copy the file from its run again"
_CHOICE_RULE = "a choice is text, a finite number, or a list of these"

Choices = dict[str, Candidate | tuple[Candidate, ...]]


class SpaceRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search space a genotype belongs to; the fingerprint covers its name and decisions."""

    name: str
    args: dict[str, Any] = {}  # msgspec copies an empty default for each instance
    fingerprint: str


class GenotypeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One found architecture, with what it is part of and where it comes from.

    The id hashes space, compression and choices; a view is derived from them and never read back.
    """

    schema: Literal["nas.genotype/1"]
    space: SpaceRecord
    compression: dict[str, Any] = {}
    macro: dict[str, Any] = {}
    choices: Choices
    view: dict[str, Any] = {}
    predicted: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    id: str


def make(
    name: str,
    fingerprint: str,
    choices: Genotype,
    *,
    args: Mapping[str, Any] | None = None,
    compression: Mapping[str, Any] | None = None,
    macro: Mapping[str, Any] | None = None,
    view: Mapping[str, Any] | None = None,
    predicted: Mapping[str, Any] | None = None,
    measured: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> GenotypeFile:
    """The file of one genotype, with its id; lists among the choices become tuples.

    Raises GenotypeError naming the field that JSON cannot hold.
    """
    file = GenotypeFile(
        schema=SCHEMA,
        space=SpaceRecord(name=name, args=_plain("space.args", args), fingerprint=fingerprint),
        compression=_plain("compression", compression),
        macro=_plain("macro", macro),
        choices=_choices(choices),
        view=_plain("view", view),
        predicted=_plain("predicted", predicted),
        measured=_plain("measured", measured),
        provenance=_plain("provenance", provenance),
        id="",
    )
    return msgspec.structs.replace(file, id=compute_id(file))


def compute_id(file: GenotypeFile) -> str:
    """First 12 hex digits of the SHA-256 over space, compression and choices as canonical JSON.

    Of the space its name and fingerprint count: the same choices at another width are one genotype.
    """
    record = {
        "space": {"fingerprint": file.space.fingerprint, "name": file.space.name},
        "compression": file.compression,
        "choices": file.choices,
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def dumps(file: GenotypeFile) -> str:
    """The file as text: fields in fixed order, choices in theirs, the id computed anew."""
    fields = msgspec.to_builtins(msgspec.structs.replace(file, id=compute_id(file)))
    rows = [f'  "{name}": {_layout(value, 2)}' for name, value in fields.items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def save(path: PathText, file: GenotypeFile) -> Path:
    """Write the file atomically; NasError where the place cannot be written."""
    return write_atomic(path, dumps(file))


def load(path: PathText) -> GenotypeFile:
    """The file at ``path``, decoded strictly.

    Raises GenotypeError naming file, field and remedy where anything in it is not as it must be.
    """
    try:
        content = read_bytes(path)
    except NasError as error:
        raise GenotypeError(f"no genotype: {error}") from error
    return loads(content, source=str(path))


def loads(text: str | bytes, *, source: str = "genotype") -> GenotypeFile:
    """The file that ``dumps`` wrote; ``source`` names it in the GenotypeError of a fault."""
    root = _parse(text, source)
    _check_schema(root, source)
    _check_objects(root, source)
    try:
        file = msgspec.convert(_ordinary(root), GenotypeFile, strict=True)
    except msgspec.ValidationError as error:
        _explain(source, root, str(error))
    expected = compute_id(file)
    if file.id != expected:
        fault = f"is {file.id!r} but the content hashes to {expected!r}: it was edited by hand"
        _fail(source, "id", fault, f"undo the edit, or set the id to {expected!r} to accept it")
    return file


def check_space(file: GenotypeFile, name: str, fingerprint: str) -> None:
    """Raise GenotypeError, naming both sides, unless the file belongs to this very space."""
    if file.space.name != name:
        raise GenotypeError(
            f"genotype {file.id} is of space {file.space.name!r}, not of {name!r}: "
            f"use space={file.space.name}, or a genotype of {name!r}"
        )
    if file.space.fingerprint != fingerprint:
        raise GenotypeError(
            f"genotype {file.id} is of space {name!r} with fingerprint "
            f"{file.space.fingerprint!r}, this one has {fingerprint!r}: "
            f"build the space with the arguments in the file, {json.dumps(file.space.args)}"
        )


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the genotype file; it is in ``genotype.schema.json``."""
    found = msgspec.json.schema(GenotypeFile)
    for record in found["$defs"].values():  # Python keeps the indentation of docstrings until 3.12
        record["description"] = inspect.cleandoc(record["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **found}


def _plain(field: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    """JSON's own types only, so that what is hashed is what will be read."""
    try:
        return dict(jsonable(value or {}))
    except (TypeError, ValueError, RecursionError) as error:
        raise GenotypeError(
            f"genotype field {field!r}: {error}; give text, numbers, lists and mappings"
        ) from error


def _choices(choices: Genotype) -> Choices:
    name, choice = _misfit(choices)
    if name is not None:
        raise GenotypeError(
            f"genotype field 'choices': decision {name!r} is {choice!r}; {_CHOICE_RULE}"
        )
    return {k: tuple(c) if isinstance(c, list | tuple) else c for k, c in choices.items()}


def _misfit(choices: Mapping[Any, Any]) -> tuple[Any, Any]:
    """The first decision whose choice is none, for an error to name; (None, None) where all fit."""
    for name, choice in choices.items():
        parts = choice if isinstance(choice, list | tuple) else [choice]
        if not isinstance(name, str) or not all(map(_is_candidate, parts)):
            return name, choice
    return None, None


def _is_candidate(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)


def _layout(value: Any, indent: int) -> str:
    """JSON in which short mappings, and lists of plain values, stay on one line."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    nested = isinstance(value, dict) or (
        isinstance(value, list | tuple) and any(isinstance(v, dict | list | tuple) for v in value)
    )
    if not nested or indent + len(flat) <= _WIDTH:
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        rows = [
            f"{pad}{json.dumps(key, ensure_ascii=False)}: {_layout(entry, indent + 2)}"
            for key, entry in value.items()
        ]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    rows = [pad + _layout(entry, indent + 2) for entry in value]
    return "[\n" + ",\n".join(rows) + "\n" + " " * indent + "]"


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its names came twice."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        found.repeated = tuple(name for name in found if names.count(name) > 1)
    return found


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _parse(text: str | bytes, source: str) -> dict[str, Any]:
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        root = json.loads(
            decoded, object_pairs_hook=_object, parse_float=_number, parse_constant=_number
        )
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"{source} is not JSON ({error}): {_AGAIN}") from error
    if not isinstance(root, dict):
        raise GenotypeError(
            f"{source} holds no genotype but a {type(root).__name__}: "
            "give a genotype.json as `nas search` writes it"
        )
    return root


def _check_schema(root: Mapping[str, Any], source: str) -> None:
    if "schema" not in root:
        _fail(source, "schema", "is missing", f"a genotype file says {SCHEMA!r} there")
    if root["schema"] != SCHEMA:
        fault = f"is {root['schema']!r}, the only version known here is {SCHEMA!r}"
        _fail(source, "schema", fault, "read it with the version of nas that wrote it")


def _check_objects(root: dict[str, Any], source: str) -> None:
    """Refuse names given twice, and nesting that no writer makes but that exhausts the stack."""
    todo: list[tuple[Any, str, int]] = [(root, "", 0)]
    while todo:
        value, where, depth = todo.pop()
        if depth > _DEPTH:
            _fail(source, where[:80], f"is nested deeper than {_DEPTH} levels", _AGAIN)
        if isinstance(value, _Object):
            for name in value.repeated:
                _fail(source, where or "(top)", f"holds {name!r} twice", "keep one of the two")
            for name, entry in value.items():
                todo.append((entry, f"{where}.{name}" if where else name, depth + 1))
        elif isinstance(value, list):
            todo += [(entry, where, depth + 1) for entry in value]


def _ordinary(value: Any) -> Any:
    """The same with ordinary dicts, which is all that settings may hold."""
    if isinstance(value, dict):
        return {name: _ordinary(entry) for name, entry in value.items()}
    return [_ordinary(entry) for entry in value] if isinstance(value, list) else value


def _explain(source: str, root: Mapping[str, Any], message: str) -> NoReturn:
    """Turn msgspec's message into one that says field and remedy."""
    match = re.search(r" - at `\$\.(.*)`$", message)
    where = match[1] if match else ""
    fault = re.search(r"(missing required|unknown) field `(.*)`", message.split(" - at ")[0])
    if fault:
        field = f"{where}.{fault[2]}" if where else fault[2]
        if fault[1] != "unknown":
            _fail(source, field, "is missing", "copy the file from its run again")
        known = (SpaceRecord if where == "space" else GenotypeFile).__struct_fields__
        _fail(source, field, "is unknown", f"remove it{nearest(fault[2], known)}")
    if where.startswith("choices["):
        name, choice = _misfit(root["choices"])
        _fail(source, f"choices.{name}", f"is {json.dumps(choice)}", _CHOICE_RULE)
    reason = message.split(" - at ")[0].replace("`", "")
    _fail(source, where, f"has the wrong type ({reason[:1].lower()}{reason[1:]})", _AGAIN)


def _fail(source: str, field: str, fault: str, remedy: str) -> NoReturn:
    raise GenotypeError(f"{source}: field {field!r} {fault}; {remedy}")
