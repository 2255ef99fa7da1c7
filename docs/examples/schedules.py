import asyncio
from datetime import UTC, datetime, timedelta

import telex

hub = telex.Hub()


@hub.command("report")
async def report(options: dict[str, str]) -> None: ...


async def main() -> None:
    async with hub:
        schedules, tomorrow = hub.schedules, datetime.now(UTC) + timedelta(days=1)
        await schedules.add(
            "weekly report", "0 9 * * mon", command="report", content={"team": "sales"}, tz="Europe/Paris"
        )
        await schedules.add("heartbeat", "every 10s", topic="heartbeats", content="alive")
        await schedules.add("reminder", tomorrow, topic="reminders")

        await schedules.change("weekly report", "0 8 * * mon", content={"team": "support"})
        await schedules.pause("heartbeat")
        await schedules.resume("heartbeat")
        await schedules.delete("reminder")
        for info in await schedules.list():
            print(f"{info.name}: {info.when}, {info.content}, fired {info.fired} times")


asyncio.run(main())
