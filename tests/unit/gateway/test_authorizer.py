"""Decisions of an application for a connection: permissions that are given and withdrawn, and failures."""

import asyncio
import typing

import pytest

import telex
from telex.gateway import AccessRules, Authorizer, CloseCode, Gateway, Limits, Peer, Refused
from tests.support.websocket import WebSocketClient


class Members:
    """Who may read, changed by the test; and one authorizer for every way to ask it."""

    def __init__(self, way: str) -> None:
        self.open = True
        members = self

        class Sync(Authorizer):
            def subscribe(self, topic: str) -> None:
                if not members.open:
                    raise Refused("forbidden", "not any more")

        class Async(Authorizer):
            async def subscribe(self, topic: str) -> None:
                await asyncio.sleep(0)
                if not members.open:
                    raise Refused("forbidden", "not any more")

        class Sees(Authorizer):
            def sees(self, topic: str) -> bool:
                return members.open

        class AsyncSees(Authorizer):
            async def sees(self, topic: str) -> bool:
                await asyncio.sleep(0)
                return members.open

        class Fails(Authorizer):
            def sees(self, topic: str) -> bool:
                if not members.open:
                    raise ZeroDivisionError
                return True

        class Calls(Sync):
            async def call(self, name: str, content: object, *, key: str | None = None) -> object:
                members.open = False
                return "left"

        ways = {"sync": Sync, "async": Async, "sees": Sees, "async sees": AsyncSees, "fails": Fails, "calls": Calls}
        self.authorizer: type[Authorizer] = ways[way]


@pytest.mark.parametrize("way", ["sync", "async", "sees", "async sees", "fails"])
@pytest.mark.parametrize("since", ["new", "earliest"])
async def test_a_client_that_has_lost_the_permission_reads_no_more(way: str, since: str) -> None:
    members = Members(way)
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=members.authorizer)) as client:
        topic = hub.topic("a")
        topic.publish_nowait("before")
        await client.ask("subscribe", topic="a", since=since)
        topic.publish_nowait("while")
        seen = [m["content"] for m in await client.messages(1 if since == "new" else 2)]
        assert seen[-1] == "while"
        members.open = False
        topic.publish_nowait("after")
        assert await client.receive() == {"op": "ended", "topic": "a"}
        assert hub.statistics().subscribers == 0
        topic.publish_nowait("later")
        answer = await client.ask("subscribe", topic="a", since="earliest")
        assert answer["code"] in ("forbidden", "failed")


async def test_a_call_that_takes_the_permission_ends_the_subscription_before_it_is_answered() -> None:
    members = Members("calls")
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=members.authorizer)) as client:
        await client.ask("subscribe", topic="a")
        ref = client.send("call", name="leave")
        assert await client.receive() == {"op": "ended", "topic": "a"}
        assert await client.receive() == {"op": "result", "content": "left", "ref": ref}
        assert hub.statistics().subscribers == 0


async def test_missed_messages_are_not_sent_once_the_permission_is_lost() -> None:
    members = Members("sync")
    limits = Limits(batch_bytes=100)
    async with (
        telex.Hub() as hub,
        WebSocketClient(Gateway(hub, authorizer=members.authorizer, limits=limits)) as client,
    ):
        for number in range(50):
            hub.topic("a").publish_nowait(f"{number}" * 100)
        client.taking.clear()
        client.send("subscribe", topic="a", since="earliest")
        while not hub.statistics().subscribers:  # noqa: ASYNC110  # the gateway has no event for it
            await asyncio.sleep(0)
        members.open = False
        client.taking.set()
        frames = [await client.receive() for _ in range(3)]
        assert [frame["op"] for frame in frames] == ["hello", "subscribed", "ended"]


async def test_a_permission_that_is_missing_once_ends_a_subscription_that_catches_up() -> None:
    answers = iter([True, False])

    class Once(Authorizer):
        def sees(self, topic: str) -> object:
            return next(answers, True)

    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=Once)) as client:
        hub.topic("a").publish_nowait("missed")
        await client.ask("subscribe", topic="a", since="earliest")
        assert await client.receive() == {"op": "ended", "topic": "a"}
        assert hub.statistics().subscribers == 0


OPEN = AccessRules(publish=(">",), subscribe=(">",))


WIDE = Limits(rate=1e6, burst=10**6)


@pytest.mark.parametrize("asked", [">", "*:*", "*:>", "*", "*:a"])
async def test_no_wildcard_reaches_topics_of_telex(asked: str) -> None:
    async with telex.Hub() as hub:
        own = ["telex:a", "$telex:a", "$x", "telex"]
        for topic in own:
            hub.topic(topic).publish_nowait("secret")
        gateway = Gateway(hub, rules=OPEN, limits=WIDE)
        async with WebSocketClient(gateway) as client:
            for topic in own:
                assert (await client.ask("subscribe", topic=topic))["code"] == "forbidden"
            assert (await client.ask("topics"))["topics"] == []
            await client.ask("subscribe", topic=asked, since="earliest")
            for topic in own:
                hub.topic(topic).publish_nowait("secret")
            hub.topic("a" if asked == "*" else "a:a").publish_nowait("open")
            (message,) = await client.messages(1)
            assert message["content"] == "open"
        async with WebSocketClient(Gateway(hub, rules=AccessRules(subscribe=("telex:>",)))) as client:
            await client.ask("subscribe", topic="telex:>", since="earliest")
            assert [m["content"] for m in await client.messages(2)] == ["secret", "secret"]


async def test_an_engine_that_fails_is_told_in_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*arguments: object, **options: object) -> None:
        raise telex.EngineFailed("publishing to /var/lib/secret.db", "the disk is full")

    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN)) as client:
        await client.ask("subscribe", topic="a")
        with monkeypatch.context() as patch:
            patch.setattr(telex.Topic, "publish", full)
            answer = await client.ask("publish", topic="a", content=1)
        assert (answer["code"], answer["retry_after"]) == ("unavailable", 1.0)
        assert "secret" not in answer["problem"]
        # The connection and its subscription go on.
        hub.topic("a").publish_nowait(2)
        assert [m["content"] for m in await client.messages(1)] == [2]


async def test_an_engine_that_fails_while_it_is_read_ends_the_subscription_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*arguments: object, **options: object) -> None:
        raise telex.EngineFailed("reading", "the file is gone")

    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN)) as client:
        hub.topic("a").publish_nowait(1)
        with monkeypatch.context() as patch:
            patch.setattr("telex.gateway.connection.receive_waiting", broken)
            ref = client.send("subscribe", topic="a", since="earliest")
            frames = [await client.receive() for _ in range(4)]
        assert [frame["op"] for frame in frames] == ["hello", "subscribed", "error", "ended"]
        assert (frames[2]["code"], frames[2]["ref"]) == ("unavailable", ref)
        await client.ask("subscribe", topic="a", since="earliest")
        assert [m["content"] for m in await client.messages(1)] == [1]


async def test_an_engine_that_takes_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*arguments: object, **options: object) -> None:
        await asyncio.Event().wait()

    limits = Limits(operation_timeout=0.02)
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN, limits=limits)) as client:
        monkeypatch.setattr(telex.Topic, "publish", never)
        answer = await client.ask("publish", topic="a", content=1)
        assert (answer["code"], answer["retry_after"]) == ("timeout", 1.0)


async def test_a_fault_of_the_gateway_itself_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN)) as client:
        monkeypatch.setattr("telex.gateway.protocol.Session.receive", lambda *arguments: 1 / 0)
        client.send("ping")
        assert await client.closed() == CloseCode.FAULT
        assert hub.statistics().subscribers == 0


def test_an_authorizer_of_the_rules_alone_is_asked_once() -> None:
    peer = Peer("127.0.0.1", {})
    assert not Authorizer(AccessRules(), peer).judges
    assert Members("sees").authorizer(AccessRules(), peer).judges
    assert Members("sync").authorizer(AccessRules(), peer).judges


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
