"""Records: compare-and-set, and revisions that fence."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import time

from telex.engines.contract import Record, Records
from telex.testing.conformance.suite import Suite, promise

B = "once"


class Undone(Exception):
    """The error that ends a transaction."""


class RecordTests(Suite):
    """`telex.engines.Records`, sentence by sentence."""

    @promise("records")
    async def test_get_returns_the_record_that_was_put(self) -> None:
        """`get` returns the bytes of `put` and the revision that `put` returned; None for a key without a record."""
        async with self.rig() as rig:
            records = rig.records
            assert await records.get(B, "none") is None
            for key, value in {"": b"", "ü:*>%/ '": b"\x00\xff" * 10, "large": bytes(200_000), "k" * 500: b"x"}.items():
                revision = await records.put(B, key, value, 0)
                record = await records.get(B, key)
                assert record is not None, key
                assert (record.value, record.revision) == (value, revision)

    @promise("records")
    async def test_put_compares_revisions(self) -> None:
        """`put` sets a record only at the given revision, 0 for a new record. Otherwise it returns None."""
        async with self.rig() as rig:
            records = rig.records
            first = await records.put(B, "k", b"1", 0)
            assert first is not None
            assert first > 0
            assert await records.put(B, "k", b"2", 0) is None
            assert await records.put(B, "k", b"2", first + 1) is None
            assert await records.put(B, "other", b"2", 7) is None, "there is none to compare with"
            second = await records.put(B, "k", b"3", first)
            assert second is not None
            assert second > first
            assert await records.put(B, "k", b"4", first) is None
            record = await records.get(B, "k")
            assert record is not None
            assert (record.value, record.revision) == (b"3", second)
            assert await records.get(B, "other") is None

    @promise("records")
    async def test_one_of_concurrent_puts_wins(self) -> None:
        """Of concurrent `put` calls with the same revision one returns a revision. All other calls return None."""
        async with self.rig() as rig:
            records = rig.records
            revision = 0
            for turn in range(self.size(3, 30)):
                puts = [records.put(B, "k", b"%d" % n, revision) for n in range(self.size(10, 100))]
                results = await asyncio.gather(*puts)
                (winner,) = [n for n, result in enumerate(results) if result is not None]
                record = await records.get(B, "k")
                assert record is not None
                assert (record.value, record.revision) == (b"%d" % winner, results[winner]), f"turn {turn}"
                assert record.revision > revision
                revision = record.revision

    @promise("records")
    async def test_delete_compares_revisions(self) -> None:
        """`put` without a value deletes only at the given revision, and returns it if it has deleted the record."""
        async with self.rig() as rig:
            records = rig.records
            assert await records.put(B, "k", None, 0) is None
            assert await records.put(B, "k", None, 1) is None
            revision = await records.put(B, "k", b"1", 0)
            assert revision is not None
            assert await records.put(B, "k", None, revision + 1) is None
            assert await records.put(B, "k", None, 0) is None
            assert await records.get(B, "k") is not None
            assert await records.put(B, "k", None, revision) == revision
            assert await records.get(B, "k") is None
            assert await records.put(B, "k", None, revision) is None

    @promise("records")
    async def test_revisions_grow_also_after_a_delete(self) -> None:
        """A revision is larger than every earlier one of the key, also after the record was deleted."""
        async with self.rig() as rig:
            records, seen = rig.records, [0]
            for _ in range(4):
                for _ in range(2):
                    record = await records.get(B, "k")
                    revision = await records.put(B, "k", b"v", record.revision if record else 0)
                    assert revision is not None
                    assert revision > seen[-1], f"revision {revision} after {seen}"
                    seen.append(revision)
                assert await records.put(B, "k", b"v", seen[-2]) is None
                assert await records.put(B, "k", None, seen[-1])
                assert await records.put(B, "k", b"v", seen[-1]) is None, "a deleted record has revision 0"

    @promise("records")
    async def test_keys_returns_the_sorted_keys_of_one_bucket(self) -> None:
        """`keys` returns the keys of one bucket, sorted. The same key in another bucket is another record."""
        async with self.rig() as rig:
            records = rig.records
            assert await records.keys(B) == []
            for key in ("b", "a", "c", "ä", "B", "a%"):
                assert await records.put(B, key, b"1", 0)
            assert await records.put("another", "a", b"2", 0)
            assert await records.keys(B) == sorted(["b", "a", "c", "ä", "B", "a%"])
            assert await records.keys("another") == ["a"]
            record = await records.get("another", "a")
            assert record is not None
            assert await records.put("another", "a", None, record.revision)
            assert await records.keys("another") == []
            assert len(await records.keys(B)) == 6

    @promise("records")
    async def test_a_record_expires(self) -> None:
        """`put` deletes expired records in time, and no other records."""
        async with self.rig() as rig:
            records, now = rig.records, time()
            revision = await records.put(B, "past", b"1", 0, now - 1)
            assert revision is not None
            assert await records.put(B, "later", b"1", 0, now + 3600)
            assert await records.put(B, "never", b"1", 0)
            for n in range(10):
                assert await records.put(B, f"other {n}", b"1", 0, now + 3600)
            assert await records.get(B, "past") is None
            assert len(await records.keys(B)) == 12
            again = await records.put(B, "past", b"2", 0)
            assert again is not None
            assert again > revision, "it fences, also after it expired"
            assert await records.put(B, "past", b"3", again, now - 1)
            kept = await records.get(B, "later")
            assert kept is not None
            assert await records.put(B, "later", b"2", kept.revision), "it expires no more"
            assert await records.put(B, "other 0", b"1", 0) is None
            assert await records.get(B, "never") is not None

    @promise("records", "transactions", "record_transactions")
    async def test_a_transaction_puts_records(self) -> None:
        """`Transaction.put` sets a record together with the other writes, or not at all. It compares revisions."""
        async with self.rig() as rig:
            records = rig.records
            first = await records.put(B, "k", b"1", 0)
            assert first is not None
            with suppress(Undone):
                async with rig.transaction() as tx:
                    assert await tx.put(B, "k", b"2", first)
                    assert await tx.put(B, "new", b"2", 0, time() + 3600)
                    raise Undone
            assert await records.keys(B) == ["k"]
            assert await records.get(B, "k") == Record(b"1", first)
            async with rig.transaction() as tx:
                assert await tx.put(B, "k", b"2", first + 1) is None
                second = await tx.put(B, "k", b"2", first)
                assert await tx.put(B, "new", b"3", 0)
            assert second is not None
            assert second > first
            assert await records.get(B, "k") == Record(b"2", second)
            assert await records.keys(B) == ["k", "new"]
            third = await records.put(B, "k", b"4", second)
            assert third is not None
            assert third > second

    @promise("records", "shared")
    async def test_concurrent_counters_of_two_engines_lose_no_count(self) -> None:
        """Shared: compare-and-set works between engines: concurrent counters lose no count."""
        each = self.size(10, 300)

        async with self.rig() as one, self.rig() as two:

            async def count(records: Records) -> None:
                for _ in range(each):
                    while True:
                        record = await records.get(B, "n")
                        value, revision = (int(record.value), record.revision) if record else (0, 0)
                        if await records.put(B, "n", b"%d" % (value + 1), revision):
                            break

            await asyncio.gather(count(one.records), count(two.records))
            record = await one.records.get(B, "n")
            assert record is not None
            assert int(record.value) == 2 * each
            assert await two.records.get(B, "n") == record

    @promise("records", "durable")
    async def test_records_survive_a_restart(self) -> None:
        """Durable: records, their revisions, and the revisions of deleted records are there when the engine is opened
        again."""
        async with self.rig() as rig:
            kept = await rig.records.put(B, "kept", b"value", 0)
            gone = await rig.records.put(B, "gone", b"value", 0)
            assert kept
            assert gone
            assert await rig.records.put(B, "gone", None, gone)
        async with self.rig() as rig:
            record = await rig.records.get(B, "kept")
            assert record is not None
            assert (record.value, record.revision) == (b"value", kept)
            assert await rig.records.keys(B) == ["kept"]
            again = await rig.records.put(B, "gone", b"value", 0)
            assert again is not None
            assert again > gone
