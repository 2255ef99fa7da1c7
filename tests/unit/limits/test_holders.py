"""The heartbeat of a process that holds slots, and its judgement about other processes."""

import asyncio

import pytest

import telex
from telex.limits.holders import BUCKET, Holder
from telex.runtime import Runtime
from tests.unit.limits.parts import clock


def holder(runtime: Runtime, late: list[str] | None = None, lease: float = 30.0) -> Holder:
    noted = [] if late is None else late
    made = Holder(runtime, lambda: noted.append("late"))
    made.needs(lease)
    return made


async def revision(runtime: Runtime, of: Holder) -> int:
    record = await runtime.records("this test").get(BUCKET, of.id)
    return 0 if record is None else record.revision


def test_a_process_sends_heartbeats_while_it_holds_a_slot() -> None:
    async def main(runtime: Runtime) -> None:
        one = holder(runtime)
        await one.hold()
        seen = [await revision(runtime, one)]
        for _ in range(3):
            await asyncio.sleep(10.1)
            seen.append(await revision(runtime, one))
        assert seen == sorted(set(seen)), "three times in a lease"
        one.free()
        await asyncio.sleep(20.2)
        last = await revision(runtime, one)
        await asyncio.sleep(100)
        assert await revision(runtime, one) == last
        await one.hold()
        assert await revision(runtime, one) > last
        await one.close()
        assert await revision(runtime, one) == 0

    clock.run(main)


def test_a_process_is_gone_when_its_heartbeat_was_unchanged_for_its_lease() -> None:
    async def main(runtime: Runtime) -> None:
        one, two = holder(runtime, lease=5.0), holder(runtime, lease=60.0)
        await two.hold()
        began, loop = asyncio.get_running_loop().time(), asyncio.get_running_loop()
        await runtime.records("this test").put(BUCKET, "dead", b"20", 0)
        while "dead" not in (gone := await one.gone(["dead", two.id])):
            assert gone == []
            await asyncio.sleep(0.3)
        assert 20 <= loop.time() - began < 21.5, "by the lease of the other process, and not by its own"
        for _ in range(1000):
            assert await one.gone([two.id]) == []
            await asyncio.sleep(0.3)
        one.forget(["dead"])
        assert await one.gone(["dead"]) == [], "it is watched from the beginning"

    clock.run(main)


def test_a_process_may_be_judged_and_forgotten_at_the_same_time() -> None:
    async def main(runtime: Runtime) -> None:
        one, records = holder(runtime, lease=1.0), runtime.records("this test")
        get = records.get

        async def slow(bucket: str, key: str) -> object:
            await asyncio.sleep(0.1)
            return await get(bucket, key)

        records.get = slow  # type: ignore[method-assign,assignment]
        await one.gone(["dead", "other"])
        await asyncio.sleep(2)
        judging = asyncio.create_task(one.gone(["dead", "other"]))
        await asyncio.sleep(0.15)
        one.forget(["dead", "other"])
        assert await judging == ["dead"], "the other one is watched from the beginning"

    clock.run(main)


def test_a_process_without_a_record_is_gone_after_the_lease_of_the_observer() -> None:
    async def main(runtime: Runtime) -> None:
        one = holder(runtime, lease=6.0)
        assert await one.gone(["nobody"]) == []
        for _ in range(59):
            await asyncio.sleep(0.1)
            assert await one.gone(["nobody"]) == []
        await asyncio.sleep(2)
        assert await one.gone(["nobody"]) == ["nobody"]

    clock.run(main)


def test_a_late_heartbeat_is_noted_and_a_failed_one_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main(runtime: Runtime) -> None:
        late: list[str] = []
        one, put = holder(runtime, late, lease=3.0), runtime.records("this test").put
        fails = False

        async def failing(*arguments: object) -> object:
            if fails:
                raise telex.EngineFailed("putting a record", "as it was told")
            return await put(*arguments)  # type: ignore[arg-type]

        runtime.records("this test").put = failing  # type: ignore[method-assign,assignment]
        await one.hold()
        await asyncio.sleep(10)
        assert late == []
        fails = True
        await asyncio.sleep(10)
        fails = False
        await asyncio.sleep(5)
        assert late == ["late"]
        await one.close()

    clock.run(main)
    assert len([record for record in caplog.records if "heartbeat of the limits" in record.message]) == 1


def test_a_process_whose_first_heartbeat_fails_holds_nothing() -> None:
    async def main(runtime: Runtime) -> None:
        one, put = holder(runtime), runtime.records("this test").put

        async def failing(*arguments: object) -> object:
            raise telex.EngineFailed("putting a record", "as it was told")

        runtime.records("this test").put = failing  # type: ignore[method-assign,assignment]
        with pytest.raises(telex.EngineFailed):
            await one.hold()
        runtime.records("this test").put = put  # type: ignore[method-assign]
        await one.hold()
        assert await revision(runtime, one) > 0
        one.free()

    clock.run(main)
