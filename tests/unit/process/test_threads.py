"""`ThreadPool`: its bounds, results, exceptions, cancellations and its end."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

import telex
from telex.process.threads import ThreadPool, check_size
from tests.support.loops import until

request: ContextVar[str] = ContextVar("request", default="none")


@asynccontextmanager
async def opened(size: int = 4) -> AsyncIterator[ThreadPool]:
    pool = ThreadPool(size, lambda: None)
    try:
        yield pool
    finally:
        await pool.close()


class Blocking:
    """A function that waits in its thread until it is released."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, value: Any) -> Any:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.began.release()
        assert self.go.wait(20)
        with self._lock:
            self.running -= 1
        return value

    async def begun(self, calls: int = 1) -> None:
        for _ in range(calls):
            await until(lambda: self.began.acquire(blocking=False))


async def test_a_call_runs_in_a_thread_and_has_the_context_of_its_caller() -> None:
    def call(argument: int) -> tuple[int, str, bool]:
        found = request.get()
        request.set("of the thread")
        return argument, found, threading.current_thread() is threading.main_thread()

    async with opened() as pool:
        request.set("of the caller")
        assert await pool.submit(call, 7, "call") == (7, "of the caller", False)
        assert request.get() == "of the caller"


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), asyncio.CancelledError()], ids=type)
async def test_the_exception_of_a_call_is_raised_to_its_caller(error: BaseException) -> None:
    def call(_: object) -> None:
        raise error

    async with opened() as pool:
        with pytest.raises(type(error)):
            await pool.submit(call, None, "call")


async def test_a_stop_iteration_does_not_get_lost() -> None:
    async with opened() as pool:
        with pytest.raises(RuntimeError, match="next raised StopIteration"):
            await pool.submit(next, iter(()), "next")


async def test_no_more_calls_run_at_once_than_the_pool_has_threads() -> None:
    work = Blocking()
    async with opened(2) as pool:
        calls = [pool.submit(work, number, "work") for number in range(6)]
        await work.begun(2)
        assert not pool.idle
        work.go.set()
        assert await asyncio.gather(*calls) == list(range(6))
        assert work.most == 2
        assert pool.idle


async def test_a_call_that_has_not_begun_is_cancelled_at_once() -> None:
    later: list[int] = []
    work = Blocking()
    async with opened(1) as pool:
        first, second = pool.submit(work, 1, "work"), pool.submit(later.append, 2, "later")
        await work.begun()
        assert second.cancel()
        assert second.cancelled()
        work.go.set()
        assert await first == 1
    assert later == []


async def test_a_cancelled_call_keeps_its_caller_until_it_returns() -> None:
    work = Blocking()
    async with opened() as pool:

        async def caller() -> None:
            await pool.submit(work, 1, "work")

        task = asyncio.create_task(caller())
        await work.begun()
        task.cancel()
        assert await asyncio.wait({task}, timeout=0.01) == (set(), {task})
        work.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.idle


async def test_a_timeout_is_raised_when_the_thread_has_returned() -> None:
    work = Blocking()
    async with opened() as pool:
        asyncio.get_running_loop().call_later(0.03, work.go.set)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await pool.submit(work, 1, "work")
        assert work.running == 0


async def test_a_pool_that_closes_names_the_function_that_it_leaves_behind(caplog: pytest.LogCaptureFixture) -> None:
    work = Blocking()
    pool = ThreadPool(4, lambda: None)
    call = pool.submit(work, 1, "shop.print_labels")
    await work.begun()
    await asyncio.wait_for(pool.close(), 5)
    assert call.cancelled()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "shop.print_labels still runs in a thread" in record.getMessage()
    with pytest.raises(telex.Closed):
        pool.submit(work, 2, "shop.print_labels")
    work.go.set()  # and the thread ends: the rules of a test run check it


async def test_a_closed_pool_has_no_threads() -> None:
    before = threading.active_count()
    async with opened() as pool:
        await asyncio.gather(*[pool.submit(str, number, "str") for number in range(20)])
        assert threading.active_count() > before
    await until(lambda: threading.active_count() == before)
    await pool.close()  # a second time


async def test_a_thread_outlives_the_loop_of_its_call() -> None:
    errors: list[object] = []
    work = Blocking()
    hook: Callable[[Any], Any] = errors.append

    async def main() -> None:
        pool = ThreadPool(1, lambda: None)
        pool.submit(work, 1, "work")
        await work.begun()
        pool.abandon()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", hook)
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        await asyncio.to_thread(thread.join)
        work.go.set()
        await until(lambda: not any(each.name.startswith("telex call") for each in threading.enumerate()))
    assert errors == []


@pytest.mark.parametrize("size", [0, -1, True, "4", 1.5])
def test_a_size_is_a_number_of_at_least_1(size: object) -> None:
    with pytest.raises(telex.BadOption, match=r"bad threads .*it must be at least 1"):
        check_size(size, "threads")


async def test_a_call_for_which_the_system_has_no_thread_waits_for_another_or_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    blocking = Blocking()
    async with asyncio.timeout(10), opened() as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                pool.submit(abs, -1, "abs")
            assert pool.idle
        first = pool.submit(blocking, 1, "first")
        await blocking.begun()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            second = pool.submit(blocking, 2, "second")
        blocking.go.set()
        assert (await first, await second) == (1, 2)
