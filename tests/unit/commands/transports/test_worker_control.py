"""The cancellations and priorities of one command, as a worker follows them."""

import asyncio

import telex
from telex.commands.plan import Priority
from telex.commands.transports.job_records import JobRecords
from telex.commands.transports.worker_control import WorkerControl
from telex.hub import runtime_of
from tests.support.internals import records_of
from tests.support.loops import until

CANCELS = "$command:ship:cancel"


class Following:
    """A `WorkerControl` that follows, and its calls."""

    def __init__(self, hub: telex.Hub, most: int = 10_000) -> None:
        self.cancelled: list[str] = []
        self.joined: list[Priority] = []
        self.hub = hub
        self.records = JobRecords(records_of(hub))
        self.control = WorkerControl(runtime_of(hub), "ship", self._cancel, self.joined.append, most)
        self.task = asyncio.ensure_future(self.control.follow())

    def _cancel(self, id: str, hub: str) -> None:
        self.cancelled.append(f"{id} by {hub}")

    async def tell(self, **content: str) -> None:
        await self.hub.topic(CANCELS).publish(content)


async def test_a_worker_begins_with_the_cancellations_and_priorities_of_before() -> None:
    async with telex.Hub() as hub:
        following = Following(hub)
        await following.records.cancel("ship", "1", "hub")
        await following.records.use_level("ship", "low")
        await following.control.wait()
        assert following.control.ready
        assert (following.cancelled, following.joined) == (["1 by ?"], ["low"])
        assert [following.control.may_be_cancelled(id) for id in ("1", "2")] == [True, False]
        assert await following.control.canceller("1", retried=False) == "hub"
        await following.tell(id="2", by="other")
        await following.tell(level="high")
        await until(lambda: following.joined == ["low", "high"])
        assert following.cancelled == ["1 by ?", "2 by other"]
        assert await following.control.canceller("2", retried=False) == "other"
    await following.task


async def test_cancellations_that_a_worker_missed_are_read_from_the_records() -> None:
    async with telex.Hub() as hub:
        following = Following(hub)
        await following.control.wait()
        for number in range(1100):  # more than the subscription holds; the worker gets no turn
            await following.records.cancel("ship", str(number), "hub")
            hub.topic(CANCELS).publish_nowait({"id": str(number)})
        await until(lambda: following.control.may_be_cancelled("1099"))
        assert following.control.may_be_cancelled("1050")
    await following.task


async def test_a_retried_command_is_cancelled_only_after_its_retry() -> None:
    async with telex.Hub() as hub:
        following = Following(hub)
        await following.records.cancel("ship", "1", "hub")
        await following.control.wait()
        await following.records.drop_cancel("ship", "1")
        assert await following.control.canceller("1", retried=True) is None
        await following.records.cancel("ship", "1", "hub")
        assert await following.control.canceller("1", retried=True) == "hub"
    await following.task


async def test_beyond_the_bound_ids_are_read_from_the_records() -> None:
    async with telex.Hub() as hub:
        following = Following(hub, most=2)
        for id in ("1", "2", "3"):
            await following.records.cancel("ship", id, "hub")
        await following.control.wait()
        hubs = [await following.control.canceller(id, retried=False) for id in ("1", "3", "4")]
        assert hubs == ["hub", "hub", None]
        assert following.control.may_be_cancelled("4")
        for id in ("1", "2"):
            await following.records.drop_cancel("ship", id)
        for id in ("5", "6"):
            await following.tell(id=id)
        await until(lambda: not following.control.may_be_cancelled("4"))
    await following.task
