"""The first and the second signal."""

import asyncio
import signal

import pytest

from telex.cli import stopping


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
