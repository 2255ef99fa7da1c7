"""The records of commands by id."""

import msgspec

from telex.codec.content import to_json
from telex.commands.outcome import unrun
from telex.commands.transports.job_records import JobRecord, JobRecords
from telex.engines.memory.records import MemoryRecords
from telex.once.machine import Failure

FAILED = unrun("ship", "1", None, Failure("Cancelled", "cancelled", "its sender cancelled it"))


async def test_a_record_changes_by_its_revision() -> None:
    records = JobRecords(MemoryRecords())
    assert await records.get("ship", "1") is None
    first = JobRecord("delayed", due=5.0)
    assert await records.put("ship", "1", first, 0, 60.0)
    assert not await records.put("ship", "1", first, 0, 60.0)
    found = await records.get("ship", "1")
    assert found is not None
    assert found[0] == first
    assert found[0].ended_with() is None
    ended = msgspec.structs.replace(first, state="ended", outcome=msgspec.Raw(to_json(FAILED)))
    assert await records.put("ship", "1", ended, found[1], 60.0)
    (again,) = (await records.get_all("ship", ["0", "1"])).values()
    assert again.ended_with() == FAILED
    await records.delete("ship", "1")
    await records.delete("ship", "1")
    assert await records.newest("ship", 10) == []


async def test_the_newest_ids_are_listed() -> None:
    records = JobRecords(MemoryRecords())
    for number in range(5):
        await records.put("ship", str(number), JobRecord("queued"), 0, 60.0)
    assert await records.newest("ship", 2) == ["3", "4"]
    await records.add_name("ship")
    await records.add_name("ship")
    assert await records.names() == ["ship"]


async def test_cancellations_are_noted_for_workers_that_start_later() -> None:
    records = JobRecords(MemoryRecords())
    await records.cancel("ship", "1", "hub")
    await records.cancel("ship", "1", "hub")
    assert (await records.cancelled("ship"), await records.cancelled("bill")) == (["1"], [])
    assert await records.canceller("ship", "1") == "hub"
    await records.end_cancel("ship", "1")
    assert await records.canceller("ship", "1") == "hub", "its worker may be killed before it settles the command"
    await records.drop_cancel("ship", "1")
    assert await records.canceller("ship", "1") is None


async def test_the_priorities_of_a_name_are_noted_once() -> None:
    records = JobRecords(MemoryRecords())
    assert await records.use_level("ship", "low")
    assert not await records.use_level("ship", "low")
    assert (await records.levels("ship"), await records.levels("shi")) == (["low"], [])
