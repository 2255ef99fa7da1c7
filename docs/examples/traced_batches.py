import asyncio

from opentelemetry.sdk.trace import TracerProvider

import telex
from telex.observe import OpenTelemetry

observe = OpenTelemetry(TracerProvider(), sample=0.01)
hub = telex.Hub(observe=observe)


async def main() -> None:
    async with hub, hub.topic("orders").subscribe() as inbox:
        for number in range(3):
            await hub.topic("orders").publish(number)
        await hub.aclose()  # ends the subscription after its waiting messages
        async for batch in inbox.batches(100):
            with observe.process(batch):  # the span
                print([message.content for message in batch])


asyncio.run(main())
