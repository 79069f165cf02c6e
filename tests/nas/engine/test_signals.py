import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from nas.engine.signals import InterruptedRunError, Stopper

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """A handler that a test left behind would end all of pytest."""
    before = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", BOTH)
def test_while_deferred_a_signal_only_asks(number: int) -> None:
    with Stopper() as stopper, stopper.deferred():
        stopper.check("in search")
        send(number)
        assert stopper.requested == number
        with pytest.raises(InterruptedRunError) as error:
            stopper.check("in search, epoch 3")
    name = signal.Signals(number).name
    assert str(error.value) == (
        f"stopped by {name} in search, epoch 3; the same command resumes it"
    )
    assert error.value.exit_code == 128 + number


@pytest.mark.parametrize("number", BOTH)
def test_outside_of_a_loop_a_signal_interrupts_at_once(number: int) -> None:
    def work() -> None:
        with Stopper():
            try:
                send(number)
            except Exception:  # as the libraries do that trace a network
                pytest.fail("swallowed")
            pytest.fail("not interrupted")

    with pytest.raises(InterruptedRunError, match=signal.Signals(number).name) as error:
        work()
    assert error.value.exit_code == 128 + number
    assert str(error.value).endswith("; the same command resumes it")


def test_after_a_loop_signals_interrupt_at_once_again() -> None:
    def work() -> None:
        with Stopper() as stopper:
            with suppress(ZeroDivisionError), stopper.deferred():
                _ = 1 / 0
            send(signal.SIGTERM)
            pytest.fail("not interrupted")

    with pytest.raises(InterruptedRunError):
        work()


def test_a_second_sigint_interrupts_at_once_even_when_deferred() -> None:
    def work() -> None:
        with Stopper() as stopper, stopper.deferred():
            send(signal.SIGINT)
            send(signal.SIGINT)
            pytest.fail("not interrupted")

    with pytest.raises(InterruptedRunError) as error:
        work()
    assert error.value.exit_code == 130


def test_a_second_sigterm_waits_like_the_first() -> None:
    with Stopper() as stopper, stopper.deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert stopper.requested == signal.SIGTERM


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with Stopper():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


def test_an_interrupt_of_another_origin_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt), Stopper():
        raise KeyboardInterrupt


def test_an_error_after_a_request_passes_through() -> None:
    def work() -> None:
        with Stopper() as stopper:
            stopper.requested = signal.SIGTERM
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        work()


def test_outside_of_the_main_thread_handlers_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with Stopper() as stopper:
            seen.append(signal.getsignal(signal.SIGTERM))
            stopper.check("anywhere")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
