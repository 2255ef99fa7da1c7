"""Large results have a record of their own, which is named by its digest."""

from itertools import product

import msgspec
import pytest
from msgspec.structs import replace

import telex
from telex.engines.contract.records import Record
from telex.errors import EngineFailed
from telex.once.machine import Entry
from telex.once.results import RESULTS_BUCKET, result_ref, with_result
from tests.support.internals import records_of
from tests.unit.commands.parts import entry_of


async def test_a_large_result_has_a_record_of_its_own(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("large", once=True)
    async def large(size: int) -> str:
        return "x" * size

    async with hub:
        assert await hub.call("large", 600_000, key="a") == "x" * 600_000
        entry, _ = await entry_of(hub, "large", "a")
        assert entry.ref
        outcome = await (await hub.send("large", 600_000, key="a")).outcome()
        assert outcome.replayed
        assert outcome.result == "x" * 600_000
        records = records_of(hub)
        assert records is not None
        kept = await records.get("$results", entry.ref)
        assert kept is not None
        assert await records.put("$results", entry.ref, b'"something else"', kept.revision)
        with pytest.raises(telex.CommandFailed) as caught:
            await hub.call("large", 600_000, key="a")
        assert caught.value.code == "result_gone", "what it names is told apart by its digest"


DONE = Entry("done", "print", 1, "worker", 30.0, completed=1.0, expires=2.0)


class Records:
    def __init__(self, **records: bytes) -> None:
        self.records = records
        self.asked: list[tuple[str, str]] = []

    async def get(self, bucket: str, key: str) -> Record | None:
        self.asked.append((bucket, key))
        found = self.records.get(key.partition(" ")[0])
        return None if found is None else Record(found, 1)


def stored(content: bytes) -> Entry:
    return replace(DONE, ref=result_ref("large", "id", 7, content))


async def test_a_result_in_the_record_of_its_key_is_read_nowhere_else() -> None:
    records, entry = Records(), replace(DONE, result=msgspec.Raw(b"5"))
    assert await with_result(entry, records.get) is entry
    assert records.asked == []


async def test_a_large_result_is_read_from_its_record() -> None:
    records = Records(large=b'"xxx"')
    found = await with_result(stored(b'"xxx"'), records.get)
    assert found == replace(DONE, result=msgspec.Raw(b'"xxx"'))
    assert records.asked == [(RESULTS_BUCKET, stored(b'"xxx"').ref)]


@pytest.mark.parametrize("there", [{}, {"large": b'"yyy"'}, {"large": b""}], ids=["none", "other", "empty"])
async def test_a_result_that_is_gone_or_another_is_an_error(there: dict[str, bytes]) -> None:
    found = await with_result(stored(b'"xxx"'), Records(**there).get)
    assert found.error is not None
    assert found.error.code == "result_gone"
    assert found.error.final


async def test_an_error_of_the_store_is_raised() -> None:
    async def fails(bucket: str, key: str) -> Record | None:
        raise EngineFailed("reading", "the disk is gone")

    with pytest.raises(EngineFailed):
        await with_result(stored(b"1"), fails)


def test_results_of_two_attempts_have_two_records() -> None:
    refs = {result_ref(*ref) for ref in product(("a", "b"), ("1", "2"), (1, 2), (b"x", b"y"))}
    assert len(refs) == 16
