"""A day of the shop, with the workers in this process: `python -m store.demo`."""

import asyncio

from . import reports, world
from .app import hub
from .mails import Newsletter
from .orders import Order
from .reports import Wanted


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish(Order(1, "cup", 700, "ann@example.org"))
        await hub.topic("orders").publish(Order(2, "plate", 200_000, "bob@example.org"))
        await hub.topic("parcels").publish(1)
        await hub.topic("newsletters").publish(Newsletter(["ann@example.org", "bob@example.org"], "new cups"))
        report = await hub.send("build_report", Wanted(10))
        print(await report.result(timeout=10))
        print(await reports.look_up(hub, report.id))
        print(await hub.call("sum_regions", 10))
        for name in ("expire_carts", "refresh_rates", "nightly_report"):
            await hub.trigger(name).fire()
        await hub.idle(timeout=20)
        print("mails:", len(world.outbox), "shipped:", world.shipped, "paid:", world.paid, "left:", world.stock)
        print("alarms:", sorted(world.alarms))


if __name__ == "__main__":
    asyncio.run(main())
