"""No background task and no thread ends in silence: whatever is raised at any of their steps, every wait ends, and the
hub either works on or fails with an error that says so."""

import asyncio
import errno
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.chat import lobby as chat
from telex.engines.sqlite import SQLiteEngine, delayed
from telex.hub import runtime_of
from telex.process import supervision
from telex.triggers.trigger import state_of
from telex.triggers.variable import value_of
from tests.support.internals import (
    bounded,
    client_of,
    consumers_of,
    engine_of,
    firings_of,
    groups_of,
    leases_of,
    records_of,
    set_bounds,
    transport_of,
)
from tests.support.loops import until

PATIENCE = 2.0


class OfItsOwn(BaseException):
    """What no library expects."""


def sqlite_error(kind: type[sqlite3.Error], code: int) -> sqlite3.Error:
    error = kind("as SQLite says it")
    error.sqlite_errorcode = code
    return error


KINDS: tuple[Callable[[], BaseException], ...] = (
    MemoryError,
    RecursionError,
    partial(KeyError, "no"),
    partial(OSError, errno.EMFILE, "too many open files"),
    partial(sqlite_error, sqlite3.OperationalError, sqlite3.SQLITE_IOERR),
    partial(sqlite_error, sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT),
    partial(UnicodeDecodeError, "utf-8", b"\xff", 0, 1, "no"),
    OfItsOwn,
    asyncio.CancelledError,  # of something that was awaited
)


class Fault:
    """Raises once in the place of a function."""

    def __init__(self, owner: Any, name: str, kind: Callable[[], BaseException], when: Callable[..., bool]) -> None:
        self.hit = False
        self._function, self._kind, self._when = getattr(owner, name), kind, when
        self.undo = partial(setattr, owner, name, self._function)
        setattr(owner, name, self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        if not self.hit and self._when(*args):
            self.hit = True
            raise self._kind()
        return self._function(*args, **options)


def always(*_: Any) -> bool:
    return True


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(supervision, "PAUSE_SECONDS", 0.001)


# -- the engine


def impatient(url: str) -> SQLiteEngine:
    return bounded(url, read_pauses=(0.001,) * 4, rewatch_seconds=0.001, delay_seconds=0.001)


def is_move(function: Any, *_: Any) -> bool:
    return function is delayed.publish_due


def has_batch(posted: Any, *_: Any) -> bool:
    return bool(posted.__name__ == "committed")


OF_THE_ENGINE: dict[str, Callable[[Any], tuple[Any, str, Callable[..., bool]]]] = {
    "reader: call": lambda r: (r.reader, "_call", always),
    "reader: answer": lambda r: (r.reader.events, "post", always),
    "writer: gather": lambda r: (r.writer, "_gather", always),
    "writer: begin": lambda r: (r.writer, "_begin", always),
    "writer: refresh": lambda r: (r.writer.ledger, "refresh", always),
    "writer: add": lambda r: (r.writer.ledger, "add", always),
    "writer: flush": lambda r: (r.writer.ledger, "flush", always),
    "writer: finish": lambda r: (r.writer.ledger, "finish", always),
    "writer: sweep": lambda r: (r.writer.sweeper, "step", always),
    "writer: after a commit": lambda r: (r.writer.ledger, "clear", always),
    "writer: batch": lambda r: (r.writer, "_batch", always),
    "writer: serve a transaction": lambda r: (r.writer, "_serve", always),
    "writer: tell": lambda r: (r.writer.events, "begun", always),
    "watcher: watch": lambda r: (r.watcher, "_post", always),
    "tail: begin to read": lambda r: (r.changes, "_catch_up", always),
    "tail: decode": lambda r: (r.changes, "_decode", always),
    "tail: take in": lambda r: (r.changes, "take_in", always),
    "tail: deliver": lambda r: (r.changes, "_deliver", always),
    "tail: settle": lambda r: (r.changes, "_settle", always),
    "tail: feed": lambda r: (r.events, "deliver", always),
    "delayed: publish": lambda r: (r, "call", is_move),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", OF_THE_ENGINE)
async def test_whatever_a_step_of_the_engine_raises_every_wait_ends(tmp_path: Path, step: str) -> None:
    url = f"sqlite:///{tmp_path}/x.db?synchronous=normal"
    async with telex.Hub(url) as other:
        for kind in KINDS:
            hub = await telex.Hub(impatient(url), close_timeout=1.0).__aenter__()
            try:
                await inject(hub, other, step, kind)
            finally:
                await asyncio.wait_for(hub.aclose(), PATIENCE)


async def inject(hub: telex.Hub, other: telex.Hub, step: str, kind: Callable[[], BaseException]) -> None:
    engine: Any = engine_of(hub)
    runtime = client_of(engine)
    async with hub.topic("t").subscribe(overflow="drop_oldest", buffer=1) as inbox:
        owner, name, when = OF_THE_ENGINE[step](runtime)
        fault = Fault(owner, name, kind, when)
        if "sweep" in step:
            runtime.writer.sweeper.orphaned()
        waits: list[Awaitable[Any]] = [
            hub.topic("t").publish("own"),
            other.topic("t").publish("of another"),
            hub.topic("t").publish("later", delay=0.001),
            anything(hub.topic("t").history()),
            transaction(hub),
            hub.groups.list(),
        ]
        for told in await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), PATIENCE):
            assert not isinstance(told, BaseException) or isinstance(told, telex.TelexError), (kind, told)

        async def is_hit() -> bool:  # the watcher, and what is published later, come when they come
            await other.topic("t").publish("more")
            if step == "delayed: publish" and not fault.hit:  # one whose time has passed meanwhile is not kept
                await hub.topic("t").publish("later", delay=0.01)
            return fault.hit

        await until(is_hit, PATIENCE)
        fault.undo()
        try:
            last = await asyncio.wait_for(hub.topic("t").publish("last"), PATIENCE)
        except (telex.EngineFailed, telex.Closed):
            async for _ in inbox:  # which ends
                pass
            return
        heard = None
        while heard != last.seq:
            heard = (await inbox.receive(timeout=PATIENCE)).seq


async def anything(items: Any) -> None:
    async for _ in items:
        pass


async def transaction(hub: telex.Hub) -> None:
    async with hub.transaction() as tx:
        await tx.publish("t", "in a transaction")


# -- the hub


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[telex.Hub]:
    url = f"sqlite:///{path}/x.db?synchronous=normal"
    async with telex.Hub(impatient(url), close_timeout=1.0, **options) as hub:
        set_bounds(hub, engine_retry_seconds=0.001, claim_retry_seconds=0.001)
        yield hub


async def of_groups(path: Path, kind: Callable[[], BaseException], name: str) -> None:
    async with opened(path) as hub:
        got: asyncio.Queue[object] = asyncio.Queue()

        @hub.on("t", group="g", lease=0.1, start="earliest")
        async def take(content: object) -> None:
            await got.put(content)
            if name == "renew":
                await until(lambda: fault.hit, PATIENCE)

        owner = consumers_of(hub)[0].leased if name == "renew" else groups_of(hub)
        fault = Fault(owner, name, kind, always)
        await hub.topic("t").publish(0)
        await hub.topic("t").publish(1)
        await until(lambda: fault.hit, PATIENCE)
        await hub.topic("t").publish(2)
        heard: set[object] = set()
        while not {0, 1, 2} <= heard:
            heard.add(await asyncio.wait_for(got.get(), PATIENCE))


async def of_commands(path: Path, kind: Callable[[], BaseException], name: str) -> None:
    async with opened(path) as server, opened(path) as hub:

        @server.command("double")
        async def double(number: int) -> int:
            return 2 * number

        await transport_of(server).registry.beat()
        assert await hub.call("double", 1) == 2
        transport = transport_of(hub)
        assert transport is not None
        owner = {"beat": transport.registry}.get(name, transport.inbox)
        fault = Fault(owner, name, kind, always)
        if name == "beat":
            transport.registry.begin()
        else:
            ticket = await hub.send("double", 2)
            del ticket  # its outcome may have been what could not be read
        await until(lambda: fault.hit, PATIENCE)
        fault.undo()
        assert await asyncio.wait_for(hub.call("double", 3), PATIENCE) == 6


async def of_once(path: Path, kind: Callable[[], BaseException], name: str) -> None:
    async with opened(path) as hub:
        renewed = asyncio.Event()

        @hub.command("slow", once=True, lease="2s")
        async def slow(content: object) -> str:
            claims = leases_of(hub, "slow")
            (held,) = claims.held
            put = type(held).put
            fault = iter([kind()])

            class Once(type(held)):  # type: ignore[misc]
                __slots__ = ()

                async def put(self, event: Any) -> Any:
                    for error in fault:
                        raise error
                    renewed.set()
                    return await put(self, event)

            held.__class__ = Once
            for _ in range(2):
                held.renew(time.monotonic() + 10)
                while held.renewing is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            return "done"

        assert await asyncio.wait_for(hub.call("slow", None, key="k"), PATIENCE) == "done"
        assert renewed.is_set()


async def of_triggers(path: Path, kind: Callable[[], BaseException], name: str) -> None:
    async with opened(path) as hub:
        count = hub.variable("count", 0)
        fired: asyncio.Queue[str] = asyncio.Queue()
        hub.every(timedelta(seconds=0.02), name="tick", topic="tick")
        when: Any = state_of(hub.when(count >= 2, name="two", topic="two"))

        @hub.on("tick")
        async def tick(firing: telex.Firing) -> None:
            await fired.put("tick")

        @hub.on("two")
        async def two(firing: telex.Firing) -> None:
            await fired.put("two")

        await count.set(1)
        await until(lambda: when.watching)
        firings = firings_of(hub)
        owners: dict[str, Any] = {"fire_due": firings, "take": when.source, "hear": value_of(count)}
        owners |= {"_try_batch": firings.queue}
        fault = Fault(owners.get(name, firings.records), name, kind, always)
        await count.set(2)
        await until(lambda: fault.hit, PATIENCE)
        fault.undo()
        heard: set[str] = set()
        while not heard >= ({"tick"} if name == "take" else {"tick", "two"}):
            heard.add(await asyncio.wait_for(fired.get(), PATIENCE))
        await count.set(3)
        await until(lambda: count.value == 3, PATIENCE)


async def of_retention(path: Path, kind: Callable[[], BaseException], name: str) -> None:
    async with opened(path) as hub:
        fault = Fault(engine_of(hub).store, name, kind, always)
        hub.retain("t", messages=3)
        await until(lambda: fault.hit, PATIENCE)
        await until(lambda: not (runtime_of(hub).topics.pending_rules or hub._chores), PATIENCE)
        for number in range(5):
            await hub.topic("t").publish(number)
        assert [message.content async for message in hub.topic("t").history()] == [2, 3, 4]


async def of_the_lobby(path: Path, kind: Callable[[], BaseException], name: str) -> None:
    if not issubclass(type(kind()), Exception):
        return
    async with opened(path) as hub:
        lobby = chat.Lobby(hub, 0.001)
        lobby.retry_seconds = 0.001
        async with lobby.open(), hub.topic("presence:r").subscribe() as changes:
            await lobby.enter(chat.Enter("r", "Ann", "k" * 20))
            fault = Fault(lobby, name, kind, always)
            lobby.lose("r", "Ann")
            await until(lambda: fault.hit, PATIENCE)
            told = [(await changes.receive(timeout=PATIENCE)).content for _ in range(2)]
            assert [(change.event, change.name) for change in told] == [("joined", "Ann"), ("left", "Ann")]


OF_THE_HUB: dict[str, Callable[[Path, Callable[[], BaseException]], Awaitable[None]]] = {
    "group: fetch": lambda path, kind: of_groups(path, kind, "fetch"),
    "group: settle": lambda path, kind: of_groups(path, kind, "settle"),
    "group: renew leases": lambda path, kind: of_groups(path, kind, "renew"),
    "directory: beat": lambda path, kind: of_commands(path, kind, "beat"),
    "inbox: hear": lambda path, kind: of_commands(path, kind, "take"),
    "inbox: open a letter": lambda path, kind: of_commands(path, kind, "read"),
    "once: renew a lease": lambda path, kind: of_once(path, kind, "put"),
    "triggers: fire what is due": lambda path, kind: of_triggers(path, kind, "fire_due"),
    "triggers: read a record": lambda path, kind: of_triggers(path, kind, "read"),
    "triggers: claim those of time": lambda path, kind: of_triggers(path, kind, "_try_batch"),
    "triggers: commit a firing": lambda path, kind: of_triggers(path, kind, "commit"),
    "triggers: watch a condition": lambda path, kind: of_triggers(path, kind, "take"),
    "triggers: follow a variable": lambda path, kind: of_triggers(path, kind, "hear"),
    "retention: tell the engine": lambda path, kind: of_retention(path, kind, "retain"),
    "lobby: publish who left": lambda path, kind: of_the_lobby(path, kind, "_publish_change"),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", OF_THE_HUB)
async def test_whatever_a_step_of_a_hub_raises_it_goes_on(tmp_path: Path, step: str) -> None:
    for number, kind in enumerate(KINDS):
        if kind is KINDS[5] and step.startswith(("group", "triggers", "once", "directory", "retention")):
            continue  # damage ends the hub, where the engine itself reports it
        folder = tmp_path / str(number)
        folder.mkdir()
        await asyncio.wait_for(OF_THE_HUB[step](folder, kind), 4 * PATIENCE)


# -- the parts


async def test_work_that_raises_is_done_again_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    errors = [KeyError("a"), KeyError("a"), ValueError("b")]

    async def work() -> None:
        if errors:
            raise errors.pop(0)

    await supervision.keep_doing("the work", work, pause=0.0)
    assert not errors
    assert [record.getMessage().partition(";")[0] for record in caplog.records if record.name == "telex"] == [
        "the work: KeyError: 'a'",
        "the work: ValueError: b",
    ]


async def test_work_ends_when_its_task_is_cancelled_and_when_the_hub_is_closed() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(supervision.keep_doing("the work", wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def closed() -> None:
        raise telex.Closed("it", "open another")

    async def broken() -> None:
        raise KeyError

    await supervision.keep_doing("the work", closed)
    await supervision.keep_doing("the work", broken, ended=lambda: True)


@pytest.mark.parametrize("value", [b"{", b"", b"\xff", b'{"at": "never"}'])
async def test_a_damaged_heartbeat_of_one_hub_hides_no_other(tmp_path: Path, value: bytes) -> None:
    async with opened(tmp_path) as server, opened(tmp_path) as hub:

        @server.command("double")
        async def double(number: int) -> int:
            return 2 * number

        await transport_of(server).registry.beat()
        assert await records_of(hub).put("$hubs", "another", value, 0) is not None
        assert await hub.call("double", 1) == 2
