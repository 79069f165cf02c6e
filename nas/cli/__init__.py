"""The command ``nas``: finds the verb, runs it, and turns errors into one sentence and a status.

Exit status: 0 done, 1 failed, 2 a mistake on the command line, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from nas import console
from nas.cli.verbs import VERBS, Verb
from nas.errors import ConfigError, NasError, nearest

HELP = ("-h", "--help")
DEBUG = "NAS_DEBUG"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one line of ``nas`` and return its exit status; every error is told on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(args)
    except KeyboardInterrupt:
        _traceback_if_wanted()
        console.errors.print()
        runs = args[0] in VERBS and VERBS[args[0]].kind == "run"
        hint = "; the same command goes on from the last checkpoint" if runs else ""
        console.fail(f"interrupted{hint}")
        return 130
    except NasError as error:
        _traceback_if_wanted()
        console.fail(str(error))
        return exit_code(error)
    except BrokenPipeError:  # the reader of a pipe has gone, e.g. `nas ls | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not _traceback_if_wanted():
            console.fail(_unexpected(error))
        return 1


def _unexpected(error: Exception) -> str:
    from nas.plugins import raised_in

    text = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
    if place := raised_in(error):
        return f"{place}: {text}; {DEBUG}=1 shows the whole traceback"
    return f"this should not happen ({text}); run it again with {DEBUG}=1 to see where"


def exit_code(error: NasError) -> int:
    """Return the error's own ``exit_code``, 2 for a wrong setting or word, else 1."""
    own = getattr(error, "exit_code", None)
    return own if isinstance(own, int) else 2 if isinstance(error, ConfigError) else 1


def _dispatch(args: list[str]) -> int:
    from nas.cli import help as helping

    if not args or args[0] in HELP:
        helping.main_help()
        return 0
    if args[0] == "--version":
        from nas import __version__

        console.say(f"nas {__version__}")
        return 0
    verb, rest = _branch(_verb(args[0]), args[1:])
    if any(word in HELP for word in rest):
        from nas.cli.paths import shipped_folders, typed_folders

        helping.verb_help(verb, [*shipped_folders(), *typed_folders(rest)])
        return 0
    if verb.kind == "run" and not (rest and rest[0] in verb.looks):
        return _run(verb, rest)
    from nas.cli.look import run

    return run(verb, rest)


def _verb(word: str) -> Verb:
    if word.startswith("-"):
        raise ConfigError(f"unknown option {word!r}; the verb comes first: nas VERB [options]")
    if word not in VERBS:
        hint = nearest(word, VERBS) or f"; the verbs are {', '.join(VERBS)}"
        raise ConfigError(f"unknown verb {word!r}{hint}")
    return VERBS[word]


def _branch(verb: Verb, rest: list[str]) -> tuple[Verb, list[str]]:
    """Return the verb of two words that the line begins with, where it is one."""
    for branch in verb.branches:
        if rest and rest[0] == branch.name.split()[1]:
            return branch, rest[1:]
    return verb, rest


def _run(verb: Verb, rest: list[str]) -> int:
    from nas.cli.hydra_app import run
    from nas.cli.positional import parse

    return run(parse(verb, rest))


def _traceback_if_wanted() -> bool:
    """Print the traceback of the exception at hand if NAS_DEBUG=1 asks for it."""
    if os.environ.get(DEBUG, "") in ("", "0"):
        return False
    import traceback

    traceback.print_exc()
    return True
