"""A handler goes on, whatever a call does: that is told as an error and counted, and the next message is handled."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

import telex
from tests.support.loops import idle, loop_factory, until

Fault = Callable[[], Coroutine[Any, Any, None]]
QUICK = telex.Retry(attempts=2, first=0, jitter=0)


class Panic(BaseException):
    """As native extensions raise, and `pytest.fail`."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Surrogate(Exception):
    def __str__(self) -> str:
        return "caf\udce9"


def own_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def panics() -> None:
    raise Panic("native")


async def closes_itself() -> None:
    raise GeneratorExit


async def mute() -> None:
    raise Mute


async def surrogate() -> None:
    raise Surrogate


async def cancels_itself() -> None:
    own_task().cancel()
    await asyncio.sleep(0)


async def is_cancelled_by_another() -> None:
    asyncio.get_running_loop().call_soon(own_task().cancel)
    await asyncio.Event().wait()


async def group_of_exceptions() -> None:
    raise BaseExceptionGroup("several", [Panic("native"), ValueError("mine")])


FAULTS: list[Fault] = [panics, closes_itself, mute, surrogate, cancels_itself, is_cancelled_by_another]
FAULTS.append(group_of_exceptions)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "telex.handlers" and r.levelno >= logging.ERROR]


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_live_handler_goes_on(fault: Fault, concurrency: int, caplog: pytest.LogCaptureFixture) -> None:
    hub, got = telex.Hub(close_timeout=1), list[int]()

    @hub.on("t", concurrency=concurrency)
    async def handle(content: int) -> None:
        got.append(content)
        if content in (1, 2):
            await fault()

    async with hub:
        for content in range(5):
            await hub.topic("t").publish(content)
        await idle()
        await idle()
        (statistics,) = hub.statistics().handlers
        assert (statistics.handled, statistics.waiting, statistics.state) == (3, 0, "idle")
        assert statistics.failed == (0 if fault is closes_itself else 2)
    assert sorted(got) == list(range(5))
    assert len(errors(caplog)) >= 2
    assert hub.statistics().handlers[0].state == "stopped"


async def by_hand() -> None:
    """`nack` is asked for by the handler below."""


REASONS = {
    panics: "Panic: native",
    closes_itself: "GeneratorExit",
    mute: "Mute: <Mute whose str() raises RuntimeError>",
    surrogate: "Surrogate: caf\\udce9",
    cancels_itself: "CancelledError",
    is_cancelled_by_another: "CancelledError",
    group_of_exceptions: "BaseExceptionGroup: several (2 sub-exceptions)",
    by_hand: str(telex.Nack(delay=0)),
}


@pytest.mark.parametrize("wants_context", [True, False])
@pytest.mark.parametrize("fault", REASONS)
async def test_attempts_hold_for_every_kind_of_failure(fault: Fault, wants_context: bool) -> None:
    hub, calls = telex.Hub(close_timeout=1), 0

    async def handle(context: telex.Context[int]) -> None:
        nonlocal calls
        calls += 1
        await fault()
        await context.nack()

    async def without(content: int) -> None:
        nonlocal calls
        calls += 1
        await fault()
        raise telex.Nack(delay=0)

    hub.on("t", group="g", retry=QUICK, run_in="loop")(handle if wants_context else without)
    async with hub, hub.topic("dead:g").subscribe() as copies:
        await hub.topic("t").publish(1)
        await idle()
        await idle()
        (letter,) = await hub.groups.dead()
        (statistics,) = hub.statistics().handlers
        assert (calls, letter.attempts, letter.reason) == (2, 2, REASONS[fault])
        assert (statistics.retried, statistics.dead, statistics.state) == (1, 1, "idle")
        assert copies.receive_nowait().headers["telex-reason"] == REASONS[fault]


async def test_content_that_its_type_refuses_is_dead_at_once(tmp_path: Any) -> None:
    hub, called = telex.Hub(f"sqlite:///{tmp_path}/a.db"), list[object]()

    @hub.on("t", group="g", retry=telex.Retry(first="1h", most="1h"))
    async def handle(content: "Refusing") -> None:
        called.append(content)

    async with hub, hub.topic("dead:g").subscribe() as copies:
        await hub.topic("t").publish({"number": 0})
        copy = await copies.receive(timeout=10)
        await until(hub.groups.dead)
        (letter,) = await hub.groups.dead()
        assert "0" in letter.reason
        assert letter.attempts == 1
        assert copy.headers["telex-reason"] == letter.reason
    assert not called


class Refusing(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        raise KeyError(self.number)


# -- what it missed


async def test_a_handler_for_which_publishers_waited_too_long_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    hub, got, held = telex.Hub(), list[int](), asyncio.Event()

    @hub.on("t", overflow="block", buffer=1, block_timeout=0.01)
    async def handle(content: int) -> None:
        got.append(content)
        if content == 0:
            await held.wait()

    async with hub:
        topic = hub.topic("t")
        await topic.publish(0)
        await idle()
        for content in range(1, 5):
            await topic.publish(content)
        assert hub.statistics().handlers[0].state == "running"
        held.set()
        await idle()
        await topic.publish(5)
        await idle()
        (statistics,) = hub.statistics().handlers
        assert (statistics.handled, statistics.failed, statistics.lost, statistics.state) == (3, 1, 3, "idle")
    assert got == [0, 1, 5]
    (text,) = errors(caplog)
    assert "continues with new ones: SlowSubscriber" in text


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "latest"])
@pytest.mark.parametrize("stuck", [True, False])
async def test_the_logged_losses_add_up(overflow: Any, stuck: bool, caplog: pytest.LogCaptureFixture) -> None:
    hub, held = telex.Hub(close_timeout=0.01), asyncio.Event()

    @hub.on("t", overflow=overflow, buffer=10)
    async def handle(content: int) -> None:
        await held.wait()

    async with hub:
        for size in (40, 100):
            if not stuck:
                held.set()
            for content in range(size):
                hub.topic("t").publish_nowait(content)
            await idle()
        lost = hub.statistics().handlers[0].lost
    texts = [r.getMessage() for r in caplog.records if "more messages" in r.getMessage()]
    told = sum(int(text.partition("missed ")[2].split()[0]) for text in texts)
    assert told == lost > 0


# -- what ends it


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("options", [{}, {"group": "g"}, {"concurrency": 2}], ids=str)
@pytest.mark.parametrize("waits", [True, False])
def test_a_handler_may_end_the_program(ending: BaseException, options: dict[str, Any], waits: bool) -> None:
    hub, got = telex.Hub(close_timeout=1), list[int]()

    @hub.on("t", **options)
    async def handle(content: int) -> None:
        got.append(content)
        await asyncio.sleep(0) if waits else None
        raise ending

    async def program() -> None:
        async with hub:
            await hub.topic("t").publish(1)
            await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=loop_factory("asyncio")) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: None)
        with pytest.raises(type(ending)):
            runner.run(program())
    assert got == [1]
    assert hub.closed


def test_a_hub_that_nobody_closed_leaves_no_tasks() -> None:
    hub, begun = telex.Hub(), asyncio.Event()

    @hub.on("t")
    @hub.on("t", group="g")
    async def handle(content: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def program() -> None:
        await hub.__aenter__()
        await hub.topic("t").publish(1)
        await idle()

    with asyncio.Runner(loop_factory=loop_factory("asyncio")) as runner:
        runner.run(program())
        loop = runner.get_loop()
        unheard: list[Any] = []
        loop.set_exception_handler(lambda _, context: unheard.append(context))
    assert begun.is_set()
    assert not unheard
    assert not [task for task in asyncio.all_tasks(loop) if not task.done()]
