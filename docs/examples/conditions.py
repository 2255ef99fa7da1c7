import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)

signups = hub.variable("signups", 0)
hub.when(signups >= 1000, topic="milestones")

failed = hub.rate("logins:failed:*", per="1m", by=lambda message: message.content["user"])
hub.when((failed >= 5).throttle("1h"), topic="alarms", rising=True)


@hub.when(hub.silence("heartbeat:*", longer_than="30s"))
def lost(firing: telex.Firing) -> None:
    print(f"no heartbeat since {firing.scheduled:%H:%M:%S}, less 30 seconds")


async def main() -> None:
    async with hub, hub.topic("milestones").subscribe() as milestones, hub.topic("alarms").subscribe() as alarms:
        for _ in range(1200):
            await signups.add(1)
        async for message in milestones:  # fires once, when the count is reached; then the topic is closed
            print("reached with", message.id)
        for _ in range(20):
            await hub.topic("logins:failed:web").publish({"user": "eve"})
            await hub.topic("heartbeat:web").publish(None)
            await asyncio.sleep(5)
        await asyncio.sleep(60)
        print("alarms for", [message.content.key for message in await alarms.receive_many()])


clock.run(main())
