"""Publishing in a span, on a hub that is traced."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, ClassVar

import pytest

import telex
from telex.observe.headers import Sending
from telex.observe.instrument import Processing


class Noted:
    """A `Sending` that writes down what happens."""

    def __init__(self, notes: list[str], headers: Mapping[str, str] | None) -> None:
        self.headers: Mapping[str, str] = {**(headers or {}), "correlation-id": "of the span"}
        self._notes = notes

    def __enter__(self) -> None:
        self._notes.append("entered")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notes.append("left")

    def sent(self, id: str) -> None:
        self._notes.append(f"sent {id}")


class Tracer:
    """An `Instrument` that has a span for each topic but ``quiet``."""

    sends: ClassVar[bool] = True

    def __init__(self) -> None:
        self.notes: list[str] = []

    def attach(self, hub: object) -> None: ...

    def processing(self, invoke: Callable[[Any], Any], of: Processing) -> Callable[[Any], Any]:
        return invoke

    def skips(self) -> bool:
        return False

    def sending(self, topic: str, headers: Mapping[str, str] | None) -> Sending | None:
        self.notes.append(topic)
        return None if topic == "quiet" else Noted(self.notes, headers)


async def test_each_way_to_publish_is_in_the_span_of_its_message() -> None:
    tracer = Tracer()
    async with telex.Hub(observe=tracer) as hub, hub.topic("x").subscribe() as inbox:
        await hub.topic("x").publish(1, id="a", headers={"color": "red"})
        hub.topic("x").publish_nowait(2, id="b")
        await hub.topic("x").publish(3, id="c", delay=0.001)
        async with hub.transaction() as tx:
            await tx.publish("x", 4, id="d")
        got = [await inbox.receive(timeout=5) for _ in range(4)]
    assert tracer.notes == [step for id in "abcd" for step in ("x", "entered", f"sent {id}", "left")]
    assert {message.headers["correlation-id"] for message in got} == {"of the span"}
    assert next(message for message in got if message.id == "a").headers["color"] == "red"


async def test_a_topic_without_a_span_and_a_topic_of_telex_are_published_to_as_ever() -> None:
    tracer = Tracer()
    hub = telex.Hub(observe=tracer)

    @hub.command("build", run_in="loop")
    def build(number: int) -> int:
        return number

    async with hub:
        assert (await hub.topic("quiet").publish(1)).headers == {}
        assert hub.topic("quiet").publish_nowait(1).headers == {}
        assert await hub.call("build", 1) == 1
    assert tracer.notes[:3] == ["quiet", "quiet", "$command:build:request"]
    assert [note for note in tracer.notes if note.startswith("$")] == ["$command:build:request"]


async def by_publish(hub: telex.Hub, ttl: Any) -> None:
    await hub.topic("x").publish(1, ttl=ttl)


async def by_publish_nowait(hub: telex.Hub, ttl: Any) -> None:
    hub.topic("x").publish_nowait(1, ttl=ttl)


async def by_threadsafe(hub: telex.Hub, ttl: Any) -> None:
    await asyncio.to_thread(lambda: hub.topic("x").publish_threadsafe(1, ttl=ttl).result(10))


async def by_transaction(hub: telex.Hub, ttl: Any) -> None:
    async with hub.transaction() as tx:
        await tx.publish("x", 1, ttl=ttl)


async def by_join(hub: telex.Hub, ttl: Any, when: datetime | None = None) -> None:
    def write() -> None:
        with closing(sqlite3.connect(hub.url.removeprefix("sqlite:///"))) as connection, connection:
            if when is None:
                hub.join(connection).publish("x", 1, ttl=ttl)
            else:
                hub.join(connection).publish_at("x", 1, when, ttl=ttl)

    async with hub.topic("x").subscribe() as inbox:
        await asyncio.to_thread(write)
        await inbox.receive(timeout=10)


async def by_join_later(hub: telex.Hub, ttl: Any) -> None:
    await by_join(hub, ttl, datetime.now(UTC) - timedelta(hours=1))


Way = Callable[[telex.Hub, Any], Any]
STORED: list[Way] = [by_publish, by_threadsafe, by_transaction, by_join, by_join_later]
LOCAL: list[Way] = [by_publish, by_publish_nowait, by_threadsafe, by_transaction]
WAYS = [("sqlite", way) for way in STORED] + [("memory", way) for way in LOCAL]


def url_of(engine: str, folder: Path) -> str:
    return "memory://" if engine == "memory" else f"sqlite:///{folder}/x.db"


@pytest.mark.parametrize(("engine", "way"), WAYS)
async def test_every_way_of_publishing_takes_a_time_to_live(engine: str, way: Way, tmp_path: Path) -> None:
    async with telex.Hub(url_of(engine, tmp_path)) as hub:
        await way(hub, "10m")
        (message,) = [message async for message in hub.topic("x").history()]
        assert message.expires is not None
        assert 590 < message.expires.timestamp() - time() <= 600


@pytest.mark.parametrize(("engine", "way"), WAYS)
@pytest.mark.parametrize("ttl", [0, "200000000h"])
async def test_a_bad_time_to_live_is_refused_by_each_of_them(engine: str, way: Way, ttl: Any, tmp_path: Path) -> None:
    async with telex.Hub(url_of(engine, tmp_path)) as hub:
        with pytest.raises(telex.BadOption, match="ttl"):
            await way(hub, ttl)
        assert not hub.topic("x").statistics().published


async def test_the_time_to_live_of_a_message_for_later_counts_from_its_publishing() -> None:
    async with telex.Hub("memory://") as hub:
        publish = hub.topic("x").publish_threadsafe
        sent = await asyncio.to_thread(lambda: publish(1, delay="1h", ttl="10s").result(10))
        assert sent.expires is not None
        assert 3600 < sent.expires.timestamp() - time() <= 3610
