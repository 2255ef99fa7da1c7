"""The bound on topics that clients of a gateway publish to."""

import pytest

import telex
from telex.gateway import AccessRules, Gateway, Limits, Refused
from telex.gateway.topic_quota import TopicQuota
from tests.support.websocket import WebSocketClient


async def test_clients_fill_as_many_topics_as_the_limit_says() -> None:
    async with telex.Hub() as hub:
        quota = TopicQuota(hub, 3)
        for name in ("a", "b", "c"):
            await quota.take(name)
            await hub.topic(name).publish(1)
        with pytest.raises(Refused, match="fill 3 topics"):
            await quota.take("d")
        await quota.take("c")  # it is there


OPEN = AccessRules(publish=(">",), subscribe=(">",))


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
