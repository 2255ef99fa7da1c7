import asyncio

import telex
from telex.testing.recorder import Recorder

router = telex.Router()


@router.on("orders")
async def bill(order: int, hub: telex.Hub) -> None:
    await hub.topic("mails").publish(f"order {order}: thank you")


async def test_an_order_is_answered(hub: telex.Hub, recorder: Recorder) -> None:
    await hub.topic("orders").publish(17)
    await hub.idle()
    assert recorder.contents("mails") == ["order 17: thank you"]


async def main() -> None:  # as pytest does it, with the fixtures of telex's plugin
    recorder = Recorder()
    async with telex.Hub("memory://", middleware=[recorder.middleware], lifespan=recorder.lifespan) as hub:
        hub.include_router(router)
        await test_an_order_is_answered(hub, recorder)
        print("passed")


asyncio.run(main())
# -> passed
