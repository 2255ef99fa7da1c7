"""Count the frames and files of telex that one message passes through, for each path: ``python scripts/paths.py``.

A frame is one call of a function of telex, a coroutine that goes on counted again, in any thread, from the publish to
the handler that has it. Every path is warm when it is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import telex

PACKAGE = str(Path(telex.__file__).parent)
WARM = 5


class Trace:
    """The calls of telex's functions between `start` and `stop`."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.on = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if self.on and event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            name = frame.f_code.co_filename.removeprefix(PACKAGE + "/")
            self.calls[name, frame.f_code.co_qualname] += 1

    @property
    def frames(self) -> int:
        return sum(self.calls.values())

    @property
    def files(self) -> int:
        return len({file for file, _ in self.calls})


async def measured(trace: Trace, step: Callable[[], Awaitable[object]]) -> None:
    for _ in range(WARM):
        await step()
        await settled()
    trace.on = True
    await step()
    trace.on = False


async def settled() -> None:
    """Wait until the work after a step is done, such as an acknowledgement."""
    await asyncio.sleep(0.05)


async def iterate(trace: Trace, url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")
        got = asyncio.Queue[object]()

        async def read(inbox: telex.Subscription[Any]) -> None:
            async for message in inbox:
                trace.on = False
                got.put_nowait(message)

        async with topic.subscribe() as inbox, asyncio.TaskGroup() as group:
            task = group.create_task(read(inbox))

            async def step() -> None:
                await topic.publish(1)
                await got.get()

            await settled()
            await measured(trace, step)
            task.cancel()


async def handled(trace: Trace, url: str, options: dict[str, Any]) -> None:
    hub = telex.Hub(url)
    got = asyncio.Queue[object]()

    @hub.on("a", **options)
    async def handle(message: telex.Message[Any]) -> None:
        trace.on = False
        got.put_nowait(message)

    async with hub:
        topic = hub.topic("a")

        async def step() -> None:
            await topic.publish(1)
            await got.get()

        await settled()
        await measured(trace, step)


async def called(trace: Trace, url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("work")
    async def work(content: int) -> int:
        return content

    async with hub:
        await settled()
        await measured(trace, lambda: hub.call("work", 1))


def paths(folder: str) -> dict[str, Callable[[Trace], Awaitable[None]]]:
    file = f"sqlite:///{folder}/a.db"
    return {
        "publish to async for, memory": lambda trace: iterate(trace, "memory://"),
        "publish to @hub.on, memory": lambda trace: handled(trace, "memory://", {}),
        "publish to a group, memory": lambda trace: handled(trace, "memory://", {"group": "g"}),
        "publish to async for, SQLite": lambda trace: iterate(trace, file),
        "publish to a group, SQLite": lambda trace: handled(trace, file, {"group": "g"}),
        "hub.call, memory": lambda trace: called(trace, "memory://"),
        "hub.call, SQLite": lambda trace: called(trace, file),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", action="store_true", help="list the calls of every path")
    parser.add_argument("--json", action="store_true", help="write the counts as JSON")
    options = parser.parse_args()
    counts = {}
    for number, name in enumerate(paths("")):
        with tempfile.TemporaryDirectory() as folder:
            trace = Trace()
            threading.setprofile(trace)
            sys.setprofile(trace)
            asyncio.run(list(paths(folder).values())[number](trace))  # type: ignore[arg-type]
            sys.setprofile(None)
            threading.setprofile(None)
        counts[name] = (trace.frames, trace.files)
        if not options.json:
            print(f"{name:32}{trace.frames:5} frames {trace.files:4} files")
        for (file, function), count in sorted(trace.calls.items()) if options.calls else ():
            print(f"    {count:4} {file} {function}")
    if options.json:
        print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
