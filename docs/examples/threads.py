import asyncio
import threading

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        readings = hub.topic("readings")
        async with readings.subscribe() as inbox:

            def measure() -> None:  # in a thread without an event loop
                message = readings.publish_threadsafe(21.5).result(timeout=5)
                print("published as", message.seq)

            thread = threading.Thread(target=measure)
            thread.start()
            print((await inbox.receive(timeout=5)).content)
            await asyncio.to_thread(thread.join)


asyncio.run(main())
