"""The rate of taking and acknowledging messages, beside job queues that keep their jobs in PostgreSQL."""

import asyncio
import logging
from time import perf_counter
from typing import Any

from bench.postgres_server import server
from bench.question import Contestant, Question
from bench.worker import run

COUNT, SLOWLY, FEW = 50_000, 2000, 200
"""Messages, as many as the benchmark of pgqueuer takes; for procrastinate, which commits twice a job, fewer."""
CONTENT: dict[str, Any] = {"number": 1, "text": "hello there"}
CONCURRENCY = 32
"""Jobs at once of a worker of procrastinate."""
BATCH = 250
"""Jobs that pgqueuer takes and logs at once: of 10, 25, 100, 250, 500 and 1000 the fastest here."""
KEPT = 10_000_000

QUESTION = Question(
    name="postgres_queues",
    title="Consuming with acknowledgement, beside queues on PostgreSQL",
    method=(
        "A server with PostgreSQL's own settings on this machine, one queue with jobs of 33 bytes, one process that "
        "runs a handler for each and marks it done; measured from its start until the last one is marked. Each is set "
        'up as its documentation advises: the worker of procrastinate with `concurrency=32, delete_jobs="successful"`; '
        "pgqueuer on asyncpg, with `pgq autovac` and `batch_size=250`."
    ),
    unit="messages a second",
    better="more",
    cases={"consume": "consuming with ack"},
    contestants=(
        Contestant("telex", "telex, postgresql://"),
        Contestant("procrastinate", "procrastinate"),
        Contestant("pgqueuer", "pgqueuer"),
    ),
    rounds=5,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Messages a second; nothing is dropped, or it raises."""
    count = FEW if quick else COUNT
    with server() as (url, conninfo):
        if contestant == "telex":
            return run(_telex(url, count)), 0
        if contestant == "procrastinate":
            return run(_procrastinate(conninfo, min(count, SLOWLY))), 0
        return run(_pgqueuer(conninfo, count)), 0


class Countdown:
    """Counts the jobs that were handled."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.done = asyncio.Event()

    def tick(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.done.set()


async def _telex(url: str, count: int) -> float:
    import telex

    async with telex.Hub(url) as hub:
        hub.retain("t", messages=KEPT)
        topic = hub.topic("t")
        for _ in range(0, count, 1000):
            await asyncio.gather(*(topic.publish(CONTENT) for _ in range(min(count, 1000))))
    worker, left = telex.Hub(url), Countdown(count)

    @worker.on("t", group="g")
    async def handle(content: dict[str, Any]) -> None:
        left.tick()

    start = perf_counter()
    async with worker:
        await left.done.wait()
        while (await worker.groups.list())[0].lag:  # noqa: ASYNC110  # the last acks are on their way
            await asyncio.sleep(0)
        return count / (perf_counter() - start)


async def _procrastinate(conninfo: str, count: int) -> float:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=conninfo, max_size=CONCURRENCY))
    left = Countdown(count)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)

    @app.task
    async def handle(number: int, text: str) -> None:
        left.tick()

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for first in range(0, count, 1000):
            await handle.batch_defer_async(*[CONTENT] * min(1000, count - first))
        start = perf_counter()
        await app.run_worker_async(
            concurrency=CONCURRENCY, wait=False, delete_jobs="successful", install_signal_handlers=False
        )
        taken = perf_counter() - start
        assert left.done.is_set()
        return count / taken


async def _pgqueuer(conninfo: str, count: int) -> float:
    import asyncpg
    import msgspec
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.domain.types import QueueExecutionMode
    from pgqueuer.queries import Queries

    parts = dict(part.split("=", 1) for part in conninfo.split())
    connection = await asyncpg.connect(host=parts["host"], user=parts["user"], database=parts["dbname"])
    left = Countdown(count)
    app, queries = PgQueuer(AsyncpgDriver(connection)), Queries.from_asyncpg_connection(connection)
    await queries.install()
    await queries.optimize_autovacuum()

    @app.entrypoint("handle")
    async def handle(job: Any) -> None:
        msgspec.json.decode(job.payload)
        left.tick()

    payload = msgspec.json.encode(CONTENT)
    await queries.enqueue(["handle"] * count, [payload] * count, [0] * count)
    start = perf_counter()
    # It logs the last jobs when it is left.
    await app.qm.run(batch_size=BATCH, mode=QueueExecutionMode.drain)
    taken = perf_counter() - start
    assert left.done.is_set()
    return count / taken
