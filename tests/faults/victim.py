"""A program that is killed: 8 publishers, 4 members of a group, retention. What it was told it writes down, unbuffered:

P publisher number seq    a publish was acknowledged
H id                      a handler was called
A id                      an ack was acknowledged
F                         something was refused with EngineFailed; it is tried again

With "-" for the file of notes, they go to the standard output.
"""

import asyncio
import os
import sys

import telex

PUBLISHERS, MEMBERS, KEPT = 8, 4, 2000


async def main(url: str, notes: str, run: int) -> None:
    log = os.dup(1) if notes == "-" else os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    hub = telex.Hub(url)
    hub.retain("orders:*", messages=KEPT)

    def note(text: str) -> None:
        os.write(log, f"{text}\n".encode())

    def member(number: int) -> None:
        @hub.on("orders:*", group="billing", concurrency=4, lease="1s")
        async def bill(context: telex.Context[str]) -> None:
            note(f"H {context.message.id}")
            await asyncio.sleep(0)
            try:
                if await context.ack():
                    note(f"A {context.message.id}")
            except telex.EngineFailed:  # the disk is full: it comes again
                note("F")

    async def publish(number: int) -> None:
        topic, n = hub.topic(f"orders:{number % 3}"), 0
        while run >= 0:
            try:
                message = await topic.publish(f"{run}.{number} {n}", key=None if number % 2 else f"k{number}")
            except telex.EngineFailed:
                note("F")
                await asyncio.sleep(0.01)
                continue
            note(f"P {run}.{number} {n} {message.topic} {message.seq} {message.id}")
            n += 1
            if notes == "-":  # no faster than its handlers
                await asyncio.sleep(0.01)

    for number in range(MEMBERS):
        member(number)
    async with hub:
        print("ready", flush=True)
        await asyncio.gather(*(publish(number) for number in range(PUBLISHERS)))
        # The last run publishes nothing, and ends when all is handled.
        while any(group.lag for group in await hub.groups.list()):  # noqa: ASYNC110  # lag is asked for
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
