"""The place in which a function is called: what is refused when it is declared, and what a hub promises for each."""

import asyncio
import functools
import logging
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import telex
import telex.blocking
import telex.middleware
from telex.engines.memory.groups import MemoryGroups
from telex.handlers.places import check_place
from telex.hub import runtime_of
from tests.support.loops import until
from tests.unit.groups.parts import watched
from tests.unit.process import functions

origin: ContextVar[str] = ContextVar("origin", default="none")
HERE = threading.main_thread


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/places.db"


def plain(content: int) -> None: ...


async def waits(content: int) -> None: ...


class Called:
    def __call__(self, content: int) -> None: ...

    def method(self, content: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "place"),
    [
        (plain, "thread"),
        (lambda content: None, "thread"),
        (functools.partial(plain), "thread"),
        (Called(), "thread"),
        (Called().method, "thread"),
        (waits, "loop"),
        (functools.partial(waits), "loop"),
        ([].append, "loop"),
        (print, "loop"),
    ],
    ids=range(9),
)
def test_threads_call_python_functions_by_default_and_the_loop_all_others(
    function: Callable[..., object], place: str
) -> None:
    assert check_place(None, function, ("content",)) == place


@pytest.mark.parametrize("given", ["threads", "", 1, True])
def test_a_place_that_does_not_exist_lists_the_places(given: object) -> None:
    with pytest.raises(telex.BadOption, match=r"must be 'thread' .*'loop' or 'process'"):
        check_place(given, plain, ())


@pytest.mark.parametrize("given", ["thread", "process"])
def test_an_async_function_runs_in_the_loop_only(given: str) -> None:
    with pytest.raises(telex.BadOption, match="waits is `async def`, and runs in the event loop"):
        check_place(given, waits, ())


@pytest.mark.parametrize(
    "function", [lambda content: None, functools.partial(plain), Called(), Called().method, print], ids=range(5)
)
def test_a_process_takes_only_functions_that_it_can_import(function: Callable[..., object]) -> None:
    with pytest.raises(telex.BadHandler, match="top level of a module, not a lambda"):
        telex.Hub().on("x", run_in="process")(function)


def test_a_nested_function_is_refused_for_a_process() -> None:
    def nested(content: int) -> None: ...

    with pytest.raises(telex.BadHandler, match="top level of a module"):
        telex.Hub().command("x", run_in="process")(nested)


@pytest.mark.parametrize("program", ["repl", "stdin", "folder"])
def test_a_process_takes_no_function_of_a_program_that_it_cannot_import(
    program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def check() -> None:
        check_place("process", mine, ("content",))

    mine = FunctionType(plain.__code__, {"__name__": "__main__"}, "mine")
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    if program == "stdin":
        main.__file__ = "<stdin>"
    elif program == "folder":
        main.__file__, main.__spec__ = __file__, ModuleSpec("shop.__main__", None)
    with pytest.raises(telex.BadHandler, match="put it into a file that the program imports"):
        check()
    main.__file__, main.__spec__ = __file__, ModuleSpec("shop", None)
    check()


@pytest.mark.parametrize("kind", ["hub", "context", "blocking_hub"])
def test_a_process_is_given_no_object_of_the_hub(kind: str) -> None:
    with pytest.raises(telex.BadHandler, match="stays in this process"):
        check_place("process", plain, ("content", kind))


def test_a_process_is_given_no_batch() -> None:
    with pytest.raises(telex.BadHandler, match="a process is given one message: leave out batch= or run_in='process'"):
        telex.Hub().on("x", group="g", batch=10, run_in="process")(functions.sum_up)


def test_a_transaction_needs_an_async_function() -> None:
    def writes(content: int, tx: telex.Transaction) -> None: ...

    with pytest.raises(telex.BadHandler, match="a transaction is awaited: make it `async def`"):
        telex.Hub().on("x", group="g", tx=True)(writes)
    with pytest.raises(telex.BadHandler, match="a transaction is awaited: make it `async def`"):
        telex.Hub().command("x", once=True)(writes)


def test_a_blocking_hub_would_block_the_loop() -> None:
    async def waiting(content: int, hub: telex.blocking.Hub) -> None: ...

    def short(content: int, hub: telex.blocking.Hub) -> None: ...

    with pytest.raises(telex.BadHandler, match=r"take a telex\.Hub"):
        telex.Hub().on("x")(waiting)
    with pytest.raises(telex.BadHandler, match="leave out run_in='loop'"):
        telex.Hub().on("x", run_in="loop")(short)


def test_a_thread_cannot_await_a_hub_and_the_loop_can_use_it() -> None:
    def loses(content: int, hub: telex.Hub) -> None: ...

    def unknown(content: int, hub: "blocking.Hub") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for declare in (telex.Hub().on("x"), telex.Hub().command("x"), telex.Hub().every("1s"), telex.Router().on("x")):
        with pytest.raises(telex.BadHandler, match=r"loses .*would be lost: .*`telex\.blocking\.Hub`, whose.*'loop'"):
            declare(loses)
    with pytest.raises(telex.BadHandler, match="imported outside of `if TYPE_CHECKING:`"):
        telex.Hub().on("x")(unknown)
    telex.Hub().on("x", run_in="loop")(loses)


# -- threads


async def test_a_coroutine_that_a_sync_function_returns_is_awaited_or_refused(url: str) -> None:
    hub = telex.Hub(url, timeout=20)
    hub.on("a", run_in="loop")(lambda content: hub.topic("b").publish(content))
    hub.on("a", group="g", retry=telex.Retry(attempts=1))(lambda content: hub.topic("b").publish(content))
    hub.command("send")(lambda content: hub.topic("b").publish(content))
    async with hub, hub.topic("b").subscribe() as inbox, hub.topic("dead:g").subscribe() as dead:
        await hub.topic("a").publish(1)
        assert (await inbox.receive(20)).content == 1
        reason = (await dead.receive(20)).headers["telex-reason"]
        assert "it returned the coroutine Topic.publish, which was not awaited" in reason
        with pytest.raises(telex.CommandFailed, match="make it `async def`"):
            await hub.call("send", 1)


async def test_a_sync_handler_uses_the_running_hub_from_its_thread(url: str) -> None:
    hub, threads = telex.Hub(url, timeout=20), []

    @hub.on("a", group="g")
    def relay(content: int, hub: telex.blocking.Hub) -> None:
        threads.append(threading.current_thread())
        hub.topic("b").publish(hub.call("double", content))

    @hub.command("double")
    def double(content: int) -> int:
        threads.append(threading.current_thread())
        return content * 2

    async with hub, hub.topic("b").subscribe() as inbox:
        await hub.topic("a").publish(21)
        assert (await inbox.receive(20)).content == 42
    assert len(threads) == 2
    assert HERE() not in threads


async def test_a_handler_that_raises_in_a_thread_is_retried_and_dead_lettered(url: str) -> None:
    hub, attempts = telex.Hub(url), []

    @hub.on("x", group="g", retry=telex.Retry(attempts=3, first=0.0, jitter=0.0))
    def fail(content: str, context: telex.Context[str]) -> None:
        attempts.append(context.attempt)
        if content == "reject":
            raise telex.Reject("not ours")
        raise ValueError("mine")

    async with hub, hub.topic("dead:g").subscribe() as dead:
        await hub.topic("x").publish("fails")
        assert (await dead.receive(20)).headers["telex-reason"] == "ValueError: mine"
        await hub.topic("x").publish("reject")
        assert (await dead.receive(20)).headers["telex-reason"] == "not ours"
    assert attempts == [1, 2, 3, 1]


async def test_a_context_in_a_thread_says_how_to_settle() -> None:
    hub, errors = telex.Hub(), []

    @hub.on("x", group="g")
    def settle(content: int, context: telex.Context[int]) -> None:
        try:
            context.ack()  # type: ignore[unused-coroutine]  # it raises
        except telex.Misuse as error:
            errors.append(str(error))

    async with hub:
        await hub.topic("x").publish(1)
        await hub.idle(timeout=20)
    assert "raise telex.Nack or telex.Reject" in errors[0]


async def test_a_thread_that_outlives_its_lease_is_told_and_settles_nothing() -> None:
    hub, groups = watched()
    begun, told = threading.Event(), []

    @hub.on("x", group="g", lease="0.2s")
    def slow(content: int, context: telex.Context[int]) -> None:
        begun.set()
        while not context.lease_lost:
            threading.Event().wait(0.002)
        told.append(context.attempt)

    async with hub:
        await hub.topic("x").publish(1)
        await until(begun.is_set)
        now = groups.clock
        groups.clock = lambda: now() + 1
        stolen = await MemoryGroups.fetch(groups, "g", "x", 1, 1000, "thief", 0.0)
        groups.clock = now
        assert [delivery.attempt for delivery in stolen.deliveries] == [2]
        await until(lambda: told)
        await until(lambda: runtime_of(hub).calls_nothing)
        (found,) = hub.statistics().handlers
        assert (found.lapsed, found.handled, found.failed) == (1, 0, 0)
    assert (told, groups.actions()) == ([1], [["extend"]])


async def test_concurrency_bounds_the_threads_of_a_handler_and_1_keeps_the_order() -> None:
    hub, running, most, order = telex.Hub(), [0], [0], []
    lock = threading.Lock()

    def work(content: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.002)
        with lock:
            running[0] -= 1

    hub.on("x", concurrency=3)(work)
    hub.on("x")(lambda content: order.append(content))
    async with hub:
        for number in range(12):
            await hub.topic("x").publish(number)
        await hub.idle(timeout=20)
    assert most[0] == 3
    assert order == list(range(12))


async def test_context_variables_of_the_publisher_reach_the_thread() -> None:
    hub, found = telex.Hub(), []
    hub.on("x")(lambda content: found.append(origin.get()))
    async with hub:
        origin.set("17")
        await hub.topic("x").publish(1)
        await hub.idle(timeout=20)
    assert found == ["17"]


async def test_progress_and_cancelling_reach_the_sender_of_a_command_in_a_thread(url: str) -> None:
    hub, begun, ended = telex.Hub(url), threading.Event(), []

    @hub.command("work")
    def work(content: int, context: telex.CommandContext[int]) -> None:
        context.progress(0.5, "half")
        begun.set()
        while not context.cancelled:
            threading.Event().wait(0.005)
        ended.append(context.lease_lost)

    async with hub, hub.follow("work", progress=True) as steps:
        ticket = await hub.send("work", 1)
        await until(begun.is_set)
        await ticket.cancel()
        with pytest.raises(telex.CommandFailed, match="cancelled"):
            await ticket
        assert (await steps.receive(20)).text == "half"  # type: ignore[union-attr]  # a progress
    assert ended == [False]


async def test_a_command_that_runs_once_runs_in_a_thread_once(url: str) -> None:
    hub, calls = telex.Hub(url), []

    @hub.command("pay", once=True)
    def pay(cents: int) -> str:
        calls.append(threading.current_thread() is HERE())
        return f"{cents} paid"

    async with hub:
        assert [await hub.call("pay", 7, key="k") for _ in range(3)] == ["7 paid"] * 3
    assert calls == [False]


async def test_the_timeout_of_a_thread_is_raised_when_it_has_returned() -> None:
    hub, go, running = telex.Hub(), threading.Event(), []

    @hub.command("slow", middleware=[telex.middleware.timeout("10ms")])
    def slow(content: int) -> None:
        running.append(1)
        go.wait(20)
        running.clear()

    async with hub:
        asyncio.get_running_loop().call_later(0.05, go.set)
        with pytest.raises(telex.CommandFailed) as failed:
            await hub.call("slow", 1)
        assert (failed.value.type, running) == ("Timeout", [])


async def test_a_hub_that_closes_waits_for_its_threads_and_then_leaves_them(caplog: pytest.LogCaptureFixture) -> None:
    begun, go, ended = threading.Event(), threading.Event(), []

    def stuck(content: int, hub: telex.blocking.Hub) -> None:
        begun.set()
        go.wait(20)
        ended.append(hub.closed)

    for seconds, waits in ((20, True), (0.01, False)):
        hub = telex.Hub(close_timeout=seconds)
        hub.on("x")(stuck)
        begun.clear()
        go.clear()
        caplog.clear()
        async with hub:
            await hub.topic("x").publish(1)
            await until(begun.is_set)
            if waits:
                asyncio.get_running_loop().call_later(0.02, go.set)
        assert (ended == [True]) is waits
        warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any("stuck still runs in a thread" in text for text in warned) is not waits
        go.set()
        await until(lambda: ended)
        ended.clear()


async def test_a_handler_in_a_thread_cannot_close_its_hub() -> None:
    hub, errors = telex.Hub(), []

    @hub.on("x")
    def close(content: int, hub: telex.blocking.Hub) -> None:
        try:
            hub.close()
        except telex.Misuse as error:
            errors.append(str(error))

    async with hub:
        await hub.topic("x").publish(1)
        await hub.idle(timeout=20)
    assert "closing waits for the handlers" in errors[0]


async def test_functions_of_triggers_run_in_threads() -> None:
    hub, threads, asked = telex.Hub(), [], []

    def is_due() -> bool:
        asked.append(threading.current_thread())
        return True

    @hub.every("5ms")
    def tick(firing: telex.Firing) -> None:
        threads.append(threading.current_thread())

    @hub.when(is_due, every="5ms", name="asked")
    def due(firing: telex.Firing) -> None:
        threads.append(threading.current_thread())

    async with hub:
        await until(lambda: len(threads) >= 2 and asked)
    assert HERE() not in {*threads, *asked}


def test_a_polled_function_is_not_called_in_a_process() -> None:
    with pytest.raises(telex.BadOption, match="'thread' or 'loop' for a function that is polled"):
        telex.Hub().when(lambda: True, every="1s", run_in="process", topic="x")


# -- processes


async def test_a_process_that_imports_the_program_again_opens_no_second_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without the guard would handle messages in its own worker process."""
    monkeypatch.setitem(sys.modules, "__mp_main__", ModuleType("__mp_main__"))
    hub = telex.Hub()
    hub.on("x", run_in="process")(functions.double)
    with pytest.raises(telex.Misuse, match='put what runs under `if __name__ == "__main__":`'):
        await hub.__aenter__()
    async with telex.Hub():
        pass  # without processes a program may have a hub there
    monkeypatch.setitem(sys.modules, "__mp_main__", sys.modules["__main__"])  # it has imported the program
    runtime_of(hub).processes.check_program(hub.declarations)


@pytest.mark.slow
async def test_a_process_calls_commands_and_handlers_and_is_killed_at_the_timeout(url: str, tmp_path: Path) -> None:
    hub, noted, waited = telex.Hub(url, processes=1), tmp_path / "noted", tmp_path / "waited"
    hub.command("whole", run_in="process")(functions.whole)
    hub.command("fail", run_in="process")(functions.fail)
    hub.command("double", once=True, run_in="process")(functions.double)
    hub.on("notes", group="g", run_in="process")(functions.note)
    limit = telex.middleware.timeout("100ms")
    hub.command("wait", run_in="process", middleware=[limit])(functions.note_and_wait)
    async with hub:
        assert (await hub.call("whole", functions.Order(7)))[3:] == ["Order", 7]
        assert await hub.call("double", 21, key="k") == 42
        with pytest.raises(telex.CommandFailed) as failed:
            await hub.call("fail", "command")
        assert (failed.value.type, failed.value.code) == ("OutOfStock", "out_of_stock")
        with pytest.raises(telex.CommandFailed) as failed:
            await hub.call("fail", "error")
        assert (failed.value.type, failed.value.message) == ("ValueError", "mine")
        with pytest.raises(telex.CommandFailed) as failed:
            await hub.call("wait", str(waited))
        assert failed.value.type == "Timeout"
        await hub.topic("notes").publish(str(noted))
        await hub.idle(timeout=20)
    assert len(noted.read_text().split()) == 1


@pytest.mark.slow
async def test_a_message_whose_process_dies_is_retried_by_the_group() -> None:
    hub: Any = telex.Hub(processes=1)
    hub.on("x", group="g", retry=telex.Retry(attempts=2, first=0.0), run_in="process")(functions.die)
    async with hub, hub.topic("dead:g").subscribe() as dead:
        await hub.topic("x").publish(1)
        message = await dead.receive(20)
    assert "ProcessDied: its process has ended (signal SIGKILL" in message.headers["telex-reason"]
    assert message.headers["telex-attempts"] == "2"
