"""The time that one message takes when it is alone."""

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

from bench.peers import CONTENT
from bench.question import Contestant, Question
from bench.worker import run

SECONDS = 0.04
CHUNK = 500
# As in bench/fanout.py: the median of so many slices.
SLICES = 5

QUESTION = Question(
    name="latency",
    title="One message alone",
    method=(
        "There and back: one task sends a message and waits for the answer that another task sends when it has "
        "received it; the time is that of both ways. To a handler: one task sends a message and yields to the event "
        "loop until the handler has run; the bare call awaits the same handler without anything between."
    ),
    unit="microseconds",
    better="less",
    cases={
        "publish": "there and back, publish",
        "publish_nowait": "there and back, publish_nowait",
        "handler": "to a handler",
    },
    contestants=(
        Contestant("telex", "telex"),
        Contestant(
            "asyncio_queue", "asyncio.Queue", "put or put_nowait, get; to a handler: a task that gets and calls"
        ),
        Contestant("bare_call", "bare call", cases=("handler",)),
    ),
    rounds=9,
)

Step = Callable[[], Awaitable[object]]


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Microseconds a message."""
    seconds = 0.0 if quick else SECONDS
    if case == "handler":
        handlers = {"telex": _telex_handler, "asyncio_queue": _queue_handler, "bare_call": _bare_call}
        return run(handlers[contestant](seconds)), 0
    there_and_back = _telex if contestant == "telex" else _queues
    return run(there_and_back(case == "publish_nowait", seconds)), 0


async def paced(step: Step, seconds: float) -> float:
    """The mean time of ``step``, in microseconds, the median of some slices, after some that are not timed."""
    for _ in range(100):
        await step()
    return median([await _slice(step, seconds) for _ in range(SLICES if seconds else 1)])


async def _slice(step: Step, seconds: float) -> float:
    start = now = perf_counter()
    count = 0
    while not count or now - start < seconds:
        for _ in range(CHUNK):
            await step()
        count += CHUNK
        now = perf_counter()
    return (now - start) / count * 1e6


async def _telex(nowait: bool, seconds: float) -> float:
    import telex

    async with telex.Hub("memory://") as hub:
        there, back = hub.topic("there"), hub.topic("back")
        async with there.subscribe() as inbox, back.subscribe() as answers:

            async def echo() -> None:
                while True:
                    await inbox.receive()
                    await back.publish(CONTENT)

            async def echo_nowait() -> None:
                while True:
                    await inbox.receive()
                    back.publish_nowait(CONTENT)

            async def step() -> None:
                await there.publish(CONTENT)
                await answers.receive()

            async def step_nowait() -> None:
                there.publish_nowait(CONTENT)
                await answers.receive()

            return await _beside(echo_nowait() if nowait else echo(), step_nowait if nowait else step, seconds)


async def _queues(nowait: bool, seconds: float) -> float:
    there: asyncio.Queue[str] = asyncio.Queue(1024)
    back: asyncio.Queue[str] = asyncio.Queue(1024)

    async def echo() -> None:
        while True:
            await there.get()
            await back.put(CONTENT)

    async def echo_nowait() -> None:
        while True:
            await there.get()
            back.put_nowait(CONTENT)

    async def step() -> None:
        await there.put(CONTENT)
        await back.get()

    async def step_nowait() -> None:
        there.put_nowait(CONTENT)
        await back.get()

    return await _beside(echo_nowait() if nowait else echo(), step_nowait if nowait else step, seconds)


async def _beside(echo: Awaitable[None], step: Step, seconds: float) -> float:
    task = asyncio.ensure_future(echo)
    try:
        return await paced(step, seconds)
    finally:
        task.cancel()


class _Handled:
    """The handler that all three call, and what it counted."""

    def __init__(self) -> None:
        self.count = 0

    async def handle(self, content: str) -> None:
        self.count += 1

    def step(self, publish: Callable[[str], object]) -> Step:
        async def step() -> None:
            before = self.count
            publish(CONTENT)
            while self.count == before:  # noqa: ASYNC110  # turns of the loop are what is measured
                await asyncio.sleep(0)

        return step


async def _telex_handler(seconds: float) -> float:
    import telex

    hub, handled = telex.Hub("memory://"), _Handled()

    @hub.on("there")
    async def handle(content: str) -> None:
        handled.count += 1

    async with hub:
        return await paced(handled.step(hub.topic("there").publish_nowait), seconds)


async def _queue_handler(seconds: float) -> float:
    queue: asyncio.Queue[str] = asyncio.Queue(1024)
    handled = _Handled()

    async def serve() -> None:
        while True:
            await handled.handle(await queue.get())

    return await _beside(serve(), handled.step(queue.put_nowait), seconds)


async def _bare_call(seconds: float) -> float:
    handled = _Handled()

    async def step() -> None:
        await handled.handle(CONTENT)

    return await paced(step, seconds)
