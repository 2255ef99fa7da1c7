"""The thread of the hub, and the threads that wait for it."""

import errno
import signal
import threading

import pytest

import telex
from tests.support.internals import log_of


def test_waiting_for_the_hub_in_its_own_thread_is_refused() -> None:
    hub = telex.blocking.Hub()
    problems: list[Exception] = []

    @hub.on("a", run_in="loop")
    def handler(content: object) -> None:
        try:
            hub.topic("b")
        except telex.WrongThread as error:
            problems.append(error)

    with hub:
        hub.topic("a").publish(1)
    assert len(problems) == 1
    assert "an argument `hub: telex.Hub`" in str(problems[0])


class Interrupted(Exception):
    """Ctrl-C, in a test."""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
def test_an_interrupted_receive_takes_no_message() -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    try:
        with telex.blocking.Hub() as hub, hub.topic("a").subscribe() as inbox:
            parked = log_of(hub.topic("a")._topic).observer.waiters

            def when_it_waits() -> None:
                while not parked:
                    threading.Event().wait(0.001)
                signal.pthread_kill(main, signal.SIGUSR1)

            thread = threading.Thread(target=when_it_waits)
            thread.start()
            with pytest.raises(Interrupted):
                inbox.receive(timeout=10)
            thread.join()
            hub.topic("a").publish(1)
            assert inbox.receive(timeout=5).content == 1
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_system_without_another_event_loop_is_told_by_entering(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    hub = telex.blocking.Hub()
    with monkeypatch.context() as patch:
        patch.setattr("asyncio.new_event_loop", refuse)
        patch.setattr("asyncio.events.new_event_loop", refuse)
        with pytest.raises(OSError, match="Too many"):
            hub.__enter__()
    with hub:
        assert hub.connected
