"""What one client can cost: a test for each row of the table in docs/gateway.md that no other file has."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

import telex
from telex.gateway import AccessRules, CloseCode, Commands, Gateway, Limits
from telex.gateway.errors import Refused
from telex.gateway.protocol import Close, Ping, Session
from telex.gateway.topic_quota import TopicQuota
from tests.support.loops import idle
from tests.support.websocket import WebSocketClient

PAGE = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text()  # files are not read on the event loop
OPEN = AccessRules(publish=(">",), subscribe=(">",), call=(">",))
WIDE = Limits(rate=1e6, burst=10**6)
JSON = [("content-type", "application/json")]


async def test_what_many_subscriptions_missed_is_encoded_for_one_at_a_time() -> None:
    patterns = ["a:b:c", "*:b:c", "a:*:c", "a:b:*", "*:*:c", "*:b:*", "a:*:*", "*:*:*", "a:>", ">"]
    # Room for one frame of about `batch_bytes`, and not for two.
    limits = Limits(outbox_bytes=100_000, rate=1e6, burst=10**6)
    async with telex.Hub() as hub:
        for _ in range(20):
            hub.topic("a:b:c").publish_nowait("x" * 10_000)
        gateway = Gateway(hub, rules=OPEN, limits=limits)
        async with WebSocketClient(gateway) as client:
            await client.ask("ping")
            client.taking.clear()
            for pattern in patterns:
                client.send("subscribe", topic=pattern, since="earliest")
            while hub.statistics().subscribers < len(patterns):  # noqa: ASYNC110  # the gateway has no event for it
                await asyncio.sleep(0)
            client.taking.set()
            seen = dict.fromkeys(patterns, 0)
            while set(seen.values()) != {20}:
                frame = await client.receive()
                if frame["op"] == "messages":
                    seen[frame["topic"]] += len(frame["messages"])
        assert gateway.statistics().closed == {}


async def test_what_waits_counts_over_all_subscriptions() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(
            hub, rules=OPEN, limits=Limits(outbox_bytes=10_000, close_timeout=0.01, rate=1e6, burst=10**6)
        )
        async with WebSocketClient(gateway) as client:
            for pattern in ("a:b", "*:b", "a:*", ">"):
                await client.ask("subscribe", topic=pattern)
            client.taking.clear()
            hub.topic("a:b").publish_nowait("x" * 3000)
            async with asyncio.timeout(10):
                await client.finished
        assert gateway.statistics().closed == {CloseCode.SLOW: 1}


async def test_answers_count_as_messages_do() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(outbox_bytes=2000, close_timeout=0.01, rate=1e6, burst=10**6))
        async with WebSocketClient(gateway) as client:
            client.taking.clear()
            for _ in range(200):
                client.send("ping")
            async with asyncio.timeout(10):
                await client.finished
        assert gateway.statistics().closed == {CloseCode.SLOW: 1}


@pytest.mark.slow
async def test_topics_that_clients_publish_to_are_bounded() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(topics=3, rate=1e6, burst=10**6))
        async with WebSocketClient(gateway) as ann, WebSocketClient(gateway) as bob:
            for number in range(3):
                assert (await ann.ask("publish", topic=f"t:{number}", content=1))["op"] == "published"
            for client in (ann, bob):
                assert (await client.ask("publish", topic="t:3", content=1))["code"] == "limit"
                assert (await client.ask("publish", topic="t:1", content=1))["op"] == "published"
            assert set(await hub.topics()) == {"t:0", "t:1", "t:2"}


async def test_a_topic_that_is_removed_makes_room_for_another() -> None:
    async with telex.Hub() as hub:
        quota = TopicQuota(hub, 1, refresh_seconds=0.0)
        await hub.topic("t:0").publish(1)
        await quota.take("t:0")
        with pytest.raises(Refused):
            await quota.take("t:1")
        await hub.remove("t:0")
        await quota.take("t:1")
        await hub.topic("t:1").publish(1)
        with pytest.raises(Refused):
            await quota.take("t:0")


async def test_cache_bytes_bound_what_is_kept_for_others() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(cache_bytes=1))
        async with WebSocketClient(gateway) as ann, WebSocketClient(gateway) as bob:
            for client in (ann, bob):
                await client.ask("subscribe", topic="a")
            for _ in range(3):
                hub.topic("a").publish_nowait("x")
                for client in (ann, bob):
                    await client.messages(1)
        assert (gateway.statistics().encoded, gateway.statistics().shared) == (6, 0)


def test_unreadable_frames_are_counted_in_a_row() -> None:
    session = Session(Limits(strikes=3), 0.0)
    for _ in range(4):
        for _ in range(2):
            assert not isinstance(session.receive("?", 0.0), Close)
        assert session.receive('{"op":"ping"}', 0.0) == Ping()
    assert [isinstance(session.receive("?", 0.0), Close) for _ in range(3)] == [False, False, True]


class Sent:
    """A body that counts the parts that were asked for."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = [*parts]
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}


async def post(app: Commands, body: Sent, *headers: tuple[str, str]) -> int:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope: dict[str, Any] = {"type": "http", "path": "/c", "method": "POST", "client": ("127.0.0.1", 1)}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in (("host", "127.0.0.1"), *headers)]
    await app(scope, body.receive, send)
    status: int = said[0]["status"]
    return status


async def test_a_body_is_refused_before_it_is_read() -> None:
    async with telex.Hub() as hub:
        app = Commands(hub, rules=OPEN, limits=Limits(body_bytes=100))
        for length in ("101", "9" * 30):
            body = Sent(b"1" * 101)
            assert (await post(app, body, ("content-length", length)), body.asked) == (413, 0)
        # Without a length, no more than the part that is too much is read.
        body = Sent(b"1" * 60, b"1" * 60, b"1" * 60, b"1")
        assert (await post(app, body), body.asked) == (413, 2)


async def test_all_bodies_together_are_bounded() -> None:
    async with telex.Hub() as hub:
        app = Commands(hub, rules=OPEN, limits=Limits(body_bytes=100))
        go_on = asyncio.Event()

        class Slow(Sent):
            async def receive(self) -> dict[str, Any]:
                if self.asked:
                    await go_on.wait()
                return await super().receive()

        slow = [asyncio.create_task(post(app, Slow(b"1" * 90, b"1"))) for _ in range(71)]
        await idle()
        assert await post(app, Sent(b"1" * 90)) == 503
        go_on.set()
        assert await asyncio.gather(*slow) == [404] * 71
        assert await post(app, Sent(b"1" * 90)) == 404


async def test_a_command_is_waited_for_no_longer_than_command_timeout() -> None:
    hub = telex.Hub()
    go_on = asyncio.Event()

    @hub.command("c")
    async def wait() -> int:
        await go_on.wait()
        return 1

    async with hub:
        transport = httpx.ASGITransport(Commands(hub, rules=OPEN, limits=Limits(command_timeout=0.02)))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            answer = await client.post("/c", content=b"null", headers=JSON)
            assert answer.status_code == 202
            go_on.set()


def test_every_bound_is_on_the_page() -> None:
    missing = [name for name in Limits.__struct_fields__ if f"`{name}`" not in PAGE]
    assert not missing


def test_the_page_names_every_code() -> None:
    assert all(str(int(code)) in PAGE for code in CloseCode)
    assert "504" not in PAGE
