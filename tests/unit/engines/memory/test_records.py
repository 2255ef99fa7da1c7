"""Records of one process, beside a naive model, and what happens when there are too many."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telex
from telex.engines.contract.records import Record
from telex.engines.memory import records
from telex.engines.memory.records import MemoryRecords

FAR = 1e12
KEYS = st.sampled_from("ab")
STEPS = st.tuples(st.sampled_from(["put", "delete", "stale put", "stale delete"]), KEYS, KEYS)


@given(st.lists(STEPS, max_size=20))
@settings(max_examples=30)
async def test_records_change_by_compare_and_set_alone(steps: list[tuple[str, str, str]]) -> None:
    kept, model, revisions = MemoryRecords(), dict[tuple[str, str], Record](), [0]
    for number, (step, bucket, key) in enumerate(steps):
        known = model.get((bucket, key))
        revision = (known.revision if known else 0) + (100 if step.startswith("stale") else 0)
        assert kept.compare(bucket, key, revision) is not step.startswith("stale")
        if step == "put":
            value = str(number).encode()
            made = await kept.put(bucket, key, value, revision)
            assert made is not None
            assert made > max(revisions), "a revision is never used again"
            revisions.append(made)
            model[bucket, key] = Record(value, made)
        elif step == "delete":
            assert await kept.put(bucket, key, None, revision) == (known and known.revision)
            model.pop((bucket, key), None)
        elif step == "stale put":
            assert await kept.put(bucket, key, b"", revision) is None
        else:
            assert await kept.put(bucket, key, None, revision) is None
        assert await kept.get(bucket, key) == kept.peek(bucket, key) == model.get((bucket, key))
        assert await kept.keys(bucket) == sorted(key for of, key in model if of == bucket)


async def test_the_record_that_expires_first_makes_room() -> None:
    kept = MemoryRecords(limit=2)
    await kept.put("b", "late", b"", 0, FAR + 1)
    await kept.put("b", "soon", b"", 0, FAR)
    await kept.put("b", "new", b"", 0)
    assert await kept.keys("b") == ["late", "new"]
    await kept.put("b", "newer", b"", 0)
    assert await kept.keys("b") == ["new", "newer"]


async def test_records_that_never_expire_are_not_forgotten_for_a_new_one() -> None:
    kept = MemoryRecords(limit=1)
    revision = await kept.put("b", "a", b"1", 0)
    assert revision is not None
    with pytest.raises(telex.EngineFailed, match="room for 1"):
        await kept.put("b", "another", b"", 0)
    assert await kept.keys("b") == ["a"]
    assert await kept.put("b", "a", b"2", revision), "a known record needs no room"


async def test_expired_records_are_deleted_as_others_are_put(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MemoryRecords()
    for number in range(10):
        await kept.put("old", str(number), b"", 0, FAR)
    await kept.put("b", "kept", b"", 0, FAR + 1000)
    monkeypatch.setattr(records, "time", lambda: FAR + 1)
    for number in range(5):
        await kept.put("new", str(number), b"", 0, FAR + 1000)
        assert len(await kept.keys("old")) == 10 - records.SWEPT * (number + 1)
    assert await kept.keys("b") == ["kept"]


async def test_a_record_that_was_renewed_does_not_expire_at_its_old_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MemoryRecords()
    revision = await kept.put("b", "renewed", b"1", 0, FAR)
    assert revision is not None
    assert await kept.put("b", "renewed", b"2", revision, FAR + 1000)
    monkeypatch.setattr(records, "time", lambda: FAR + 1)
    for number in range(3):
        await kept.put("b", str(number), b"", 0)
    found: Any = await kept.get("b", "renewed")
    assert found.value == b"2"
    assert time.time() < FAR
