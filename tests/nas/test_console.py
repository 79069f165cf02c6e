import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from nas import console
from nas.console import MAX_COLUMNS, NarrowConsole, Progress, clock_text, say, table, warn


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    yield
    console.configure()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_no_line_is_wider_than_100_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    say("word " * 60)
    say("x" * 250)
    table([["y" * 150, "z" * 150]], ["one", "two"])
    warn("w" * 300)
    out, err = capsys.readouterr()
    assert max(map(len, (out + err).splitlines())) <= MAX_COLUMNS
    assert out.count("x") == 250
    assert out.count("y") == 150
    assert out.count("z") == 150


def test_columns_below_100_are_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    say("x" * 90)
    assert [len(line) for line in lines(capsys)] == [40, 40, 10]


def test_what_is_to_be_copied_is_never_broken_and_hints_stay_out_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    console.verbatim(f"|{'x' * 90}| [bold]\n  second")
    console.hint("next    nas show")
    assert capsys.readouterr() == (f"|{'x' * 90}| [bold]\n  second\n", "next    nas show\n")


def test_without_a_terminal_the_width_is_100(capsys: pytest.CaptureFixture[str]) -> None:
    say("x" * 120)
    assert [len(line) for line in lines(capsys)] == [100, 20]


def test_square_brackets_and_colons_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    say("not written: install [export] :smile: [bold]")
    assert lines(capsys) == ["not written: install [export] :smile: [bold]"]


def test_a_table_aligns_text_left_and_numbers_right(capsys: pytest.CaptureFixture[str]) -> None:
    table([["found", 98.9, "[a]"], ["random", 8, ""]], ["net", "test %", "note"])
    found = [line.rstrip() for line in lines(capsys)]
    assert found == ["net     test %  note", "found     98.9  [a]", "random       8"]


def test_a_table_of_nothing_prints_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    table([], ["run", "state"])
    assert lines(capsys)[0].split() == ["run", "state"]


def test_a_table_takes_rows_of_unequal_length(capsys: pytest.CaptureFixture[str]) -> None:
    table([["a"], ["b", "c"]])
    assert [line.rstrip() for line in lines(capsys)] == ["a", "b  c"]


def test_warnings_and_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    warn("slow")
    console.fail("wrong")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "warning: slow\nerror: wrong\n"


def test_no_color_is_honored(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        stream = io.StringIO()
        NarrowConsole(file=stream, force_terminal=True, color_system="truecolor").print(
            "hello", style="red"
        )
        return stream.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in shown()


def test_quiet_hides_lines_and_tables_but_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    console.configure(quiet=True)
    say("text")
    table([["cell"]])
    with Progress() as progress:
        progress.task("search", 1).advance()
    warn("slow")
    assert capsys.readouterr() == ("", "warning: slow\n")


def test_json_leaves_stdout_to_json(capsys: pytest.CaptureFixture[str]) -> None:
    console.configure(json=True)
    say("text")
    table([["cell"]])
    assert console.json_wanted()
    assert not console.json_emitted()
    console.emit({"path": os.fspath("a"), "nan": float("nan"), "text": "ä"})
    assert console.json_emitted()
    out, err = capsys.readouterr()
    assert json.loads(out) == {"path": "a", "nan": None, "text": "ä"}
    assert err.split() == ["text", "cell"]


def test_plain_progress_prints_one_line_per_interval_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with Progress(interval=5, clock=clock) as progress:
        task = progress.task("search", 50)
        for _ in range(50):
            clock.now += 1
            task.advance(loss=1.23456789)
    found = lines(capsys)
    assert len(found) == 10
    assert found[0] == "search  5/50  10 %  loss 1.235  0:45 left"
    assert found[-1] == "search  50/50  100 %  loss 1.235  in 0:50"


def test_an_epochs_end_prints_a_line_at_once_but_never_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with Progress(clock=clock) as progress:
        task = progress.task("search", 3)
        clock.now += 0.5
        task.advance()
        assert lines(capsys) == []
        task.mark(val=98.125, skip="2/8")
        assert lines(capsys) == ["search  1/3  33 %  val 98.12  skip 2/8  0:01 left"]
        task.advance(2)
        task.mark()
        task.mark()
        task.advance(0)
    assert len(lines(capsys)) == 1


def test_the_last_line_waits_for_the_last_values(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(clock=Clock()) as progress:
        first = progress.task("first", 1)
        first.advance()
        assert lines(capsys) == []
        first.advance(0, val=98)
        second = progress.task("second", 1)
        assert lines(capsys) == ["first  1/1  100 %  val 98  in 0:00"]
        second.advance()
        second.finish()
        assert lines(capsys) == ["second  1/1  100 %  in 0:00"]
        second.finish()
    assert lines(capsys) == []


def test_a_resumed_task_counts_only_its_own_pace(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(clock=clock) as progress:
        task = progress.task("search", 100, done=90)
        assert task.remaining() is None
        clock.now += 10
        task.advance()
        assert task.remaining() == pytest.approx(90)
        clock.now += 5
        assert task.remaining() == pytest.approx(85)


def test_remaining_time_follows_the_recent_pace() -> None:
    clock = Clock()
    task = Progress(clock=clock).task("search", 2000)
    for _ in range(600):
        clock.now += 10
        task.advance()
    for _ in range(400):
        clock.now += 1
        task.advance()
    assert task.remaining() == pytest.approx(1000)


def test_a_task_of_nothing_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.task("empty", 0).mark()
    assert lines(capsys) == ["empty  0/0  0 %  in 0:00"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (41.4, "0:41"), (59.6, "1:00"), (600, "10:00"), (3725, "1:02:05")],
)
def test_durations(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


BARS = """
from nas.console import Progress, say, warn
with Progress() as progress:
    task = progress.task("search", 5)
    for epoch in range(5):
        task.advance(val=0.5 + epoch, note="[red]x")
    say("a line between")
    warn("a warning between")
say("after")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("term", "live"), [("xterm-256color", True), ("dumb", False)])
def test_on_a_terminal_there_are_bars(term: str, live: bool) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": "300", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", BARS], stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    text = read_all(leader)
    assert process.wait(10) == 0
    os.close(leader)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n")
    assert ("━" in shown) == live
    assert "5/5" in text
    assert "val 4.5" in text
    assert "[red]x" in text
    assert "a line between" in text
    assert "\nwarning: a warning between" in shown
    visible = shown.split("\n")
    assert max(map(len, visible)) <= MAX_COLUMNS


def read_all(descriptor: int) -> str:
    found = b""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux says so when the other side is gone
            break
        if not part:
            break
        found += part
    return found.decode()


def test_importing_the_console_is_cheap() -> None:
    code = "import sys, nas.console; print([m for m in ('torch', 'hydra') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
