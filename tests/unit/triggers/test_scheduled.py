"""The state of a trigger, and the topics that triggers share."""

import asyncio

import pytest

import telex
from telex.hub import runtime_of
from telex.testing.clock import VirtualClock
from telex.triggers.records import TriggerRecord
from telex.triggers.scheduled import ScheduledTrigger, TopicUse
from telex.triggers.timers import Timers


def test_a_topic_is_closed_with_the_last_that_publishes_there(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.every(1, topic="t", name="each")
    hub.after(2, topic="t", name="once")

    async def main() -> None:
        async with hub, hub.topic("t").subscribe() as inbox:
            await asyncio.sleep(5.5)
            names = [message.content.trigger for message in inbox.receive_many_nowait()]
            assert sorted(names) == ["each"] * 5 + ["once"]

    clock.run(main())


class Bare(ScheduledTrigger):
    """A trigger that is never due."""

    __slots__ = ()

    def describe(self) -> str:
        return "never"

    def begin(self) -> None:
        """Do nothing."""

    def due(self, now: float) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""


def trigger(topic: str = "t") -> Bare:
    made = Bare(Timers(runtime_of(telex.Hub())))
    made.topic = topic
    return made


def test_a_topic_is_free_when_no_other_trigger_publishes_there() -> None:
    use, one, other = TopicUse(), trigger(), trigger()
    use.add("t")
    assert use.is_free_of_others(one)
    use.add("t")
    use.add("another")
    assert not use.is_free_of_others(one)
    other.ended = True
    use.remove("t")
    assert use.is_free_of_others(one)
    assert not use.is_free_of_others(other), "the first one still publishes there"
    use.remove("t")
    assert use.is_free_of_others(other)
    use.remove("t")  # twice is fine
    use.add("t")
    assert use.is_free_of_others(one)
    assert not use.is_free_of_others(other)


def test_a_stored_record_is_taken_over() -> None:
    made = trigger()
    made.take(TriggerRecord(5.0, last=7.0, fired=3, late=0.5, paused=True))
    assert (made.start, made.last, made.fired, made.late, made.paused_elsewhere) == (5.0, 7.0, 3, 0.5, True)
    assert not made.paused, "that is of this process"
    made.take(TriggerRecord(5.0))
    assert (made.last, made.fired, made.paused_elsewhere) == (None, 0, False)


def test_an_ended_trigger_has_no_next_instant() -> None:
    made = trigger()
    made.next = 9.0
    made.timers.running = True
    made.timers.queue.put(9.0, made)
    made.end()
    assert made.ended
    assert made.next is None
    assert made.queue_entry == 0
    made.end()
    assert made.missed() == (0, 0)


def test_a_subclass_decides_when_it_fires() -> None:
    with pytest.raises(TypeError, match=r"begin.*describe.*due.*resume"):
        ScheduledTrigger(Timers(runtime_of(telex.Hub())))  # type: ignore[abstract]
