"""Edges of the program, one each; `tests/mutants/hand.py` names the bug that each finds."""

import asyncio
import io
import itertools
import math
import signal
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from telex import Hub
from telex.cli import client, http, stopping, supervisor
from telex.cli.exits import Exit
from telex.errors import BadOption, Timeout
from telex.gateway.protocol import Messages, Subscribe, Subscribed
from telex.testing.clock import VirtualClock
from tests.unit.cli.conftest import Telex


def test_a_crash_after_a_steady_run_counts_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waits = VirtualClock(), []
    lasting = iter([(0.5, 1), (0.5, 1), (supervisor.STEADY + 1, 1), (supervisor.STEADY - 1, 1), (0.0, Exit.USAGE)])

    async def run(self: object, number: int) -> int:
        seconds, code = next(lasting)
        await asyncio.sleep(seconds)
        return int(code)

    def wait(crashes: int) -> float:
        waits.append(crashes)
        return 0.1

    monkeypatch.setattr(supervisor.Supervisor, "run_worker", run)
    monkeypatch.setattr(supervisor, "wait_before", wait)
    monkeypatch.setattr(time, "monotonic", clock)

    async def main() -> None:
        await supervisor.Supervisor("shop:hub", 1, reload=False, options=()).keep(1)

    clock.run(main())
    assert waits == [1, 2, 1, 2]


def test_a_worker_that_hangs_is_killed() -> None:
    clock, signals = VirtualClock(), list[tuple[str, float]]()

    class Process:
        def __init__(self) -> None:
            self._ended = asyncio.Event()
            self.returncode: int | None = None

        def terminate(self) -> None:
            signals.append(("terminate", clock()))

        def kill(self) -> None:
            signals.append(("kill", clock()))
            self._ended.set()

        async def wait(self) -> int:
            await self._ended.wait()
            return -9

    async def main() -> None:
        process: Any = Process()
        async with asyncio.timeout(60):
            await supervisor.stop(process, supervisor.MARGIN, asyncio.Event())

    begun = clock()
    clock.run(main())
    assert signals == [("terminate", begun), ("kill", begun + 15.0)], "docs/command-line.md says so"


class Connections:
    """In the place of `Client`: each connection gives the frames of its turn, and is lost."""

    def __init__(self, turns: list[list[Messages]]) -> None:
        self.since: list[object] = []
        self._turns = iter(turns)

    def __call__(self, url: str, timeout: float) -> Self:
        self._frames = iter(next(self._turns))
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def request(self, frame: Subscribe, kind: type[Subscribed], limit: float) -> Subscribed:
        self.since.append(frame.since)
        return Subscribed(frame.topic, f"begins {len(self.since)}")

    def next(self, timeout: float | None) -> Messages:
        for frame in self._frames:
            return frame
        raise client.Gone("ws://there", 1012, "the server stops")


def test_a_follower_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [[Messages("a", f"{turn}:{number}", []) for number in range(turn)] for turn in (2, 0, 3, 0)]
    connections = Connections(frames)
    monkeypatch.setattr(client, "Client", connections)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    followed = client.follow("ws://there", "a", "earliest", 1.0, None)
    seen = [frame.position for frame in itertools.islice(followed, 9) if isinstance(frame, Messages)]
    followed.close()
    assert seen == ["2:0", "2:1", "3:0", "3:1", "3:2"]
    assert connections.since == ["earliest", "2:1", "begins 2", "3:2"]


def test_nobody_waits_past_the_deadline() -> None:
    for _ in range(20):
        assert 0 <= client.retry_wait(30, math.inf) <= 5.0
        assert 0 <= client.retry_wait(30, time.monotonic() + 0.01) <= 0.01
    with pytest.raises(Timeout, match="connecting again"):
        client.retry_wait(1, time.monotonic())


async def test_the_second_signal_ends_the_program_soon_whatever_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[tuple[object, object]] = []
    hint, end = object(), stopping.end_process

    class Timer:
        def cancel(self) -> None: ...

        def join(self) -> None: ...

    def later(seconds: float, function: object) -> Timer:
        timers.append((seconds, function if function is end else hint))
        return Timer()

    monkeypatch.setattr(stopping, "call_later", later)

    async def run() -> None:
        asked = stopping.Stopping(is_worker=False)
        asked.signalled(signal.SIGTERM, None)
        await asyncio.sleep(0)
        assert asked.asked.is_set()
        assert not asked.at_once
        asked.signalled(signal.SIGTERM, None)
        await asyncio.Event().wait()

    worker = stopping.Stopping(is_worker=True)
    for _ in range(3):
        worker.signalled(signal.SIGINT, None)  # the terminal sends it to all, and the supervisor says what it means
    assert not worker.at_once
    assert timers == []
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(run())
    assert timers == [(stopping.HINT_SECONDS, hint), (stopping.END_SECONDS, end)]


@pytest.mark.parametrize(("key", "written"), [("a", '"a"'), ('a "b" \\', '"a \\"b\\" \\\\"'), (" ", '" "')])
def test_a_key_is_quoted_for_a_header(key: str, written: str) -> None:
    assert http.quoted(key) == written


@pytest.mark.parametrize("key", ["a\nb", "\x7f", "über", "\ud800", "a\tb"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(BadOption, match="printable ASCII"):
        http.quoted(key)


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "asks"), [("y", ()), ("n", ()), (None, ("--yes",))])
def test_on_a_terminal_forgetting_a_key_is_asked_for(
    telex: Telex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None, asks: tuple[str, ...]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    url = f"sqlite:///{tmp_path}/shop.db?synchronous=normal"

    async def charge() -> None:
        hub = Hub(url)
        hub.command("charge", once=True)(charged)
        async with hub:
            assert await hub.call("charge", 5, key="a", timeout=20) == 5

    def charged(amount: int) -> int:
        return amount

    asyncio.run(charge())
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    ran = telex("once", "forget", "charge", "a", "--url", url, *asks)
    assert ("Forget this?" in ran.err) is (answer is not None)
    assert ("is forgotten" in ran.out) is (answer != "n")
