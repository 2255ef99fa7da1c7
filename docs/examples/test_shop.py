from collections.abc import Sequence

import pytest
from shop import OrderPlaced, router

import telex
from telex.testing.clock import VirtualClock
from telex.testing.recorder import Recorder


@pytest.fixture
def telex_routers() -> Sequence[telex.Router]:
    return [router]  # the fixture hub includes them


async def test_an_order_is_answered(hub: telex.Hub, recorder: Recorder) -> None:
    await hub.topic("orders:1").publish(OrderPlaced(17, 700))
    await hub.idle()  # until every handler has finished
    assert recorder.contents("mails") == ["order 17: thank you"]
    assert [handled.message.content.number for handled in recorder.handled] == [17]
    assert recorder.failed == []


async def test_content_without_a_handler_is_counted(hub: telex.Hub) -> None:
    await hub.topic("orders:1").publish("an order?")
    await hub.idle()
    assert hub.statistics().unhandled == 1


async def test_the_reminder_fires_every_night(hub: telex.Hub, virtual_clock: VirtualClock) -> None:
    async with hub.topic("mails").subscribe() as mails:
        week = [(await mails.receive(timeout="25h")).content for _ in range(7)]
    assert week == ["your basket waits"] * 7
