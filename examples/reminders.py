"""Schedules that a program adds, changes and deletes while it runs: `python examples/reminders.py [URL]`."""

import asyncio
import sys

import telex


async def main(url: str) -> None:
    """Add two schedules, wait for their runs, and delete them."""
    hub = telex.Hub(url)
    reported = asyncio.Event()

    @hub.command("report")
    async def report(team: str) -> None:
        reported.set()

    async with hub, hub.topic("ticks").subscribe() as ticks:
        for name in ("ticks", "weekly"):
            await hub.schedules.delete(name)  # those of an earlier run
        await hub.schedules.add("ticks", "every 50ms", topic="ticks", content={"from": "the schedule"})
        print("tick:", (await ticks.receive(20)).content)
        await hub.schedules.add("weekly", "0 9 * * mon", command="report", content="sales", tz="Europe/Paris")
        await hub.schedules.change("weekly", "every 50ms")
        await asyncio.wait_for(reported.wait(), 20)
        paused = await hub.schedules.pause("ticks")
        print("paused:", paused.name, "next:", paused.next)
        for info in await hub.schedules.list():
            print(f"{info.name}: {info.when}, {info.command or info.topic}, ran: {info.fired > 0}")
            await hub.schedules.delete(info.name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "memory://"))
