"""A topic as server-sent events: ids, recovery, holes, heartbeats and the end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from time import time
from typing import Any

import msgspec
import pytest

import telex
from telex.ext.sse import events
from tests.support.loops import idle


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/telex.db"


async def parts(body: AsyncGenerator[bytes, None], count: int) -> list[str]:
    """The next ``count`` events."""
    found: list[str] = []
    while len(found) < count:
        text = (await asyncio.wait_for(anext(body), 5)).decode()
        found += [event for event in text.split("\n\n") if event]
    return found


def data(events: list[str]) -> list[str]:
    return [event.rpartition("data: ")[2] for event in events]


async def test_a_client_that_reconnects_continues_after_its_last_event(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("orders")
        for number in range(5):
            await topic.publish({"number": number})
        async with aclosing(events(topic, start="earliest")) as body:
            assert await parts(body, 1) == [": telex"]
            first = await parts(body, 5)
        assert data(first) == [f'{{"number":{number}}}' for number in range(5)]
        last = first[2].partition("\n")[0].removeprefix("id: ")
        await topic.publish("a\nb")
        async with aclosing(events(topic, last)) as body:
            await parts(body, 1)
            assert data(await parts(body, 3)) == ['{"number":3}', '{"number":4}', r'"a\nb"']


async def test_a_pattern_continues_after_any_of_its_events() -> None:
    async with telex.Hub() as hub:
        for number in range(4):
            await hub.topic(f"orders:{number % 2}").publish(number)
        pattern = hub.topic("orders:*")
        hub.retain("orders:*", messages=10)
        async with aclosing(events(pattern)) as body:
            await parts(body, 1)
            begin = asyncio.create_task(parts(body, 3))
            await idle()
            for number in range(3):
                await hub.topic("orders:0").publish(number)
            first = await begin
        last = first[0].partition("\n")[0].removeprefix("id: ")
        async with aclosing(events(pattern, last)) as body:
            await parts(body, 1)
            assert data(await parts(body, 2)) == ["1", "2"]


async def test_expired_messages_are_no_events_and_not_lost(url: str) -> None:
    ahead = [0.0]
    async with telex.Hub(url, clock=lambda: time() + ahead[0]) as hub:
        topic = hub.topic("orders")
        for number, ttl in enumerate((None, "10s", None, "10s", None)):
            await topic.publish(number, ttl=ttl)
        ahead[0] = 11.0
        async with aclosing(events(topic, start="earliest")) as body:
            found = await parts(body, 4)
        assert data(found[1:]) == ["0", "2", "4"]
        async with aclosing(events(topic, found[2].partition("\n")[0].removeprefix("id: "))) as body:
            assert data((await parts(body, 2))[1:]) == ["4"]


async def test_missing_messages_are_an_event_and_the_client_goes_on(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("orders")
        await topic.publish(0)
        position = await topic.position()
        hub.retain("orders", messages=2)
        for number in range(1, 6):
            await topic.publish(number)
        async with aclosing(events(topic, str(position))) as body:
            await parts(body, 1)
            lost, *rest = await parts(body, 3)
        where, _, event = lost.partition("\n")
        assert event == 'event: lost\ndata: {"count":3,"reason":"trimmed"}'
        assert data(rest) == ["4", "5"]
        async with aclosing(events(topic, where.removeprefix("id: "))) as body:  # it reconnects after this event
            await parts(body, 1)
            assert data(await parts(body, 2)) == ["4", "5"]


async def test_a_comment_is_sent_while_nothing_is_published_and_closing_ends_the_stream() -> None:
    async with telex.Hub() as hub:
        body = events(hub.topic("orders"), heartbeat=0.01)
        assert await parts(body, 3) == [": telex", ": ", ": "]
        rest = asyncio.create_task(_all(body))
        await hub.topic("orders").publish(1)
    assert data([event for event in (await rest).split("\n\n") if "data" in event]) == ["1"]


async def _all(body: AsyncGenerator[bytes, None]) -> str:
    return b"".join([part async for part in body]).decode()


async def test_the_end_of_a_streamed_result_is_an_event_of_its_own() -> None:
    async with telex.Hub() as hub:

        @hub.command("count")
        async def count() -> AsyncGenerator[int, None]:
            yield 1

        stream = hub.stream("count")
        async for _part in stream:
            pass
        assert stream.ticket is not None
        async with aclosing(events(hub.topic(f"$stream:count:{stream.ticket.id}"), start="earliest")) as body:
            _, part, end = await parts(body, 3)
        assert part.endswith("\ndata: 1")
        assert end.endswith("\nevent: end\ndata: null")


async def test_leaving_ends_the_subscription() -> None:
    async with telex.Hub() as hub:
        async with aclosing(events(hub.topic("orders"), start="earliest")) as body:
            await hub.topic("orders").publish(1)
            await parts(body, 2)
            assert hub.statistics().subscribers == 1
        assert hub.statistics().subscribers == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"heartbeat": 0}, "heartbeat"),
        ({"last_event_id": "rubbish"}, "epoch:seq"),
        ({"start": "yesterday"}, "start"),
    ],
)
async def test_wrong_options_are_refused_at_once(options: dict[str, Any], text: str) -> None:
    async with telex.Hub() as hub:
        with pytest.raises(telex.BadOption, match=text):
            events(hub.topic("orders"), **options)


async def test_the_stream_of_an_unknown_command_ends_at_once_and_that_of_a_queued_one_waits(url: str) -> None:
    async with telex.Hub(url) as hub, telex.Hub(url) as elsewhere:
        sender = hub if url == "memory://" else elsewhere
        topic = hub.topic("$stream:complete:01a22437-c9aa-7f34-bba8-17e409ed3f2b")
        body = events(topic, start="earliest", hub=hub)
        first, end = await parts(body, 2)
        assert (first, end.partition("\n")[0]) == (": telex", "event: end")
        assert msgspec.json.decode(data([end])[0])["code"] == "no_such_command"
        assert [each async for each in body] == []

        ticket = await sender.send("complete", "the")
        topic = hub.topic(f"$stream:complete:{ticket.id}")
        async with aclosing(events(topic, start="earliest", hub=hub)) as body:
            await parts(body, 1)
            reading = asyncio.ensure_future(parts(body, 1))
            await idle()
            await sender.topic(topic.id).publish("fox", headers={"telex-part": "part"})
            assert data(await reading) == ['"fox"']
        async with aclosing(events(topic, start="earliest", hub=hub)) as body:
            assert data(await parts(body, 2)) == [": telex", '"fox"']
        async with aclosing(events(hub.topic("$stream:complete:*"), heartbeat=0.01, hub=hub)) as body:
            assert await parts(body, 2) == [": telex", ": "]
