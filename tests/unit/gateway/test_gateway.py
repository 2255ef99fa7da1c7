"""The gateway as a client sees it."""

import asyncio
import typing

import pytest

import telex
from telex.gateway import AccessRules, Authorizer, CloseCode, Gateway, Limits, Refused
from tests.support.websocket import PAGE, PROGRAM, WebSocketClient

OPEN = AccessRules(publish=(">",), subscribe=(">",))
WIDE = Limits(rate=1e6, burst=10**6)


@pytest.mark.every_loop
async def test_publish_and_follow() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway) as ann, WebSocketClient(gateway, PAGE) as bob:
            assert (await ann.receive()) == {"op": "hello", "version": 1, "frame_bytes": 65536}
            joined = await ann.ask("subscribe", topic="a:*")
            assert joined["op"] == "subscribed"
            done = await bob.ask("publish", topic="a:1", content={"x": 1}, id="one", headers={"h": "v"})
            assert done == {"op": "published", "topic": "a:1", "id": "one", "seq": 1, "ref": 1}
            (message,) = await ann.messages(1)
            assert message["id"] == "one"
            assert message["content"] == {"x": 1}
            assert message["topic"] == "a:1"
            assert message["headers"] == {"h": "v"}
            assert (await bob.ask("topics"))["topics"] == ["a:1"]
            assert (await bob.ask("ping"))["op"] == "pong"
        assert gateway.statistics().connections == 0
        assert hub.statistics().subscribers == 0


async def test_the_same_id_is_stored_once() -> None:
    async with telex.Hub() as hub:
        async with WebSocketClient(Gateway(hub, rules=OPEN)) as client:
            first = await client.ask("publish", topic="a", content=1, id="one")
            again = await client.ask("publish", topic="a", content=1, id="one")
        assert first["seq"] == again["seq"] == 1
        assert (await hub.topic("a").position()).seq == 1


async def test_what_follows_a_subscription_is_not_missed() -> None:
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN)) as client:
        # Both are there before the gateway looks at the first.
        client.send("subscribe", topic="a")
        client.send("publish", topic="a", content="mine")
        frames = [await client.receive() for _ in range(4)]
        assert [frame["op"] for frame in frames] == ["hello", "subscribed", "published", "messages"]


async def test_history() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        for number in range(10):
            topic.publish_nowait(number)
        gateway = Gateway(hub, rules=OPEN)
        for since, expected in ((3, [7, 8, 9]), ("earliest", [*range(10)]), ("1h", [*range(10)])):
            async with WebSocketClient(gateway) as client:
                joined = await client.ask("subscribe", topic="a", since=since)
                assert joined["waiting"] == len(expected)
                assert [m["content"] for m in await client.messages(len(expected))] == expected


@pytest.mark.every_loop
async def test_who_comes_back_gets_exactly_what_was_missed() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        topic = hub.topic("a")
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="a")
            for number in range(3):
                topic.publish_nowait(number)
            assert len(await client.messages(3)) == 3
        for number in range(3, 200):
            topic.publish_nowait(number)
        async with WebSocketClient(gateway) as again:
            await again.ask("subscribe", topic="a", since=client.position)
            topic.publish_nowait(200)
            assert [m["content"] for m in await again.messages(198)] == [*range(3, 201)]
            topic.publish_nowait(201)
            assert [m["content"] for m in await again.messages(1)] == [201]


async def test_what_cannot_be_recovered_is_told() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        hub.retain("a", messages=2)
        topic = hub.topic("a")
        position = await topic.position()
        for number in range(10):
            topic.publish_nowait(number)
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="a", since=str(position))
            lost = await client.receive()
            assert (lost["op"], lost["count"], lost["first"], lost["last"]) == ("lost", 8, 1, 8)
            assert lost["reason"] == "trimmed"
            assert [m["content"] for m in await client.messages(2)] == [8, 9]
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="a", since=f"another:{position.seq}")
            lost = await client.receive()
            assert (lost["op"], lost["reason"]) == ("lost", "epoch")
            assert [m["content"] for m in await client.messages(2)] == [8, 9]


async def test_clients_at_the_same_place_share_one_encoding() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        topic = hub.topic("a")
        clients = [WebSocketClient(gateway) for _ in range(20)]
        for client in clients:
            await client.__aenter__()
            await client.ask("subscribe", topic="a")
        for round_ in range(5):
            topic.publish_nowait(round_)
            for client in clients:
                assert [m["content"] for m in await client.messages(1)] == [round_]
        statistics = gateway.statistics()
        # The first batch of each client is not taken for a common one; the four after it are.
        assert statistics.encoded <= 20 + 4
        assert statistics.shared >= 19 * 4
        for client in clients:
            await client.__aexit__(None, None, None)


@pytest.mark.every_loop
async def test_a_slow_client_is_closed_and_told_to_come_back() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(outbox_bytes=5000, batch=1))
        topic = hub.topic("a")
        async with WebSocketClient(gateway) as client, WebSocketClient(gateway) as other:
            for each in (client, other):
                await each.ask("subscribe", topic="a")
            topic.publish_nowait("first")
            await client.messages(1)
            await other.messages(1)
            position = client.position
            client.taking.clear()
            for number in range(50):
                topic.publish_nowait(str(number) * 100)
                await other.messages(1)  # who keeps pace is not disturbed
            client.taking.set()
            assert await client.closed() == CloseCode.SLOW
            assert CloseCode.SLOW.come_back
        async with WebSocketClient(gateway) as again:
            await again.ask("subscribe", topic="a", since=position)
            assert [m["content"] for m in await again.messages(50)] == [str(n) * 100 for n in range(50)]
        assert hub.statistics().subscribers == 0
        assert gateway.statistics().closed == {CloseCode.SLOW: 1}


@pytest.mark.slow
async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    limits = Limits(write_timeout=0.05, close_timeout=0.05)
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=limits)
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="a")
            client.taking.clear()
            hub.topic("a").publish_nowait("x")
            async with asyncio.timeout(10):
                await client.finished
            assert gateway.statistics().closed == {CloseCode.SLOW: 1}
            assert hub.statistics().subscribers == 0


async def test_a_burst_is_not_dropped() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        topic = hub.topic("a")
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="a")
            topic.publish_nowait(0)
            await client.messages(1)
            for number in range(1, 900):
                topic.publish_nowait(number)
            assert [m["content"] for m in await client.messages(899)] == [*range(1, 900)]


@pytest.mark.slow
async def test_a_long_history_is_read_at_the_client_s_pace() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(outbox_bytes=2000, batch=4, batch_bytes=500))
        for number in range(500):
            hub.topic("a").publish_nowait(f"{number} " + "x" * 200)
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="a", since="earliest")
            assert len(await client.messages(500)) == 500


async def test_subscriptions_end() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="a")
            assert (await client.ask("unsubscribe", topic="a"))["op"] == "unsubscribed"
            assert hub.statistics().subscribers == 0
            await client.ask("subscribe", topic="a")
            await hub.remove("a")
            assert await client.receive() == {"op": "ended", "topic": "a"}
            assert (await client.ask("subscribe", topic="a"))["op"] == "subscribed"


async def test_refusals() -> None:
    class Picky(Authorizer):
        def publish(self, topic: str, content: object) -> object:
            if content == "slow":
                raise Refused("rate", "slow mode", 3.0)
            return super().publish(topic, content)

    async with telex.Hub() as hub:
        hub.topic("typed", int)
        rules = AccessRules(publish=("a", "typed"), subscribe=("a",))
        async with WebSocketClient(Gateway(hub, rules=rules, limits=WIDE, authorizer=Picky)) as client:
            cases: list[tuple[str, dict[str, object], str]] = [
                ("publish", {"topic": "b", "content": 1}, "forbidden"),
                ("subscribe", {"topic": "b"}, "forbidden"),
                ("subscribe", {"topic": ">"}, "forbidden"),
                ("publish", {"topic": "typed", "content": "x"}, "bad_content"),
                ("publish", {"topic": "a", "content": 1, "id": ""}, "bad_option"),
                ("publish", {"topic": "a", "content": 1, "headers": {"a": "x\ny"}}, "bad_option"),
                ("publish", {"topic": "a", "content": "slow"}, "rate"),
                ("call", {"name": "nobody"}, "unknown_call"),
            ]
            for op, fields, code in cases:
                answer = await client.ask(op, **fields)
                assert (answer["op"], answer["code"]) == ("error", code), fields
            # A subscription that was refused may be asked for again.
            assert (await client.ask("subscribe", topic="b"))["code"] == "forbidden"
            await client.ask("publish", topic="a", content=1)
            assert (await client.ask("topics"))["topics"] == ["a"]  # and not "typed"


async def test_the_hub_is_closed_under_it() -> None:
    hub = telex.Hub()
    async with hub:
        gateway = Gateway(hub, rules=OPEN)
        client = WebSocketClient(gateway)
        await client.__aenter__()
        await client.ask("subscribe", topic="a")
    assert await client.receive() == {"op": "ended", "topic": "a"}
    answer = await client.ask("publish", topic="a", content=1)
    assert (answer["code"], answer["retry_after"]) == ("unavailable", 1.0)
    assert (await client.ask("subscribe", topic="b"))["code"] == "unavailable"
    await client.__aexit__(None, None, None)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9"])
async def test_another_page_is_not_let_in(origin: str) -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway, {**PROGRAM, "origin": origin}) as client:
            assert not client.accepted
        assert gateway.statistics().refused == 1


async def test_who_comes_from_elsewhere_needs_an_origin() -> None:
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN), address="192.168.1.7") as client:
        assert not client.accepted


async def test_a_full_gateway_says_come_back() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(connections=1))
        async with WebSocketClient(gateway), WebSocketClient(gateway) as second:
            assert await second.closed() == CloseCode.FULL
        async with WebSocketClient(gateway) as third:
            assert (await third.receive())["op"] == "hello"


async def test_closing_says_come_back_to_all_and_leaves_nothing() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway) as first, WebSocketClient(gateway) as second:
            await first.ask("subscribe", topic="a", since="earliest")
            await gateway.aclose()
            assert await first.closed() == CloseCode.RESTART
            assert await second.closed() == CloseCode.RESTART
            assert hub.statistics().subscribers == 0
            async with WebSocketClient(gateway) as late:
                assert await late.closed() == CloseCode.RESTART


async def test_bad_frames_end_the_connection() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(frame_bytes=100, strikes=3))
        async with WebSocketClient(gateway) as client:
            client.send_bytes(b"{}")
            assert await client.closed() == CloseCode.BINARY
        async with WebSocketClient(gateway) as client:
            client.send_text(" " * 101)
            assert await client.closed() == CloseCode.TOO_LARGE
        async with WebSocketClient(gateway) as client:
            for _ in range(3):
                client.send_text("?")
            assert await client.closed() == CloseCode.MALFORMED


async def test_who_says_nothing_is_closed() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(idle=0.02))
        async with WebSocketClient(gateway) as client:
            assert await client.closed() == CloseCode.IDLE


class Broken(Authorizer):
    """An application whose methods fail, each with another error; the names of topics say which."""

    errors: typing.ClassVar[dict[str, Exception]] = {
        "type": TypeError("secret"),
        "name": telex.BadName("secret", "secret"),
        "content": telex.ContentError("a", "secret", "$"),
        "key": KeyError("secret"),
        "late": TimeoutError("secret"),
    }

    def fail(self, topic: str) -> object:
        if topic in self.errors:
            raise self.errors[topic]
        return True

    def publish(self, topic: str, content: object) -> object:
        return self.fail(topic) and content

    def sees(self, topic: str) -> object:
        return self.fail(topic)

    async def call(self, name: str, content: object) -> object:  # type: ignore[override]  # key may be left out
        return self.fail(name)


@pytest.mark.parametrize("kind", Broken.errors)
async def test_a_fault_of_the_application_is_logged_and_no_text_of_it_sent(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, limits=WIDE, authorizer=Broken)) as client:
        await client.ask("subscribe", topic="a")
        for op, fields in (
            ("publish", {"topic": kind, "content": 1}),
            ("subscribe", {"topic": kind}),
            ("call", {"name": kind}),
        ):
            caplog.clear()
            answer = await client.ask(op, **fields)
            assert (answer["op"], answer["code"]) == ("error", "failed"), op
            assert "secret" not in str(answer)
            assert any(r.levelname == "ERROR" and r.exc_info for r in caplog.records)
        # The connection goes on.
        assert (await client.ask("publish", topic="a", content=1))["op"] in ("published", "messages")


async def test_what_is_no_websocket_is_told_so() -> None:
    import httpx

    async with telex.Hub() as hub:
        transport = httpx.ASGITransport(app=Gateway(hub))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
