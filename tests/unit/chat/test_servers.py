"""The reports of chat servers: two lobbies on one hub, on a virtual clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import telex
from telex.chat.lobby import Enter, Lobby
from telex.chat.presence import PresenceChange
from telex.chat.servers import HEARTBEAT_SECONDS, SILENCE_SECONDS
from telex.testing.clock import VirtualClock

ANN, BOB = "the secret of ann's browser", "the secret of bob's browser"


def names(lobby: Lobby) -> list[str]:
    return [person.name for person in lobby.presence.people("lobby")]


@asynccontextmanager
async def changes(hub: telex.Hub) -> AsyncIterator[list[PresenceChange]]:
    """The notices of the room, as they come."""
    found: list[PresenceChange] = []

    async def read(inbox: telex.Subscription[PresenceChange]) -> None:
        while True:
            found.append((await inbox.receive()).content)

    async with hub.topic("presence:lobby", PresenceChange).subscribe() as inbox:
        reading = asyncio.create_task(read(inbox))
        yield found
        reading.cancel()
        await asyncio.wait({reading})


def test_the_last_notice_has_the_people_of_all_servers() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub, changes(hub) as found:
            one, two = (Lobby(hub, 60.0, clock=clock, shared=True) for _ in range(2))
            async with one.open(), two.open():
                # Neither server has read the report of the other when it publishes its notice.
                await asyncio.gather(one.enter(Enter("lobby", "Ann", ANN)), two.enter(Enter("lobby", "Bob", BOB)))
                await asyncio.sleep(0.1)
                assert [person.name for person in found[-1].people] == ["Ann", "Bob"]
                await asyncio.sleep(3600)
                assert names(one) == names(two) == ["Ann", "Bob"], "heartbeats keep them"

    clock.run(main())


def test_a_server_that_starts_knows_the_people_on_the_others() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            one, two = (Lobby(hub, 60.0, clock=clock, shared=True) for _ in range(2))
            async with one.open():
                await one.enter(Enter("lobby", "Ann", ANN))
                await asyncio.sleep(3600)
                async with two.open():
                    assert names(two) == ["Ann"]

    clock.run(main())


def test_people_leave_when_their_server_is_silent() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub, changes(hub) as found:
            one, two = (Lobby(hub, 60.0, clock=clock, shared=True) for _ in range(2))
            async with two.open():
                await two.enter(Enter("lobby", "Bob", BOB))
                async with one.open():
                    await one.enter(Enter("lobby", "Ann", ANN))
                    await asyncio.sleep(SILENCE_SECONDS)
                    assert names(two) == ["Ann", "Bob"]
                await asyncio.sleep(SILENCE_SECONDS + 2 * HEARTBEAT_SECONDS)
                assert names(two) == ["Bob"]
                assert found[-1].event == "left"
                assert found[-1].name == "Ann"

    clock.run(main())


def test_a_person_moves_to_another_server_without_leaving() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub, changes(hub) as found:
            one, two = (Lobby(hub, 5.0, clock=clock, shared=True) for _ in range(2))
            async with one.open(), two.open():
                await one.enter(Enter("lobby", "Ann", ANN))
                await asyncio.sleep(0.1)
                one.lose("lobby", "Ann")
                await two.enter(Enter("lobby", "Ann", ANN))
                await asyncio.sleep(60)
                assert names(one) == names(two) == ["Ann"]
                await two.leave("lobby", "Ann")
                await asyncio.sleep(0.1)
                assert names(one) == names(two) == []
                assert [(each.event, each.name) for each in found if each.name] == [("joined", "Ann"), ("left", "Ann")]

    clock.run(main())


def test_nobody_leaves_while_the_engine_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            one, two = (Lobby(hub, 60.0, clock=clock, shared=True) for _ in range(2))
            async with two.open():
                async with one.open():
                    await one.enter(Enter("lobby", "Ann", ANN))
                    await asyncio.sleep(0.1)
                with monkeypatch.context() as patch:
                    patch.setattr(telex.Hub, "connected", False)
                    await asyncio.sleep(3600)
                    assert names(two) == ["Ann"]
                await asyncio.sleep(SILENCE_SECONDS + 2 * HEARTBEAT_SECONDS)
                assert names(two) == []

    clock.run(main())


def test_a_full_disk_ends_no_report(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()

    async def fail(topic: object, content: object) -> None:
        raise telex.EngineFailed("publishing", "the disk is full")

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            one, two = (Lobby(hub, 60.0, clock=clock, shared=True) for _ in range(2))
            async with one.open(), two.open():
                await one.enter(Enter("lobby", "Ann", ANN))
                with monkeypatch.context() as patch:
                    patch.setattr(telex.Topic, "publish", fail)
                    await asyncio.sleep(HEARTBEAT_SECONDS * 1.5)
                await asyncio.sleep(3600)
                assert names(two) == ["Ann"]

    clock.run(main())
    assert "the people on this server were not reported" in caplog.text
