"""The attempts of commands whose workers died, counted in the records of the engine."""

import time

from telex.commands.transports.attempts import BUCKET, COUNT_SECONDS, AttemptCounter
from telex.engines.contract.records import Record
from telex.engines.memory.records import MemoryRecords


def counter() -> tuple[AttemptCounter, MemoryRecords]:
    records = MemoryRecords()
    return AttemptCounter(records), records


async def test_earlier_attempts_are_counted_for_each_command() -> None:
    """The first delivery of a command is not counted, to save a write, so a count begins at the second."""
    attempts, _ = counter()
    assert [await attempts.count("a") for _ in range(3)] == [1, 2, 3]
    assert await attempts.count("b") == 1


async def test_an_attempt_of_a_hub_that_was_closed_is_subtracted() -> None:
    attempts, _ = counter()
    await attempts.count("a")
    await attempts.spare("a")
    assert await attempts.count("a") == 1


async def test_a_first_attempt_that_was_spared_leaves_none_before_the_next() -> None:
    attempts, _ = counter()
    await attempts.spare("a")
    assert await attempts.count("a") == 0


async def test_a_count_that_another_worker_changed_meanwhile_is_read_again() -> None:
    attempts, records = counter()
    await attempts.count("a")
    get = records.get

    async def stale(bucket: str, key: str) -> Record | None:
        found = await get(bucket, key)
        if records.get is stale:
            records.get = get  # type: ignore[method-assign]
            await AttemptCounter(records).count("a")
        return found

    records.get = stale  # type: ignore[method-assign]
    assert await attempts.count("a") == 3


async def test_a_count_expires_a_day_after_its_last_change() -> None:
    attempts, records = counter()
    kept: list[float | None] = []
    put = records.put

    async def noted(
        bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
    ) -> int | None:
        kept.append(expires)
        assert bucket == BUCKET
        return await put(bucket, key, value, revision, expires)

    records.put = noted  # type: ignore[method-assign]
    before = time.time()
    await attempts.count("a")
    (expires,) = kept
    assert expires is not None
    assert before + COUNT_SECONDS <= expires <= time.time() + COUNT_SECONDS
    assert COUNT_SECONDS == 86400
