import asyncio
import tempfile

import telex

url = f"sqlite:///{tempfile.mkdtemp()}/jobs.db"


async def process(hub: telex.Hub) -> None:
    @hub.command("bill")
    def bill(customer: str) -> None:
        print("bill", customer)

    async with hub:
        if await hub.schedules.get("ann") is None:
            await hub.schedules.add("ann", "every 1d", command="bill", content="ann")
        print([info.name for info in await hub.schedules.list()])


for _ in range(2):  # the second process finds the schedule; both may run at once
    asyncio.run(process(telex.Hub(url)))
# -> ['ann']
# -> ['ann']
