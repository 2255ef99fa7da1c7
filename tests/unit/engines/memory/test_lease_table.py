"""Groups in memory: `LeaseTable` beside the model of the contract, and what it costs."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import pytest
from hypothesis import given, settings

from telex.engines import engine_for
from telex.engines.contract.groups import Delivery, Settlement
from telex.engines.memory.lease_table import LOOK, LeaseTable
from telex.log.log import Log, Retention
from telex.message import Message
from telex.testing.conformance.rig import Rig
from tests.support.group_model import Run, Step, steps
from tests.support.shifting import set_time

NOW = 1_000_000.0


def run(pattern: str, plan: list[Step]) -> None:
    async def go() -> None:
        async with Rig(engine_for("memory://")) as rig:
            await Run([rig], pattern, set_time).do(plan)

    asyncio.run(go())


@pytest.mark.parametrize("pattern", ["t:1", "t:*"])
def test_a_group_is_as_the_model_says(pattern: str) -> None:
    @settings(max_examples=15)
    @given(plan=steps(removal=False))
    def check(plan: list[Step]) -> None:
        run(pattern, plan)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["t:1", "t:*", ">"])
def test_a_group_is_as_the_model_says_for_long(pattern: str) -> None:
    @settings(max_examples=120)
    @given(plan=steps(removal=False))
    def check(plan: list[Step]) -> None:
        run(pattern, plan)

    check()


# -- by hand


def ledger_of(*keys: str | None) -> tuple[LeaseTable, Log]:
    """A group, and a log with a message for each key."""
    log = Log("t", "epoch", Retention(10), 1)
    ledger = LeaseTable("g", "t", log, log.end)
    publish(log, *keys)
    return ledger, log


def publish(log: Log, *keys: str | None) -> None:
    for key in keys:
        log.append(Message(log.end, "t", log.end, 1, 0.0, None, None, -1, key), 0.0)


def claim(ledger: LeaseTable, limit: int = 100, now: float = NOW, lease: float = 30.0) -> Sequence[Delivery]:
    return ledger.claim(limit, lease, "me", now).deliveries


def contents(deliveries: Sequence[Delivery]) -> list[object]:
    return [delivery.message.content for delivery in deliveries]


def ack(ledger: LeaseTable, *deliveries: Delivery, now: float = NOW) -> list[bool]:
    return ledger.settle([Settlement(d.position, d.token, "ack") for d in deliveries], now)


def settle(ledger: LeaseTable, delivery: Delivery, action: str, seconds: float = 0.0, now: float = NOW) -> bool:
    (won,) = ledger.settle(
        [Settlement(delivery.position, delivery.token, action, seconds)],  # type: ignore[arg-type]  # an Action
        now,
    )
    return won


def test_waiting_messages_are_kept_whatever_the_retention() -> None:
    ledger, log = ledger_of(*[None] * 3000)
    assert len(log.messages) < 3000
    deliveries = claim(ledger, limit=5000)
    assert len(deliveries) == 3000
    assert contents(deliveries) == list(range(deliveries[0].message.seq, log.end))


def test_a_claim_says_when_to_look_again() -> None:
    ledger, _ = ledger_of(None, None)
    (first,) = claim(ledger, limit=1, lease=10)
    assert claim(ledger, limit=1, lease=20)
    assert ledger.claim(1, 30, "me", NOW).next_due == NOW + 10
    assert settle(ledger, first, "nack", 5)
    assert ledger.claim(1, 30, "me", NOW).next_due == NOW + 5
    assert ledger.claim(0, 30, "me", NOW + 5).next_due == NOW + 20
    ledger.paused = True
    assert ledger.claim(1, 30, "me", NOW + 50) == ledger.claim(1, 30, "me", NOW)
    assert ledger.claim(1, 30, "me", NOW).next_due is None


def test_a_lease_that_has_ended_can_be_renewed_unless_another_of_its_key_is_worked_on() -> None:
    ledger, _ = ledger_of("k", "k")
    (first,) = claim(ledger, lease=10)
    assert settle(ledger, first, "reject")
    (second,) = claim(ledger, lease=10)
    assert ledger.settle([Settlement(first.position, 0, "retry")], NOW) == [True]
    assert settle(ledger, second, "extend", 10, NOW + 11), "nobody else has begun"
    assert contents(claim(ledger, now=NOW + 12)) == []
    (first,) = claim(ledger, now=NOW + 22)
    assert first.attempt == 1
    assert not settle(ledger, second, "extend", 10, NOW + 23), "the one before it is worked on"
    assert settle(ledger, second, "ack", now=NOW + 24), "what is done is done"
    assert ack(ledger, first, first, now=NOW + 24) == [True, False]
    assert ledger.lag == 0


def test_only_what_can_be_claimed_stirs() -> None:
    ledger, _ = ledger_of("k", "k", None)
    first, third = claim(ledger)
    assert not ledger.stirred()
    assert ack(ledger, third) == [True]
    assert not ledger.stirred()
    assert settle(ledger, first, "extend", 5)
    assert not ledger.stirred()
    assert ack(ledger, first) == [True]
    assert ledger.stirred(), "the next of its key"
    (second,) = claim(ledger)
    assert settle(ledger, second, "nack", 100)
    assert ledger.stirred(), "who waits has to wait less"


def test_a_claim_passes_by_so_many_and_asks_to_be_called_again() -> None:
    ledger, log = ledger_of("k")
    (first,) = claim(ledger)
    publish(log, *["k"] * (LOOK + 10), None)
    claimed = ledger.claim(1, 30, "me", NOW)
    assert (claimed.deliveries, claimed.next_due) == ([], NOW)
    assert contents(claim(ledger)) == [log.end - 1]
    assert ledger.lag == LOOK + 12
    assert ack(ledger, first) == [True]
    assert len(claim(ledger)) == 1


@pytest.mark.slow
def test_discarded_messages_are_not_kept() -> None:
    ledger, log = ledger_of(None)
    claim(ledger, lease=1000)  # a lease that lasts, in front of all others
    for _ in range(100):
        publish(log, *[None] * 1000)
        assert all(ack(ledger, *claim(ledger, limit=1000, lease=2000)))
    assert ledger.later_size < 3 * LOOK
    assert ledger.later_size == sum(len(positions) for _, positions in ledger.later)
    assert len(ledger.entries) == 1
    publish(log, *[str(number) for number in range(1000)])
    assert all(ack(ledger, *claim(ledger, limit=1000)))
    assert ledger.lines == {}
    assert len(claim(ledger, now=NOW + 1001)) == 1


def seconds_each(count: int, keys: int | None, action: str) -> float:
    """What a message costs when so many are unsettled, of so many keys."""
    ledger, log = ledger_of()
    publish(log, *[None if keys is None else str(number % keys) for number in range(count)])
    begun = perf_counter()
    moment = NOW
    left = count
    while left:
        deliveries = claim(ledger, limit=100, now=moment)
        if action == "nack":
            # All of them come due at the same moment, and wait for many claims.
            settlements = [Settlement(d.position, d.token, "nack" if d.attempt == 1 else "ack", 10) for d in deliveries]
            assert all(ledger.settle(settlements, moment))
            left -= sum(d.attempt == 2 for d in deliveries)
            moment += 0 if deliveries else 11
        else:
            assert all(ack(ledger, *deliveries, now=moment))
            left -= len(deliveries)
    return (perf_counter() - begun) / count


@pytest.mark.slow
@pytest.mark.parametrize("action", ["ack", "nack"])
@pytest.mark.parametrize("keys", [None, 1, 100])
def test_a_message_costs_the_same_however_many_there_are(keys: int | None, action: str) -> None:
    # Whatever costs as much as there are messages would cost 16 times as much.
    few = min(seconds_each(1000, keys, action) for _ in range(5))
    many = min(seconds_each(16_000, keys, action) for _ in range(2))
    assert many < 6 * few


def test_a_group_goes_on_in_the_next_epoch_of_its_topic() -> None:
    ledger, old = ledger_of("k", None)
    dead, lost = claim(ledger)
    assert settle(ledger, dead, "reject")
    new = Log("t", "another", Retention(10), 1)
    for cursor in list(old.cursors):
        cursor.go_on(new)
    publish(new, "k", None)
    assert [delivery.message.seq for delivery in claim(ledger)] == [1, 2]
    assert ledger.log is new
    assert ack(ledger, lost) == [False]
    assert ledger.lag == 2
    assert ledger.settle([Settlement(dead.position, 0, "retry")], NOW) == [True]
    assert not old.cursors


def test_dead_letters_come_the_oldest_first() -> None:
    ledger, _ = ledger_of(None, None, None)
    first, second, third = claim(ledger)
    for moment, delivery in enumerate((third, first, second)):
        assert settle(ledger, delivery, "reject", now=NOW + moment)
    assert [letter.position for letter in ledger.dead()] == [third.position, first.position, second.position]
    assert ledger.settle([Settlement(first.position, 0, "drop")], NOW) == [True]
    assert ledger.settle([Settlement(first.position, 0, "drop")], NOW) == [False]
    assert ledger.settle([Settlement(first.position, 0, "retry")], NOW) == [False]
    assert [letter.attempts for letter in ledger.dead()] == [1, 1]
