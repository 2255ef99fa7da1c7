import asyncio

import telex

hub = telex.Hub()


@hub.command("fetch")
def fetch(name: str) -> str:
    return f"<h1>{name}</h1>"


@hub.command("title")
def title(page: str) -> str:
    return page.removeprefix("<h1>").removesuffix("</h1>")


@hub.command("shouted")
async def shouted(name: str, hub: telex.Hub) -> str:
    page = await hub.call("fetch", name, type=str)
    text = await hub.call("title", page, type=str)
    return text.upper()  # a step that is short needs no command


async def main() -> None:
    async with hub:
        print(await hub.call("shouted", "cups"))


asyncio.run(main())
# -> CUPS
