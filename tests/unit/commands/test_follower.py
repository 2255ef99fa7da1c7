"""Followers: every outcome once, progress if asked for, and a Lost where the start is gone."""

import pytest

import telex
from telex.hub import dispatcher_of
from tests.unit.commands.parts import OutOfStock


async def test_following_many(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("report:build")
    async def build(number: int) -> int:
        return number

    @hub.command("report:send")
    async def send(number: int) -> None:
        raise OutOfStock("no paper")

    @hub.command("else")
    async def other() -> None: ...

    async with hub, hub.follow("report:*") as follower, hub.follow(">") as every:
        await hub.call("report:build", 1)
        await hub.call("else")
        with pytest.raises(telex.CommandFailed):
            await hub.call("report:send", 2)
        heard = [await follower.receive(timeout=20) for _ in range(2)]
        assert [(o.command, o.result if o.error is None else o.error.code) for o in heard] == [  # type: ignore[union-attr]
            ("report:build", 1),
            ("report:send", "out_of_stock"),
        ]
        names = [getattr(await every.receive(timeout=20), "command", None) for _ in range(3)]
        assert names == ["report:build", "else", "report:send"]
        async with hub.follow("report:build", start="earliest") as later:
            assert isinstance(await later.receive(timeout=20), telex.Outcome)


async def test_a_follower_from_a_start_that_is_gone_gets_a_lost(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("double", run_in="loop")
    def double(number: int) -> int:
        return 2 * number

    hub.retain("$command:>", messages=2)
    async with hub:
        start = await hub.topic("$command:double:outcome").position()
        for number in range(5):
            await hub.call("double", number)
        async with hub.follow("double", start=start) as follower:
            assert await follower.receive(timeout=5) == telex.Lost(3, 1, 3, "trimmed")
            first = await follower.receive(timeout=5)
            assert isinstance(first, telex.Outcome)
            assert first.result == 6


async def test_a_follower_gets_an_outcome_once_however_often_it_is_requested(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        return number

    async with hub, hub.follow("build") as follower:
        assert [await hub.call("build", 1, key="a", timeout=20) for _ in range(3)] == [1, 1, 1]
        assert await hub.call("build", 2, key="b", timeout=20) == 2
        heard = [await follower.receive(timeout=20) for _ in range(2)]
        assert dispatcher_of(hub).table.servers["build"].counts.replayed == 2
        assert dispatcher_of(hub).table.servers["build"].counts.executed == 2
    assert [(outcome.key, outcome.replayed) for outcome in heard if isinstance(outcome, telex.Outcome)] == [
        ("a", False),
        ("b", False),
    ]
