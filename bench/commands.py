"""The cost of a command, beside the call of a function."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.question import Contestant, Question
from bench.worker import run

SECONDS = 0.05
CHUNK = 200
# As in bench/fanout.py: the median of so many slices.
SLICES = 5
TOGETHER = 64

QUESTION = Question(
    name="commands",
    title="A command and its result",
    method=(
        "A request and its reply: one task asks, and waits for what the same async handler has returned. 64 at once: "
        "as many tasks ask, and the time is that of all, divided by 64. Once: each "
        "request has a new key, whose outcome is recorded. Replayed: each has the same key, and the handler is not "
        "called. Replayed together: 64 tasks ask at once, each for a key of its own that has its outcome; the time is "
        "that of all, divided by 64. In a file, the disk is asked to keep each step (synchronous=full)."
    ),
    unit="microseconds",
    better="less",
    cases={
        "call": "request and reply",
        "calls": "64 at once",
        "once": "once, a new key",
        "replay": "once, replayed",
        "together": "once, replayed together",
    },
    contestants=(
        Contestant("telex", "telex, in memory", "hub.call"),
        Contestant("telex_sqlite", "telex, in a file", "hub.call on sqlite:///"),
        Contestant("bare_call", "bare call", "awaits the handler", cases=("call", "calls"), calls=True),
        Contestant("queue", "asyncio.Queue and a future", "written by hand, one worker", cases=("call", "calls")),
        Contestant(
            "faststream", "FastStream, TestNatsBroker", "broker.request; no logger, no FastDepends", ("call", "calls")
        ),
        Contestant(
            "powertools",
            "Powertools for AWS Lambda",
            "idempotent_function over a dictionary, a sync function called in place",
            cases=("once", "replay"),
            calls=True,
        ),
    ),
    rounds=7,
)

Step = Callable[[], Awaitable[object]]


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Microseconds a request."""
    seconds = 0.0 if quick else SECONDS
    if contestant == "powertools":
        return _powertools(case, seconds), 0
    if contestant == "telex_sqlite":
        with tempfile.TemporaryDirectory() as folder:
            return run(_telex(f"sqlite:///{Path(folder) / 'bench.db'}", case, seconds)), 0
    if contestant == "telex":
        return run(_telex("memory://", case, seconds)), 0
    return run({"bare_call": _bare_call, "queue": _queue, "faststream": _faststream}[contestant](case, seconds)), 0


async def handle(number: int) -> int:
    """The request that each contestant answers."""
    return number + 1


async def _paced(step: Step, seconds: float, chunk: int = CHUNK) -> float:
    """The mean time of ``step``, in microseconds, the median of some slices, after some that are not timed."""
    for _ in range(min(chunk, 20)):
        await step()
    return median([await _slice(step, seconds, chunk) for _ in range(SLICES if seconds else 1)])


async def _asked(call: Step, case: str, seconds: float, chunk: int = CHUNK) -> float:
    if case == "call":
        return await _paced(call, seconds, chunk)

    async def together() -> None:
        await asyncio.gather(*[call() for _ in range(TOGETHER)])

    return await _paced(together, seconds, 5) / TOGETHER


async def _slice(step: Step, seconds: float, chunk: int) -> float:
    start = now = perf_counter()
    count = 0
    while not count or now - start < seconds:
        for _ in range(chunk):
            await step()
        count += chunk
        now = perf_counter()
    return (now - start) / count * 1e6


async def _telex(url: str, case: str, seconds: float) -> float:
    import telex

    hub = telex.Hub(url)
    hub.command("plain")(handle)
    hub.command("once", once=True)(handle)
    numbers = iter(range(10**9))
    chunk = CHUNK if url == "memory://" else 20
    async with hub:
        if case in ("call", "calls"):
            return await _asked(lambda: hub.call("plain", 1), case, seconds, chunk)
        if case == "once":
            return await _paced(lambda: hub.call("once", 1, key=str(next(numbers))), seconds, chunk)
        if case == "replay":
            return await _paced(lambda: hub.call("once", 1, key="same"), seconds, chunk)
        keys = [str(number) for number in range(TOGETHER)]

        async def together() -> None:
            await asyncio.gather(*[hub.call("once", 1, key=key) for key in keys])

        await together()
        return await _paced(together, seconds, 10) / TOGETHER


async def _bare_call(case: str, seconds: float) -> float:
    return await _asked(lambda: handle(1), case, seconds)


async def _queue(case: str, seconds: float) -> float:
    queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def worker() -> None:
        while True:
            number, reply = await queue.get()
            reply.set_result(await handle(number))

    async def call() -> int:
        reply: asyncio.Future[int] = loop.create_future()
        queue.put_nowait((1, reply))
        return await reply

    task = asyncio.create_task(worker())
    try:
        return await _asked(call, case, seconds)
    finally:
        task.cancel()


async def _faststream(case: str, seconds: float) -> float:
    from faststream.nats import NatsBroker, TestNatsBroker

    broker = NatsBroker(logger=None, apply_types=False)
    broker.subscriber("number")(handle)
    async with TestNatsBroker(broker):
        return await _asked(lambda: broker.request(1, "number"), case, seconds, 20)


def _powertools(case: str, seconds: float) -> float:  # noqa: C901  # the whole of what its documentation asks for
    from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
    from aws_lambda_powertools.utilities.idempotency.exceptions import (
        IdempotencyItemAlreadyExistsError,
        IdempotencyItemNotFoundError,
    )
    from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer, DataRecord

    class Dictionary(BasePersistenceLayer):
        def __init__(self) -> None:
            self.records: dict[str, DataRecord] = {}
            super().__init__()

        def _get_record(self, idempotency_key: str) -> DataRecord:
            found = self.records.get(idempotency_key)
            if found is None:
                raise IdempotencyItemNotFoundError
            return found

        def _put_record(self, data_record: DataRecord) -> None:
            found = self.records.get(data_record.idempotency_key)
            if found is not None and not found.is_expired:
                raise IdempotencyItemAlreadyExistsError(old_data_record=found)
            self.records[data_record.idempotency_key] = data_record

        def _update_record(self, data_record: DataRecord) -> None:
            self.records[data_record.idempotency_key] = data_record

        def _delete_record(self, data_record: DataRecord) -> None:
            self.records.pop(data_record.idempotency_key, None)

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 30_000

    config = IdempotencyConfig()
    config.register_lambda_context(Context())

    @idempotent_function(data_keyword_argument="key", persistence_store=Dictionary(), config=config)
    def handle_once(key: str, number: int) -> int:
        return number + 1

    numbers = iter(range(10**9))

    def step() -> int:
        key = str(next(numbers)) if case == "once" else "same"
        result: int = handle_once(key=key, number=1)
        return result

    async def paced() -> float:
        async def call() -> int:
            return step()

        return await _paced(call, seconds)

    return run(paced())
