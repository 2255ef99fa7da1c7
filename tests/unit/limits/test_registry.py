"""The limits of a hub: by name, equal for equal names, and given back when the hub closes."""

import asyncio
import logging

import pytest

import telex
from telex.engines.memory.engine import MemoryEngine
from telex.hub import runtime_of
from telex.limits.registry import LimitRegistry
from telex.runtime import Runtime
from tests.unit.limits.parts import Calls, clock, spec


def test_limits_of_one_name_are_one_limit_and_must_be_equal() -> None:
    async def main(runtime: Runtime) -> None:
        limits = LimitRegistry(runtime)
        one, two = (limits.gate(spec("stripe", rate="1/s"), 1, 30.0, bounded=True) for _ in range(2))
        assert one is not two
        assert one.limiter is two.limiter
        assert limits.gate(spec("other", rate="1/s"), 1, 30.0, bounded=True).limiter is not one.limiter
        with pytest.raises(telex.BadOption, match="another limit is 'stripe'"):
            limits.check(spec("stripe", rate="2/s"))

    clock.run(main)


def test_an_engine_without_records_refuses_a_limit_where_it_is_declared() -> None:
    engine = MemoryEngine()
    engine.records = None
    with pytest.raises(telex.Misuse, match="limit="):
        LimitRegistry(runtime_of(telex.Hub(engine))).check(spec(rate="1/s"))


def test_a_process_that_was_paused_for_longer_than_its_lease_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    async def main(runtime: Runtime) -> None:
        limits, records = LimitRegistry(runtime), runtime.records("this test")
        calls, put = Calls(limits, spec(concurrency=1), seconds=100.0, lease=3.0), records.put
        calls.add("a")
        await asyncio.sleep(10)
        assert "was paused" not in caplog.text

        async def paused(*arguments: object) -> object:
            await asyncio.sleep(5)
            return await put(*arguments)  # type: ignore[arg-type]

        records.put = paused  # type: ignore[method-assign,assignment]
        await asyncio.sleep(10)
        records.put = put  # type: ignore[method-assign]
        await limits.close()

    clock.run(main)
    assert "was paused for longer than 3 s" in caplog.text


def test_slots_that_cannot_be_given_back_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main(runtime: Runtime) -> None:
        limits = LimitRegistry(runtime)
        calls = Calls(limits, spec(concurrency=1), seconds=100.0)
        calls.add("a")
        assert (await calls.gate.limiter.ask("b", 1)).count == 1

        async def failing(*arguments: object) -> object:
            raise telex.EngineFailed("putting a record", "as it was told")

        runtime.records("this test").put = failing  # type: ignore[method-assign,assignment]
        with caplog.at_level(logging.ERROR):
            await limits.close()

    clock.run(main)
    assert [record.levelname for record in caplog.records if "when their lease ends" in record.message] == ["ERROR"]
