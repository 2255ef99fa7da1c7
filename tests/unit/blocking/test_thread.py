"""The thread of the hub, and the threads that wait for it."""

import asyncio
import errno
import signal
import threading

import pytest

import telex
from telex.blocking.thread import HubThread
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


def test_a_call_that_the_end_of_the_thread_cuts_short_raises_closed() -> None:
    async def close() -> None: ...

    thread, begun, errors = HubThread("telex test", close), threading.Event(), list[Exception]()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            thread.wait(work())
        except Exception as error:  # noqa: BLE001  # whatever it is
            errors.append(error)

    thread.start()
    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(10)
    thread.stop()
    caller.join()
    assert [type(error) for error in errors] == [telex.Closed]
