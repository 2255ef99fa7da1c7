import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.every("6h")
def look() -> None:
    print("look")


async def main() -> None:
    async with hub:
        await hub.schedules.add("mornings", "0 9 * * *", topic="mornings")
        for trigger in hub.triggers():  # those that the program declares
            print(trigger.trigger, trigger.next)
        for schedule in await hub.schedules.list():  # those that were added
            print(schedule.name, schedule.next)


clock.run(main())
# -> look 2026-01-01 06:00:00+00:00
# -> mornings 2026-01-01 09:00:00+00:00
