"""One client and its frames: publishing, following, coming back, and what ends a connection."""

import asyncio
from pathlib import Path
from time import time

import pytest

import telex
from telex.gateway import AccessRules, Authorizer, CloseCode, Gateway, Limits, Refused
from tests.support.websocket import PAGE, WebSocketClient


async def test_an_operation_that_takes_too_long_is_answered_with_timeout() -> None:
    class Slow(Authorizer):
        async def sees(self, topic: str) -> object:
            return await asyncio.Event().wait()

    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=AccessRules(), authorizer=Slow, limits=Limits(operation_timeout=0.01))
        async with WebSocketClient(gateway) as client:
            answer = await client.ask("subscribe", topic="slow")
            assert (answer["op"], answer["code"], answer["retry_after"]) == ("error", "timeout", 1.0)
            assert (await client.ask("ping"))["op"] == "pong"


OPEN = AccessRules(publish=(">",), subscribe=(">",))


async def test_a_subscription_that_does_not_begin_in_time_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = asyncio.Event()

    async def slow(subscription: telex.ReportingSubscription[object]) -> object:
        await engine.wait()
        return subscription

    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(operation_timeout=0.01))
        async with WebSocketClient(gateway) as client:
            with monkeypatch.context() as patch:
                patch.setattr(telex.ReportingSubscription, "__aenter__", slow)
                answer = await client.ask("subscribe", topic="a")
                assert (answer["op"], answer["code"]) == ("error", "timeout")
                engine.set()
                assert (await client.ask("ping"))["op"] == "pong"
            assert (await client.ask("subscribe", topic="a"))["op"] == "subscribed"


async def test_many_subscriptions_that_catch_up_are_encoded_one_at_a_time() -> None:
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


async def test_waiting_frames_of_all_subscriptions_count_together() -> None:
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


async def test_messages_after_a_subscription_are_not_missed() -> None:
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
async def test_a_client_that_comes_back_gets_exactly_the_missed_messages() -> None:
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


async def test_a_client_is_told_of_messages_that_cannot_be_recovered() -> None:
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
            assert (await client.ask("subscribe", topic="a"))["op"] == "subscribed"


@pytest.mark.parametrize("where", ["memory://", pytest.param("sqlite:///{}/a.db", marks=pytest.mark.slow)])
async def test_a_client_is_told_of_a_removal_and_goes_on(where: str, tmp_path: Path) -> None:
    async with telex.Hub(where.format(tmp_path)) as hub, WebSocketClient(Gateway(hub, rules=OPEN)) as client:
        await client.ask("subscribe", topic="a")
        await hub.topic("a").publish(1)
        (message,) = await client.messages(1)
        await hub.remove("a")
        await hub.topic("a").publish(2)
        lost = await client.receive()
        assert [lost[name] for name in ("op", "count", "reason")] == ["lost", 0, "epoch"]
        epoch = (await hub.topic("a").position()).epoch
        assert lost["position"] == f"{epoch}:0"
        (again,) = await client.messages(1)
        assert (message["seq"], again["seq"], again["content"]) == (1, 1, 2)


WIDE = Limits(rate=1e6, burst=10**6)


async def test_refusals() -> None:
    class Picky(Authorizer):
        def publish(self, topic: str, content: object) -> object:
            if content == "slow":
                raise Refused("rate", "slow mode", 3.0)
            return super().publish(topic, content)

    async with telex.Hub() as hub:
        hub.topic("typed", int)
        rules = AccessRules(publish=("a", "typed"), subscribe=("a", "$stream:complete:*"))
        async with WebSocketClient(Gateway(hub, rules=rules, limits=WIDE, authorizer=Picky)) as client:
            cases: list[tuple[str, dict[str, object], str]] = [
                ("publish", {"topic": "b", "content": 1}, "forbidden"),
                ("subscribe", {"topic": "b"}, "forbidden"),
                ("subscribe", {"topic": ">"}, "forbidden"),
                ("subscribe", {"topic": "$stream:complete:1"}, "no_such_command"),
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
            ticket = await hub.send("complete", "the")
            assert (await client.ask("subscribe", topic=f"$stream:complete:{ticket.id}"))["op"] == "subscribed"
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


async def test_a_silent_client_is_closed() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(idle=0.02))
        async with WebSocketClient(gateway) as client:
            assert await client.closed() == CloseCode.IDLE


async def test_the_trace_of_a_call_goes_into_the_messages_of_its_command() -> None:
    hub = telex.Hub()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @hub.command("build")
    async def build(context: telex.CommandContext[None]) -> dict[str, str]:
        return dict((await hub.topic("built").publish(1)).headers)

    async with hub, WebSocketClient(Gateway(hub, rules=AccessRules(call=("build",)))) as client:
        headers = {"traceparent": parent, "color": "red"}
        assert (await client.ask("call", name="build", headers=headers))["content"] == {"traceparent": parent}
        assert (await client.ask("call", name="build"))["content"] == {}


async def test_expired_messages_are_not_sent_and_hold_up_no_other_subscription() -> None:
    ahead = [0.0]
    async with telex.Hub("memory://", clock=lambda: time() + ahead[0]) as hub:
        gateway = Gateway(hub, rules=OPEN)
        for number in range(3):
            await hub.topic("offers:old").publish(number, ttl="10s")
        await hub.topic("offers:new").publish("kept")
        await hub.topic("offers:new").publish("old", ttl="10s")
        await hub.topic("offers:new").publish("last")
        ahead[0] = 11.0
        async with WebSocketClient(gateway) as client:
            assert (await client.ask("subscribe", topic="offers:old", since="earliest"))["op"] == "subscribed"
            assert (await client.ask("subscribe", topic="offers:*", since="earliest"))["op"] == "subscribed"
            frames = [await client.receive() for _ in range(2)]
            assert [[m["content"] for m in frame["messages"]] for frame in frames] == [["kept"], ["last"]]
            again = frames[0]["position"]
            await hub.topic("offers:old").publish("new")
            frame = await client.receive()
            assert [m["content"] for m in frame["messages"]] == ["new"]
        async with WebSocketClient(gateway) as client:
            await client.ask("subscribe", topic="offers:*", since=again)
            assert [m["content"] for m in (await client.receive())["messages"]] == ["last", "new"]


async def test_a_client_publishes_for_a_limited_time() -> None:
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN)) as client:
        assert (await client.ask("publish", topic="a", content=1, ttl="10m"))["op"] == "published"
        (message,) = [message async for message in hub.topic("a").history()]
        assert message.expires is not None
        assert 590 < message.expires.timestamp() - time() <= 600
        answer = await client.ask("publish", topic="a", content=1, ttl="soon")
        assert (answer["op"], answer["code"]) == ("error", "bad_option")
        assert "ttl" in answer["problem"]
