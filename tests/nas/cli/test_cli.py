from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig

import nas
from nas.cli import exit_code, main
from nas.cli.verbs import VERBS
from nas.errors import ConfigError, NasError, SpaceError

Say = Callable[..., "tuple[int, str, str]"]


def raising(error: BaseException) -> Callable[[DictConfig], float]:
    def act(cfg: DictConfig) -> float:
        raise error

    return act


def test_an_unknown_verb_gets_a_suggestion(say: Say) -> None:
    assert say("serch") == (2, "", "error: unknown verb 'serch'; did you mean 'search'?\n")


def test_a_verb_like_none_gets_the_list(say: Say) -> None:
    status, _, err = say("xyzzy")
    assert status == 2
    assert all(verb in err for verb in VERBS)


@pytest.mark.parametrize("line", ["", "--help", "-h", "help"])
def test_help_lists_every_verb(say: Say, line: str) -> None:
    status, out, err = say(*line.split())
    assert (status, err) == (0, "")
    assert all(f"  {verb.name} " in out and verb.help in out for verb in VERBS.values())


def test_the_version(say: Say) -> None:
    assert say("--version") == (0, f"nas {nas.__version__}\n", "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--plan search", "unknown option '--plan'; the verb comes first"),
        ("ls --jsn", "unknown option '--jsn'; did you mean '--json'?"),
        ("ls a b", "unexpected 'b'; usage: nas ls [FOLDER]"),
        ("doctor now", "unexpected 'now'; usage: nas doctor"),
        ("help serch", "unknown verb 'serch'; did you mean 'search'?"),
        ("ls nowhere", "there is no folder 'nowhere'"),
    ],
)
def test_words_that_are_not_understood_exit_with_2(say: Say, line: str, said: str) -> None:
    status, out, err = say(*line.split())
    assert (status, out) == (2, "")
    assert f"error: {said}" in " ".join(err.split())


@pytest.mark.parametrize(
    ("error", "status"),
    [(NasError("x"), 1), (SpaceError("x"), 1), (ConfigError("x"), 2), (NasError("y"), 7)],
)
def test_exit_status_of_errors(error: NasError, status: int) -> None:
    if status == 7:
        error.exit_code = 7  # type: ignore[attr-defined]
    assert exit_code(error) == status


def test_a_users_error_is_one_sentence(say: Say, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app.act = raising(SpaceError("channels=15 is not divisible by 4; use 16"))
    assert say("search") == (1, "", "error: channels=15 is not divisible by 4; use 16\n")
    monkeypatch.setenv("NAS_DEBUG", "1")
    status, _, err = say("search")
    assert status == 1
    assert "Traceback" in err
    assert err.endswith("error: channels=15 is not divisible by 4; use 16\n")


def test_an_error_with_its_own_status(say: Say, app: Any) -> None:
    error = NasError("stopped by SIGTERM")
    error.exit_code = 143  # type: ignore[attr-defined]
    app.act = raising(error)
    assert say("search")[0] == 143


def test_an_interrupt_exits_with_130(say: Say, app: Any) -> None:
    app.act = raising(KeyboardInterrupt())
    status, out, err = say("search")
    assert (status, out) == (130, "")
    assert err.strip() == ("error: interrupted; the same command goes on from the last checkpoint")


def test_the_unexpected_asks_for_the_traceback(
    say: Say, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.act = raising(ZeroDivisionError("division\nby zero"))
    status, out, err = say("search")
    assert (status, out) == (1, "")
    assert "Traceback" not in err
    assert "ZeroDivisionError: division by zero" in err
    assert "NAS_DEBUG=1" in err
    monkeypatch.setenv("NAS_DEBUG", "1")
    status, _, err = say("search")
    assert status == 1
    assert err.rstrip().endswith("ZeroDivisionError: division\nby zero")


def test_a_reader_that_left_is_no_error() -> None:
    code = "import sys; from nas.cli import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(20) in (0, 1)


IMPORTED = """
import sys
from nas.cli import main
status = main(sys.argv[1:])
print(status, [name for name in ("torch", "hydra", "omegaconf") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["serch"], 2),
        (["help", "search"], 0),
        (["search", "--help"], 0),
        (["ls", "/"], 0),
    ],
)
def test_looking_imports_neither_hydra_nor_torch(words: list[str], status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"{status} []"


def test_help_is_fast() -> None:
    import os

    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "nas", "--help"], capture_output=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    assert spent < 0.7, f"{spent:.2f} CPU s, {time.perf_counter() - start:.2f} s"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nas", "serch"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unknown verb 'serch'; did you mean 'search'?\n"


def test_arguments_default_to_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nas", "serch"])
    assert main() == 2
