"""The rig does the hub's part of the contract, and reports an engine that breaks its own."""

from typing import Any

import pytest

from telex.engines import Decoder, EngineEvents
from telex.engines.memory.engine import MemoryEngine
from telex.message import Message
from telex.testing.conformance.rig import Rig, message


def numbered(topic: str, *numbers: int) -> list[Message[Any]]:
    return [message(topic, number, published=1000.0).numbered(number, 0) for number in numbers]


async def test_it_publishes_to_topics_and_to_the_patterns_that_match() -> None:
    async with Rig(MemoryEngine()) as rig:
        pattern, other = rig.log("a:*"), rig.log("b:*")
        await rig.send("a:1", "x", "y")
        (third,) = await rig.send("a:2", "z", key="k")
        assert (third.seq, third.key) == (1, "k")
        assert rig.contents("a:1") == ["x", "y"]
        assert [new.content for new in pattern.messages] == ["x", "y", "z"]
        assert list(other.messages) == []
        assert [new.content for new in rig.log("*:1").messages] == ["x", "y"], "a pattern made later has what is kept"


async def test_retention_is_that_of_the_topics_that_match() -> None:
    async with Rig(MemoryEngine()) as rig:
        for topic in ("a:1", "b:1"):
            await rig.send(topic, *range(5))
        await rig.retain("a:*", 2)
        assert [rig.log(topic).keep(rig.engine.now()) for topic in ("a:1", "b:1")] == [4, 1]


@pytest.mark.parametrize("numbers", [(1, 1), (2, 1), (1, 2, 2)])
async def test_a_number_that_does_not_grow_is_a_fault_of_the_engine(numbers: tuple[int, ...]) -> None:
    rig = Rig(MemoryEngine())
    rig.deliver(numbered("t", *numbers))
    rig.deliver(numbered("u", 1))
    with pytest.raises(AssertionError, match=rf"number {numbers[-1]} of t after number {numbers[-2]}"):
        rig.check()


async def test_numbers_begin_again_after_a_removal() -> None:
    rig = Rig(MemoryEngine())
    rig.deliver(numbered("t", 1, 2))
    rig.gap("t", None, "epoch")
    rig.deliver(numbered("t", 1))
    rig.check()
    assert rig.removals == ["t"]


async def test_a_damaged_message_and_a_failure_are_faults() -> None:
    rig = Rig(MemoryEngine())
    rig.gap("t", 1, "unreadable")
    with pytest.raises(AssertionError, match="messages of t are missing: unreadable"):
        rig.check()
    rig = Rig(MemoryEngine())
    rig.failed(OSError("the disk is gone"))
    with pytest.raises(AssertionError, match="the disk is gone"):
        rig.check()


class Engine(MemoryEngine):
    """An engine that counts its closings, and fails to open if asked to."""

    fails = False
    closed = 0

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        if self.fails:
            raise OSError("nobody is there")
        await super().open(events, decoder)

    async def close(self) -> None:
        self.closed += 1
        await super().close()


async def test_an_engine_that_does_not_open_is_closed() -> None:
    engine = Engine()
    engine.fails = True
    with pytest.raises(OSError, match="nobody is there"):
        await Rig(engine).__aenter__()
    assert engine.closed == 1


async def test_leaving_closes_the_engine_and_checks_it_unless_the_test_has_failed() -> None:
    engine = Engine()
    rig = Rig(engine)
    await rig.__aenter__()
    rig.failed(OSError("it broke"))
    with pytest.raises(AssertionError, match="it broke"):
        await rig.__aexit__(None, None, None)
    assert engine.closed == 1
    rig = Rig(engine)
    await rig.__aenter__()
    rig.failed(OSError("it broke"))
    await rig.__aexit__(LookupError, LookupError(), None)
    assert engine.closed == 2


async def test_waiting_ends_when_the_feed_makes_it_true_or_after_its_patience() -> None:
    async with Rig(MemoryEngine(), patience=0.02) as rig:
        with pytest.raises(AssertionError, match=r"within 0\.02 s the engine did not deliver a message"):
            await rig.until(lambda: rig.contents("t"), "a message")
        rig.gap("t", None, "epoch")
        await rig.until(lambda: rig.removals == ["t"], "a removal")


async def test_settlements_are_answered_one_by_one() -> None:
    async with Rig(MemoryEngine()) as rig:
        await rig.join("g", "t")
        await rig.send("t", 1)
        (delivery,) = await rig.fetch("g", "t")
        assert await rig.settle("g", "t", delivery, "ack")
        assert not await rig.settle("g", "t", delivery, "ack")
