"""A command that streams its result: `python examples/tokens.py [URL]`. A reader leaves, and another one continues."""

import asyncio
import sys
from collections.abc import AsyncIterator

import telex

TEXT = "the quick brown fox jumps over the lazy dog"


async def main(url: str | None) -> None:
    """Read the first tokens as the sender, and the rest as a page that has only the id and a position."""
    hub = telex.Hub(url)

    @hub.command("complete")
    async def complete(prompt: str) -> AsyncIterator[str]:
        for token in TEXT.removeprefix(prompt).split():
            yield token

    async with hub:
        stream = hub.stream("complete", "the quick", type=str)
        async for part in stream:
            print("sender:", part.content)
            if part.content == "fox":
                break  # the command goes on
        assert stream.ticket is not None
        assert stream.position is not None
        topic = hub.topic(f"$stream:complete:{stream.ticket.id}")
        async with topic.subscribe(start=stream.position) as inbox:
            while not isinstance(item := await inbox.receive(), telex.Lost) and item.content is not None:
                print("page:", item.content)
        print("tokens:", await stream.ticket)


asyncio.run(main(sys.argv[1] if sys.argv[1:] else None))
