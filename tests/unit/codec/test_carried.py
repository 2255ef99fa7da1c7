"""Acknowledged content comes back equal and of the declared type, on every engine and by every way; other content is
refused. A cell of the matrix is one kind of content, on one engine, by one way.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import telex
from telex.codec.content import Content, to_canonical, to_json
from telex.codec.roundtrip import is_record
from telex.gateway import AccessRules, Commands, Gateway, Limits
from telex.triggers.variable import value_of
from tests.support.contents import CARRIED, REFUSED, Case, nested, same
from tests.support.loops import until
from tests.support.pretend import PretendEngine, Server
from tests.support.websocket import WebSocketClient

ENGINES = ("memory", "sqlite", "pretend")
WITHIN = 30.0
UNNAMED = tuple(case for case in CARRIED if case[0] != "subclass")
"""What comes back where nothing names its class: results, variables, and what a client of the gateway publishes."""
CELLS = {"memory": 753, "sqlite": 1186, "pretend": 1186}
"""So many cells there are at least: one that is no longer looked at is missed."""


class Place:
    """Where hubs of one engine keep what they keep. A memory hub shares nothing with another."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self.shared = engine != "memory"
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._url = f"sqlite:///{folder}/{engine}.db?synchronous=normal"
        self._server = Server()

    def source(self) -> Any:
        return {"memory": "memory://", "sqlite": self._url, "pretend": PretendEngine(self._server)}[self.engine]

    def hub(self) -> telex.Hub:
        return telex.Hub(self.source(), close_timeout=5)


class Cells:
    """What was looked at, and what was wrong."""

    def __init__(self) -> None:
        self.count = 0
        self.wrong: list[str] = []

    def see(self, way: str, name: str, sent: object, back: object) -> None:
        self.count += 1
        if not same(sent, back):
            self.wrong.append(f"{way}, {name}: {sent!r} came back as {back!r}")

    def see_all(self, way: str, found: dict[str, Any], cases: tuple[Case, ...] = CARRIED) -> None:
        for name, _, value in cases:
            self.see(way, name, value, found.get(name, "nothing"))


def annotated(function: Callable[..., Any], type: Any) -> Callable[..., Any]:
    """A handler whose argument and result are of ``type``."""
    function.__annotations__ = {"value": type, "return": type}
    return function


def declare_topics(hub: telex.Hub) -> None:
    for name, type, _ in CARRIED:
        for prefix in ("t", "tx", "socket", "dead"):
            hub.topic(f"{prefix}:{name}", type)


def declare_commands(hub: telex.Hub) -> None:
    async def echo(value: Any) -> Any:
        return value

    for name, type, _ in UNNAMED:
        hub.command(f"once:{name}", once=True, run_in="loop")(annotated(lambda value: echo(value), type))


def declare_groups(hub: telex.Hub, taken: dict[str, Any], done: asyncio.Event) -> None:
    def taker(name: str) -> Callable[[Any], None]:
        def take(value: Any) -> None:
            taken[name] = value
            if len(taken) == 2 * len(CARRIED):
                done.set()

        return take

    def refuser(name: str) -> Callable[[Any], None]:
        def refuse(value: Any) -> None:
            taken[f"refused {name}"] = value
            if len(taken) == 2 * len(CARRIED):
                done.set()
            raise telex.Reject("it is for the dead letters")

        return refuse

    for name, type, _ in CARRIED:
        hub.on(f"t:{name}", group="takes", run_in="loop")(annotated(taker(name), type))
        hub.on(f"t:{name}", group="refuses", dead_letter=f"dead:{name}", run_in="loop")(annotated(refuser(name), type))


async def until_dead(hub: telex.Hub) -> list[telex.DeadLetter]:
    async def all_are() -> bool:
        return len(await hub.groups.dead("refuses")) >= len(CARRIED)

    await until(all_are, WITHIN)
    return await hub.groups.dead("refuses")


async def history(hub: telex.Hub, prefix: str) -> dict[str, Any]:
    found = {}
    for name, _, _ in CARRIED:
        async for message in hub.topic(f"{prefix}:{name}").history():
            found[name] = message.content
    return found


def name_of(topic: str) -> str:
    return topic.partition(":")[2]


@asynccontextmanager
async def opened(place: Place, *declare: Callable[[telex.Hub], None]) -> AsyncIterator[telex.Hub]:
    hub = place.hub()
    for each in declare:
        each(hub)
    async with hub:
        yield hub


async def topics_and_groups(place: Place, cells: Cells) -> None:
    taken: dict[str, Any] = {}
    done = asyncio.Event()

    def groups(hub: telex.Hub) -> None:
        declare_groups(hub, taken, done)

    async with (
        opened(place, declare_topics, *(() if place.shared else (groups,))) as hub,
        opened(place, declare_topics, *((groups,) if place.shared else ())) as other,
    ):
        reader = other if place.shared else hub
        async with reader.topic("t:*").subscribe() as inbox:
            for name, _, value in CARRIED:
                await hub.topic(f"t:{name}").publish(value)
            async with hub.transaction() as tx:
                for name, _, value in CARRIED:
                    await tx.publish(f"tx:{name}", value)
            live = [await inbox.receive(timeout=WITHIN) for _ in CARRIED]
        cells.see_all("live", {name_of(message.topic): message.content for message in live})
        cells.see_all("history", await history(hub, "t"))
        cells.see_all("transaction", await history(hub, "tx"))
        async with asyncio.timeout(WITHIN):
            await done.wait()
        cells.see_all("group", taken)
        letters = await until_dead(hub)
        cells.see_all("dead letter", {name_of(letter.message.topic): letter.message.content for letter in letters})
        cells.see_all("dead-letter topic", await history(hub, "dead"))
        elsewhere = Place("sqlite", place.folder / "elsewhere")
        await export_and_import([message async for message in all_of(hub)], elsewhere, cells)
        await sockets(hub, cells)
    if place.shared:
        async with opened(place, declare_topics) as hub:
            for prefix in ("t", "tx", "dead"):
                cells.see_all(f"restart of {prefix}", await history(hub, prefix))
            cells.see_all("restart of socket", await history(hub, "socket"), UNNAMED)


async def all_of(hub: telex.Hub) -> AsyncIterator[telex.Message[Any]]:
    for name, _, _ in CARRIED:
        async for message in hub.topic(f"t:{name}").history():
            yield message


async def export_and_import(messages: list[telex.Message[Any]], place: Place, cells: Cells) -> None:
    lines = [message.to_json() for message in messages]
    async with opened(place) as hub:  # as `telex import`, which declares nothing
        assert len(await hub.adopt([telex.Message.from_json(line) for line in lines])) == len(CARRIED)
        assert len(await hub.adopt([telex.Message.from_json(line) for line in lines])) == 0
        cells.see_all("import, no type", await history(hub, "t"), CARRIED[: len(PLAIN)])
    async with opened(place, declare_topics) as hub:
        cells.see_all("import", await history(hub, "t"))
    for message, line in zip(messages, lines, strict=True):
        name = name_of(message.topic)
        (declared,) = [type for case, type, _ in CARRIED if case == name]
        cells.see("export", name, message.content, telex.Message.from_json(line, declared).content)


async def sockets(hub: telex.Hub, cells: Cells) -> None:
    """Content as a client reads it is what its type makes of the JSON; what the client sends is it, too."""
    rules = AccessRules(subscribe=(">",), publish=(">",))
    gateway = Gateway(hub, rules=rules, limits=Limits(rate=1000.0, burst=1000))
    read: dict[str, Any] = {}
    async with WebSocketClient(gateway) as client:
        for name, type, value in CARRIED:
            joined = await client.ask("subscribe", topic=f"t:{name}", since="earliest")
            assert joined["op"] == "subscribed", joined
            (frame,) = await client.messages(1)
            read[name] = Content(type).decode(frame["content"], name, frame["type"])
            content = msgspec.json.decode(to_json(value))
            answer = await client.ask("publish", topic=f"socket:{name}", content=content)
            assert answer["op"] == "published", (name, answer)
    cells.see_all("socket, read", read)
    cells.see_all("socket, written", await history(hub, "socket"), UNNAMED)


async def commands(place: Place, cells: Cells) -> None:
    async def call_all(hub: telex.Hub, key: str) -> dict[str, Any]:
        calls = [hub.call(f"once:{name}", value, key=key, timeout=WITHIN) for name, _, value in UNNAMED]
        return dict(zip([name for name, _, _ in UNNAMED], await asyncio.gather(*calls), strict=True))

    async def told(follower: Any) -> dict[str, Any]:
        outcomes = [await follower.receive(timeout=WITHIN) for _ in UNNAMED]
        return {name_of(o.command): o.result for o in outcomes if isinstance(o, telex.Outcome)}

    async with opened(place, declare_commands) as hub, opened(place) as other:
        async with hub.follow("once:*") as follower:
            cells.see_all("once", await call_all(hub, "k"), UNNAMED)
            cells.see_all("follower", await told(follower), UNNAMED)
        cells.see_all("once, again", await call_all(hub, "k"), UNNAMED)
        if place.shared:
            for name, type, value in UNNAMED:
                content = msgspec.json.decode(to_canonical(value))  # all that this program knows is the JSON of it
                back = await other.call(f"once:{name}", content, key="k", type=type, timeout=WITHIN)
                cells.see("once, elsewhere", name, value, back)
        await over_http(hub, cells)
    if place.shared:
        async with opened(place, declare_commands) as hub, hub.follow("once:*", start="earliest") as follower:
            cells.see_all("follower, restart", await told(follower), UNNAMED)
            cells.see_all("once, restart", await call_all(hub, "k"), UNNAMED)


async def over_http(hub: telex.Hub, cells: Cells) -> None:
    app = Commands(hub, rules=AccessRules(call=(">",)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
        for name, type, value in UNNAMED:
            headers = {"content-type": "application/json", "idempotency-key": '"k"'}
            answer = await client.post(f"/once:{name}", content=to_canonical(value), headers=headers)
            back = Content(type).decode(answer.json(), name) if answer.status_code == 200 else answer.text
            cells.see("http", name, value, back)


def optional(type: Any) -> Any:
    return type | None


async def variables(place: Place, cells: Cells) -> None:
    cases = tuple(case for case in UNNAMED if case[0] != "none")

    def declared(hub: telex.Hub) -> list[telex.Variable[Any]]:
        return [hub.variable(f"v:{name}", None, type=optional(type)) for name, type, _ in cases]

    hub = place.hub()
    found = declared(hub)
    async with hub:
        for variable, (_, _, value) in zip(found, cases, strict=True):
            await variable.set(value)
        cells.see_all("variable", {name_of(v.name): v.value for v in found}, cases)
    if place.shared:
        hub = place.hub()
        found = declared(hub)
        async with hub:
            stored = {name_of(v.name): await value_of(v).stored() for v in found}
        cells.see_all("variable, restart", stored, cases)


async def without_a_type(place: Place, cells: Cells) -> None:
    """What is accepted comes back equal, or, of a class that nothing declares here, in its plain form."""
    refused: dict[str, str] = {}
    async with opened(place) as hub:
        for name, _, value in CARRIED:
            try:
                await hub.topic(f"u:{name}").publish(value)
            except telex.ContentError as error:
                refused[name] = str(error)
    assert all("declare the topic's type" in error for error in refused.values())
    # In memory, where objects pass by reference, nothing is.
    assert set(refused) == (NEED_A_TYPE if place.shared else set())
    if not place.shared:
        return
    async with opened(place) as again:
        found = await history(again, "u")
    for name, _, value in CARRIED:
        if name in refused:
            continue
        plain = msgspec.json.decode(to_json(value))
        cells.count += 1
        equal = found[name] == value or same(value, found[name])
        if not equal and not (is_record(type(value)) and found[name] == plain):
            cells.wrong.append(f"no type, {name}: {value!r} came back as {found[name]!r}")


PLAIN = ("bool", "int", "large-int", "float", "text", "none", "bytes", "bytearray", "list", "plain")
"""The first of `CARRIED`, which need no type."""
NEED_A_TYPE = {
    *("int-keys", "float-keys", "uuid-keys", "date-keys", "list-of-bytes", "enum", "flag"),
    *("typed-dict", "tagged", "generic", "models"),
}
"""Content that is refused on topics without a type: nothing says what its JSON is to be read as."""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
async def test_acknowledged_content_comes_back(engine: str, tmp_path: Path) -> None:
    cells = Cells()
    for way in (topics_and_groups, commands, variables, without_a_type):
        await way(Place(engine, tmp_path / way.__name__), cells)
    print(f"{cells.count} cells: {len(CARRIED)} kinds of content on {engine}")
    assert not cells.wrong, "\n".join(cells.wrong)
    assert cells.count >= CELLS[engine]


@pytest.mark.parametrize("engine", ENGINES)
def test_content_published_by_a_blocking_hub_comes_back(engine: str, tmp_path: Path) -> None:
    cells, place = Cells(), Place(engine, tmp_path)
    with telex.blocking.Hub(place.source(), timeout=WITHIN) as hub:
        for name, type, value in CARRIED:
            topic = hub.topic(f"t:{name}", type)
            topic.publish(value)
            (message,) = topic.history()
            assert isinstance(message, telex.Message)
            cells.see("blocking", name, value, message.content)
    assert not cells.wrong, "\n".join(cells.wrong)
    assert cells.count == len(CARRIED)


@pytest.mark.parametrize("engine", ["sqlite", "pretend"])
async def test_content_that_would_not_come_back_is_refused_with_its_path(engine: str, tmp_path: Path) -> None:
    wrong: list[str] = []
    async with opened(Place(engine, tmp_path)) as hub:
        for name, type, value, path in REFUSED:
            topic = hub.topic(f"t:{name}", type)
            for publish in (topic.publish, lambda content, name=name: in_transaction(hub, f"t:{name}", content)):
                try:
                    await publish(value)
                    wrong.append(f"{name} was acknowledged")
                except telex.ContentError as error:
                    if error.path != path:
                        wrong.append(f"{name} was refused at {error.path}: {error.problem}")
            assert [message async for message in topic.history()] == []
    assert not wrong, "\n".join(wrong)


async def in_transaction(hub: telex.Hub, topic: str, content: object) -> None:
    async with hub.transaction() as tx:
        await tx.publish(topic, content)


async def test_the_limit_of_nesting_is_named(tmp_path: Path) -> None:
    async with opened(Place("sqlite", tmp_path)) as hub:
        topic = hub.topic("t")
        await topic.publish(nested(100))
        await topic.publish({"text": '"[[{' * 500, "list": [{"a": ["\\"]}] * 200})  # many brackets, and not deep
        with pytest.raises(telex.ContentError, match="more than 100 levels deep"):
            await topic.publish(nested(101))
        assert len([message async for message in topic.history()]) == 2


async def test_in_memory_objects_pass_by_reference() -> None:
    async with telex.Hub() as hub:
        for name, _, value in (*CARRIED, *[case[:3] for case in REFUSED]):
            topic = hub.topic(f"u:{name}")
            assert (await topic.publish(value)).content is value
            assert [message.content is value async for message in topic.history()] == [True]
