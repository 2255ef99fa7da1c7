"""Waiters: tasks are woken together, each once, and one that is cancelled or timed out leaves nothing."""

import asyncio
import contextvars

import pytest

import telex
from telex.log.log import Log, Retention
from telex.process.waiters import FEW, Notifier, Waiter, park, wake_all, within
from tests.support.loops import idle
from tests.support.shell import Clock


async def test_a_task_that_ends_the_program_leaves_no_sleeper_asleep() -> None:
    loop, woken = asyncio.get_running_loop(), list[int]()
    waiters = [Waiter(loop) for _ in range(3)]

    async def sleep(number: int) -> None:
        await waiters[number]
        woken.append(number)

    def exit(waiter: Waiter) -> None:
        raise SystemExit(3)

    tasks = [asyncio.create_task(sleep(number)) for number in (1, 2)]
    await idle()
    waiters[0].add_done_callback(exit, context=contextvars.copy_context())
    # Called from no task, as the loop does it.
    raised = loop.create_future()

    def wake() -> None:
        try:
            wake_all(waiters)
        except SystemExit as error:
            raised.set_result(error.code)

    loop.call_soon(wake)
    assert await raised == 3
    await idle()
    done = [task.done() for task in tasks]
    for task in tasks:
        task.cancel()
    assert done == [True, True]
    assert woken == [1, 2]


async def test_a_reader_of_a_log_waits_as_long_as_its_timeout() -> None:
    clock = Clock()
    log = Log("a", "epoch", Retention(), 1)
    log.observer = Notifier()
    waiting = asyncio.ensure_future(park(log, 10.0))
    await clock.forward(9.9)
    assert not waiting.done()
    await clock.forward(0.2)
    assert await waiting is False
    gone = asyncio.ensure_future(park(log, -1.0))
    await clock.forward(0)
    assert await gone is False


async def sleeps(waiter: Waiter, woken: list[str], name: str) -> None:
    await waiter
    woken.append(name)


@pytest.mark.every_loop
async def test_a_waiter_is_awaited_again_and_again() -> None:
    waiter, woken = Waiter(asyncio.get_running_loop()), list[str]()
    for number in range(3):
        task = asyncio.create_task(sleeps(waiter, woken, str(number)))
        await idle()
        assert waiter.taken
        assert len(woken) == number
        waiter.wake()
        waiter.wake()  # it is awake
        assert not waiter.taken
        await task
    assert woken == ["0", "1", "2"]
    assert asyncio.isfuture(waiter)
    assert waiter.loop is asyncio.get_running_loop()


async def test_waking_before_anybody_waits_wakes_nobody() -> None:
    waiter, woken = Waiter(asyncio.get_running_loop()), list[str]()
    waiter.wake()
    task = asyncio.create_task(sleeps(waiter, woken, "a"))
    await idle()
    assert not task.done()
    waiter.wake()
    await task


@pytest.mark.every_loop
@pytest.mark.parametrize("message", [None, "enough"])
async def test_a_cancelled_task_is_woken_with_its_message_and_the_waiter_goes_on(message: str | None) -> None:
    waiter, woken = Waiter(asyncio.get_running_loop()), list[str]()
    assert not waiter.cancel()
    task = asyncio.create_task(sleeps(waiter, woken, "a"))
    await idle()
    task.cancel(message)
    with pytest.raises(asyncio.CancelledError, match=message or "^$"):
        await task
    again = asyncio.create_task(sleeps(waiter, woken, "b"))
    await idle()
    waiter.wake()
    await again
    assert woken == ["b"]


async def test_a_task_that_is_cancelled_after_it_was_woken_is_cancelled() -> None:
    waiter, woken = Waiter(asyncio.get_running_loop()), list[str]()
    task = asyncio.create_task(sleeps(waiter, woken, "a"))
    await idle()
    waiter.wake()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.every_loop
@pytest.mark.parametrize("count", [0, 1, 2, FEW, FEW + 1, 100])
async def test_every_waiting_task_is_woken_once_in_its_order(count: int) -> None:
    notifier, woken, loop = Notifier(), list[str](), asyncio.get_running_loop()
    waiters = [Waiter(loop) for _ in range(count)]
    tasks = [asyncio.create_task(sleeps(waiter, woken, str(n))) for n, waiter in enumerate(waiters)]
    await idle()
    notifier.waiters = dict.fromkeys(waiters)
    if count:
        notifier.notify()
    assert not notifier.waiters, "who waits from now on waits for the next"
    await asyncio.gather(*tasks)
    assert woken == [str(number) for number in range(count)]


async def test_a_step_has_the_context_of_its_own_task() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    found: list[str] = []

    async def sleep(waiter: Waiter, own: str) -> None:
        name.set(own)
        await waiter
        found.append(name.get())

    loop = asyncio.get_running_loop()
    waiters = [Waiter(loop) for _ in range(3)]
    tasks = [asyncio.create_task(sleep(waiter, str(number))) for number, waiter in enumerate(waiters)]
    await idle()
    loop.call_soon(wake_all, waiters)
    await asyncio.gather(*tasks)
    assert found == ["0", "1", "2"]
    assert name.get() == "nobody"


async def test_room_wakes_every_publisher_that_waits() -> None:
    class Blocked:
        woken = 0

        def wake(self) -> None:
            self.woken += 1
            del notifier.blocked[self]

    notifier = Notifier()
    blocked = [Blocked(), Blocked()]
    notifier.blocked = dict.fromkeys(blocked)
    notifier.room_made()
    assert [each.woken for each in blocked] == [1, 1]


def log_with(notifier: Notifier) -> Log:
    log = Log("a", "epoch", Retention(), 1)
    log.observer = notifier
    return log


async def test_a_reader_waits_for_the_next_change_of_a_log() -> None:
    notifier = Notifier()
    log = log_with(notifier)
    parked = asyncio.create_task(park(log))
    await idle()
    assert not parked.done()
    log.append(telex.Message(1, "a", 1, 1, 0.0), 0.0)
    assert await parked
    assert not notifier.waiters


async def test_a_reader_that_stops_waiting_leaves_nothing_in_the_log() -> None:
    notifier = Notifier()
    log = log_with(notifier)
    parked = asyncio.create_task(park(log, 3600))
    await idle()
    assert len(notifier.waiters) == 1
    parked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parked
    assert not notifier.waiters
    assert not await park(log, -1)
    assert not notifier.waiters


class Lost:
    problem = "the server is away"


async def never() -> None:
    await asyncio.Event().wait()


async def test_waiting_within_a_limit_names_what_took_too_long() -> None:
    with pytest.raises(telex.Timeout, match="publishing took longer than the 0 s") as raised:
        await within(0, "publishing", never())
    assert "away" not in str(raised.value)
    with pytest.raises(telex.Timeout, match="the server is away"):
        await within(0, "publishing", never(), Lost())


async def test_another_timeout_is_passed_on() -> None:
    async def own() -> None:
        raise TimeoutError("mine")

    async def ours() -> None:
        raise telex.Timeout("connecting", 3)

    for work, text in ((own, "mine"), (ours, "connecting")):
        with pytest.raises(TimeoutError, match=text):
            await within(5, "publishing", work())
    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(0):
            await within(5, "publishing", never())
    assert not isinstance(raised.value, telex.Timeout)


async def test_a_result_within_the_limit_is_returned() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await within(None, "publishing", work()) == 7
    assert await within(5, "publishing", work()) == 7
