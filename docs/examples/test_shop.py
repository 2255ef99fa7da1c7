from collections.abc import AsyncIterator

import pytest
from shop import OrderPlaced, router

import telex
from telex.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def hub() -> AsyncIterator[telex.Hub]:
    hub = telex.Hub("memory://")  # a hub is opened once: each test gets its own
    hub.include_router(router)
    async with hub:
        yield hub


async def test_an_order_is_answered(hub: telex.Hub) -> None:
    async with hub.topic("mails").subscribe() as mails:
        await hub.topic("orders:1").publish(OrderPlaced(17, 700))
        mail = await mails.receive(timeout=1)
    assert mail.content == "order 17: thank you"


async def test_content_without_a_handler_is_counted(hub: telex.Hub) -> None:
    await hub.topic("orders:1").publish("an order?")
    await hub.aclose()  # returns when the handlers have finished
    assert hub.statistics().unhandled == 1


def test_the_reminder_fires_every_night() -> None:
    clock = VirtualClock()

    async def week() -> list[str]:
        hub = telex.Hub("memory://", clock=clock)
        hub.include_router(router)
        async with hub, hub.topic("mails").subscribe() as mails:
            return [(await mails.receive(timeout="25h")).content for _ in range(7)]

    assert clock.run(week()) == ["your basket waits"] * 7
