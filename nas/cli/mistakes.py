"""Says in one sentence what is wrong with a setting where Hydra takes many lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException, ValidationError

from nas.cli.compose import choices_of, defaults
from nas.cli.paths import config_dir, shipped_folders
from nas.errors import ConfigError, NasError, nearest

if TYPE_CHECKING:
    from nas.cli.positional import Line

_KINDS = {
    "Integer": "a whole number",
    "Float": "a number",
    "bool": "true or false",
    "Path": "a path",
}


def explain(error: BaseException, line: Line) -> Exception:
    """Return the one-sentence error for what composing the settings raised.

    A ``NasError`` anywhere in the chain (of a resolver, say) is returned as it is; an exception
    that neither Hydra nor OmegaConf raised is returned unchanged.
    """
    for link in _chain(error):
        if isinstance(link, NasError):
            return link
    sentence = _sentence(error, line)
    if sentence is not None:
        return ConfigError(sentence)
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def explain_job(error: Exception, line: Line) -> Exception:
    """Return the one-sentence error for what a job raised; other exceptions stay as they are."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explain(error, line)
    return error


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _sentence(error: BaseException, line: Line) -> str | None:
    for link in _chain(error):
        if isinstance(link, OverrideParseException):
            return _syntax(link)
        if isinstance(link, MissingConfigException):
            return _no_such_choice(link, line)
        if isinstance(link, ValidationError):
            return _wrong_type(link)
        if type(link).__module__.startswith("yaml"):
            return _damaged_yaml(link)
        if isinstance(link, UnicodeDecodeError):
            return _no_text(line)
        if isinstance(link, MissingMandatoryValue):
            return _missing_value(str(link), line)
    text = str(error)
    for pattern, rule in _RULES:
        match = re.search(pattern, text, re.DOTALL)
        if match:
            return rule(match, line)
    if isinstance(error, HydraException | OmegaConfBaseException) or _raised_by_hydra(error):
        first = next((str(link) for link in _chain(error) if str(link)), type(error).__name__)
        prefix = "the settings do not compose: " if "interpolation" in first.lower() else ""
        return f"{prefix}{_one_line(first)}"
    return None


def _raised_by_hydra(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", "")) if trace else ""
    return isinstance(error, ValueError | OSError) and module.startswith("hydra.")


def _one_line(text: str) -> str:
    head = re.split(r"\n\s*(?:full_key|object_type|Config search path|See https)", text)[0]
    return " ".join(head.split())


def _damaged_yaml(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1}" if mark else "a config file"
    problem = getattr(error, "problem", None) or _one_line(str(error))
    return f"{place}: this is not YAML ({problem})"


def _no_text(line: Line) -> str | None:
    """Name the user's config that is no text; None where all of them are."""
    for folder in line.config_dirs:
        for file in sorted(folder.glob("**/*.yaml")):
            try:
                file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                return f"{file}: this is not YAML (it is not text in UTF-8)"
    return None


def _syntax(error: OverrideParseException) -> str:
    key, equal, _ = error.override.partition("=")
    if not equal:
        return f"{error.override!r} has no value; settings are written key=value"
    return (
        f"{error.override!r} cannot be read; close its brackets and quotes, or quote the whole"
        f" value: \"{key}='...'\""
    )


def _no_such_choice(error: MissingConfigException, line: Line) -> str:
    missing = error.missing_cfg_file or ""
    group, _, choice = missing.rpartition("/")
    if not group:
        return (
            f"there is no config {missing!r} in {config_dir()}"
            if missing
            else _one_line(str(error))
        )
    choices = list(error.options or choices_of(line).get(group) or ())
    listed = f"the choices are {', '.join(choices)}" if choices else "it has no choices"
    where = _asked_in(group, choice, line)
    if not choice:
        return f"{where}{group} needs a value: {listed}"
    if f"{group}={choice}" in set(line.overrides) - set(line.typed):
        return (
            f"that run was made with {group}={choice}, which is no choice here; add the "
            f"--config-dir of its command, or choose another {group}"
        )
    hint = nearest(choice, choices)
    return f"{where}unknown {group} {choice!r}{hint or ';'} {_bracketed(listed, bool(hint))}"


def _asked_in(group: str, choice: str, line: Line) -> str:
    """Return the config file whose defaults ask for a choice, unless the line itself does."""
    if any(text.lstrip("+").startswith(f"{group}=") for text in line.overrides):
        return ""
    asks = re.compile(rf"^\s*- .*\b{re.escape(group)}(@\S+)?:\s*{re.escape(choice)}\s*(#|$)", re.M)
    for folder in (*line.config_dirs, *shipped_folders()):
        for file in sorted(folder.glob("**/*.yaml")):
            if asks.search(file.read_text(encoding="utf-8", errors="replace")):
                return f"{file.relative_to(folder)}: "
    return ""


def _bracketed(text: str, brackets: bool) -> str:
    return f"({text})" if brackets else text


def _wrong_type(error: ValidationError) -> str:
    text = str(error)
    key = re.search(r"full_key: (\S+)", text)
    value = re.search(r"[Vv]alue '(.*?)'", text)
    kind = re.search(r"converted to (\w+)|valid (\w+)", text)
    if key and value and kind:
        word = kind[1] or kind[2]
        return f"{key[1]}={value[1]} is not {_KINDS.get(word, f'a valid {word}')}"
    return f"{key[1]}: {_one_line(text)}" if key else _one_line(text)


def _missing_value(text: str, line: Line) -> str:
    found = re.search(r"full_key: (\S+)|value: '?([\w.]+)", text)
    key = (found[1] or found[2]) if found else "a setting"
    if key == line.verb.positional:
        return f"nas {line.verb.name} needs a {key}, e.g. {line.verb.examples[0][0]}"
    return f"{key!r} needs a value: add {key}=VALUE"


def _unknown_key(match: re.Match[str], line: Line) -> str:
    name = match[1]
    known = known_settings(line)
    choices = choices_of(line)
    if name in choices and name not in known:
        return f"nas {line.verb.name} does not use the group {name!r}"
    return f"unknown setting {name!r}{_suggestion(name, known, choices, line)}"


def _suggestion(name: str, known: Sequence[str], choices: dict[str, list[str]], line: Line) -> str:
    parent, _, leaf = name.rpartition(".")
    siblings = [key[len(parent) + 1 :] for key in known if parent and key.startswith(f"{parent}.")]
    siblings = [key for key in siblings if "." not in key]
    if parent == "budget" and f"cost.{leaf}" in known:
        return f"; to limit a cost that is not shipped, add it: +{name}=VALUE"
    if "_target_" in siblings and _is_unnamed(parent, line):
        return f"; it has no class yet, name that as well: {parent}._target_=my_lab.MyClass"
    if siblings:
        hint = nearest(leaf, siblings)
        if hint:
            return hint.replace("'", f"'{parent}.", 1)
        return f"; {parent} has {', '.join(sorted(siblings))}"
    same = [key for key in known if key.rpartition(".")[2] == leaf and key != name]
    if same:
        return f"; did you mean {' or '.join(repr(key) for key in same[:3])}?"
    hint = nearest(name, [*known, *choices])
    return hint or f"; 'nas {line.verb.name} --cfg job' prints every setting"


def _is_unnamed(node: str, line: Line) -> bool:
    cfg = defaults(line)
    found = None if cfg is None else OmegaConf.select(cfg, node)
    return OmegaConf.is_dict(found) and OmegaConf.is_missing(found, "_target_")


def known_settings(line: Line) -> list[str]:
    """Return every key path of the verb's settings, composed with the groups the line chooses."""
    cfg = defaults(line)
    plain = None if cfg is None else OmegaConf.to_container(cfg, resolve=False)
    return list(_paths(plain)) if isinstance(plain, dict) else []


def _paths(plain: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    for key, value in plain.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")


def _exists_already(match: re.Match[str], line: Line) -> str:
    return f"{match[1]!r} exists already; write {match[2]} without '+'"


def _several_values(match: re.Match[str], line: Line) -> str:
    key, _, values = match[1].partition("=")
    text = f"{match[1]} has several values; add -m to run each of them"
    return text if "(" in values else f"{text}, or write {key}=[{values}] for a list"


def _must_choose(match: re.Match[str], line: Line) -> str:
    listed = ", ".join(choices_of(line).get(match[1], ()))
    return f"{match[1]} is not chosen; add {match[1]}=CHOICE, one of {listed}"


def _chosen_twice(match: re.Match[str], line: Line) -> str:
    return f"{match[1]} is chosen twice; write {match[1]}={match[2]} once, without '+'"


def _not_a_choice(match: re.Match[str], line: Line) -> str:
    for text in line.overrides:
        key, _, value = text.partition("=")
        choices = choices_of(line).get(key.lstrip("+~"))
        if choices and value not in choices:
            return f"{key}={value} is not a choice; the choices are {', '.join(choices)}"
    return f"the name of a choice is text; got a {match[1]}"


_Rule = Callable[[re.Match[str], "Line"], str]
_RULES: tuple[tuple[str, _Rule], ...] = (
    (r"Ambiguous value for argument '(.*?)'\n", _several_values),
    (r"Sweep parameters '(.*?)' requires", _several_values),
    (
        r"Could not append to config. An item is already at '(.*?)'.*prefix: '(.*?)'",
        _exists_already,
    ),
    (r"Could not override '(.*?)'", _unknown_key),
    (r"Could not delete(?: from config\.)? '(.*?)'", _unknown_key),
    (r"You must specify '(.*?)'", _must_choose),
    (r"Multiple values for ([\w/@]+)\..*: (\w+)'", _chosen_twice),
    (r"group override must be a string or a list. Got (\w+)", _not_a_choice),
)
