"""One limit over several processes: the rate, the slots, and processes that are gone."""

import asyncio
from typing import Any

import pytest

import telex
from telex.engines.contract.records import Record
from telex.limits.limiter import Limiter, escaped
from telex.limits.meter import KeyState, decode, encode
from telex.limits.registry import LimitRegistry
from telex.runtime import Runtime
from tests.unit.limits.parts import clock, processes, spec


def limiter(limits: LimitRegistry, **options: Any) -> Limiter:
    return limits.gate(spec(**options), 100, 30.0, bounded=True).limiter


async def state(runtime: Runtime, key: str = "k") -> KeyState:
    record = await runtime.records("this test").get("limit:n", key)
    return KeyState() if record is None else decode(record.value)


def test_processes_share_the_tokens_of_a_rate() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime) as (one, two):
            first, second = limiter(one, rate="1/s"), limiter(two, rate="1/s")
            assert (await first.ask("k", 1)).count == 1
            answer = await second.ask("k", 1)
            assert answer.count == 0
            assert answer.wait == pytest.approx(1.0, abs=0.01)
            assert (await second.ask("another", 1)).count == 1
            for asking in (second, first, first, second):
                await asyncio.sleep(1.001)
                assert (await asking.ask("k", 5)).count == 1

    clock.run(main)


def test_processes_share_slots_and_give_them_back_when_nothing_waits() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime) as (one, two):
            first, second = limiter(one, concurrency=3), limiter(two, concurrency=3)
            assert (await first.ask("k", 2)).count == 2
            answer = await second.ask("k", 2)
            assert answer.count == 1
            assert answer.wait is not None
            assert 0.1 <= answer.wait <= 0.5
            assert (await first.ask("k", 1)).count == 0
            first.ended("k", 2)
            await asyncio.sleep(0.01)
            assert sum((await state(runtime)).slots.values()) == 1
            assert (await second.ask("k", 2)).count == 2
            second.ended("k", 3)
            await asyncio.sleep(0.01)
            assert (await state(runtime)).slots == {}

    clock.run(main)


def test_the_slots_of_a_process_without_heartbeats_are_free_after_its_lease() -> None:
    async def main(runtime: Runtime) -> None:
        records = runtime.records("this test")
        await records.put("limit:n", "k", encode(KeyState(0.0, {"dead": 2})), 0)
        await records.put("limit-holders", "dead", b"10", 0)
        async with processes(runtime, 1) as (one,):
            asking, began = limiter(one, concurrency=2), asyncio.get_running_loop().time()
            while not (answer := await asking.ask("k", 1)).count:
                assert answer.wait is not None
                await asyncio.sleep(answer.wait)
            assert 10 <= asyncio.get_running_loop().time() - began <= 12
            assert "dead" not in (await state(runtime)).slots

    clock.run(main)


def test_a_process_that_lives_keeps_its_slots_however_long_its_call_runs() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime) as (one, two):
            first, second = limiter(one, concurrency=1), limiter(two, concurrency=1)
            assert (await first.ask("k", 1)).count == 1
            for _ in range(1000):
                assert (await second.ask("k", 1)).count == 0
                await asyncio.sleep(0.3)

    clock.run(main)


def test_closing_gives_back_the_slots_of_calls_that_were_cancelled() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            assert (await limiter(one, concurrency=2).ask("k", 2)).count == 2
        assert (await state(runtime)).slots == {}

    clock.run(main)


def test_slots_whose_write_failed_are_given_back() -> None:
    class Failing:
        """Records whose next write is stored, and answered with an error."""

        def __init__(self, inner: object) -> None:
            self.inner, self.fail = inner, False

        async def get(self, bucket: str, key: str) -> Record | None:
            return await self.inner.get(bucket, key)  # type: ignore[attr-defined,no-any-return]

        async def put(self, bucket: str, key: str, *arguments: object) -> int | None:
            stored = await self.inner.put(bucket, key, *arguments)  # type: ignore[attr-defined]
            if self.fail and bucket == "limit:n":
                self.fail = False
                raise telex.EngineFailed("putting a record", "as it was told")
            return stored  # type: ignore[no-any-return]

    async def main(runtime: Runtime) -> None:
        runtime.engine.records = failing = Failing(runtime.engine.records)  # type: ignore[assignment]
        async with processes(runtime, 1) as (one,):
            asking = limiter(one, concurrency=2)
            failing.fail = True
            with pytest.raises(telex.EngineFailed):
                await asking.ask("k", 2)
            assert sum((await state(runtime)).slots.values()) == 2
            assert (await asking.ask("k", 1)).count == 1
            assert sum((await state(runtime)).slots.values()) == 1
            failing.fail = True
            with pytest.raises(telex.EngineFailed):
                await asking.ask("k", 1)
            asking.ended("k")
            await asyncio.sleep(0.1)
            failing.fail = True
            with pytest.raises(telex.EngineFailed):
                await asking.ask("k", 2)
        assert (await state(runtime)).slots == {}, "also those of which no call began"

    clock.run(main)


def test_a_kept_slot_is_not_taken_while_it_is_given_back() -> None:
    class Slow:
        """Records whose writes begin, and are stored when ``go`` is set."""

        def __init__(self, inner: object) -> None:
            self.inner, self.begun, self.go = inner, asyncio.Event(), asyncio.Event()

        async def get(self, bucket: str, key: str) -> Record | None:
            return await self.inner.get(bucket, key)  # type: ignore[attr-defined,no-any-return]

        async def put(self, bucket: str, key: str, *arguments: object) -> int | None:
            self.begun.set()
            await self.go.wait()
            return await self.inner.put(bucket, key, *arguments)  # type: ignore[attr-defined,no-any-return]

    async def main(runtime: Runtime) -> None:
        runtime.engine.records = slow = Slow(runtime.engine.records)  # type: ignore[assignment]
        slow.go.set()
        async with processes(runtime) as (one, two):
            first, second = limiter(one, concurrency=1), limiter(two, concurrency=1)
            assert (await first.ask("k", 1)).count == 1
            slow.go.clear()
            slow.begun.clear()
            first.ended("k")
            await slow.begun.wait()
            taken = first.take_kept("k", 1)
            slow.go.set()
            await asyncio.sleep(0.01)
            assert taken + (await second.ask("k", 1)).count == 1

    clock.run(main)


def test_records_of_keys_that_limit_nothing_any_more_expire() -> None:
    async def main(runtime: Runtime) -> None:
        expiring: list[float | None] = []
        put = runtime.records("this test").put

        async def spy(
            bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
        ) -> object:
            expiring.append(expires)
            return await put(bucket, key, value, revision, expires)

        runtime.records("this test").put = spy  # type: ignore[method-assign,assignment]
        async with processes(runtime, 1) as (one,):
            await limiter(one, rate="1/h").ask("k", 1)
        assert None not in expiring

    clock.run(main)


def test_keys_of_any_form_are_names_of_records() -> None:
    assert escaped("customer-1", 200) == "customer-1"
    odd = [escaped(text, 20) for text in ("x" * 21, "x" * 22, "a\nb", "\ud800", "é" * 11)]
    assert len(set(odd)) == len(odd)
    assert all(text.isascii() and text.startswith("#") for text in odd)
