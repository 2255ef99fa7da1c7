"""The checker of `tests.faults.postgres_chaos` catches broken histories, and a short form of the series passes."""

from pathlib import Path

import pytest

from tests.faults.postgres_chaos import play
from tests.faults.postgres_history import Firing, History, Notes, Reception, Timer, problems, read

KEPT = ["a 0", "b 0", "a 1", "a 2"]


def good() -> History:
    """A small history without a problem."""
    timer = Timer("ticks", 0.5, True, [Firing(n, 100 + n / 2) for n in range(1, 5)])
    return History(
        acknowledged={"orders:0": ["a 0", "a 1", "a 2", "b 0"]},
        kept={"orders:0": [*KEPT]},
        receptions=[Reception("topic.1", "orders:0", [*KEPT]), Reception("pattern.1", "orders:0", KEPT[2:], False)],
        handled=["a 1", *KEPT],
        effects=[*KEPT],
        bills=[*reversed(KEPT)],
        outcomes={"k1": ["7", "7"], "k2": ["8"]},
        charges=["k1", "k2", "k3"],
        timers=[timer],
        committed=["w 0", "w 2"],
        rolled_back=["w 1"],
        rows=["w 0", "w 2", "w 3"],
        invoices=["w 0", "w 2", "w 3"],
    )


def test_a_good_history_has_no_problems() -> None:
    assert problems(good()) == []


def test_an_acknowledged_message_that_is_lost_is_found() -> None:
    history = good()
    history.kept["orders:0"].remove("a 1")
    assert "orders:0 has lost a 1" in problems(history)
    history = good()
    history.receptions[0].texts.remove("a 2")
    assert problems(history) == ["topic.1 on orders:0 has lost a 2"]
    history = good()
    history.receptions[1].texts.remove("a 2")
    assert problems(history) == ["pattern.1 on orders:0 has lost a 2"]
    history = good()
    history.lost.append("topic.1 Lost(count=1)")
    assert problems(history) == ["a subscriber was told of a loss: topic.1 Lost(count=1)"]


def test_a_message_that_comes_twice_is_found() -> None:
    history = good()
    history.receptions[0].texts.append("a 2")
    assert "topic.1 on orders:0 received a 2 2 times" in problems(history)
    history = good()
    history.kept["orders:0"].append("a 2")
    assert "orders:0 keeps a 2 2 times" in problems(history)
    history = good()
    history.effects.append("a 1")
    assert problems(history) == ["effects, a row: a 1 2 times"]
    history = good()
    history.charges.append("k1")
    assert problems(history) == ["charges: k1 2 times"]


def test_messages_out_of_order_are_found() -> None:
    history = good()
    history.receptions[0].texts[2:] = ["a 2", "a 1"]
    assert "topic.1 on orders:0 received a 1 after number 2" in problems(history)
    history = good()
    history.receptions[0].texts[:2] = ["b 0", "a 0"]  # of two publishers
    assert problems(history) == ["topic.1 on orders:0 received messages in another order than the topic keeps them"]


def test_two_outcomes_of_a_key_are_found() -> None:
    history = good()
    history.outcomes["k1"].append("9")
    assert problems(history) == ["k1 has 2 outcomes: ['7', '9']"]


def test_rolled_back_messages_are_found() -> None:
    history = good()
    history.invoices.insert(1, "w 1")
    assert "of a transaction that was rolled back: w 1" in problems(history)
    assert "the outbox published what was not committed: w 1" in problems(history)
    history = good()
    history.rows.remove("w 3")  # the row is not there, and the message is
    assert problems(history) == ["the outbox published what was not committed: w 3"]
    history = good()
    history.effects.append("c 7")
    assert problems(history) == ["effects, a row for what is not kept: c 7"]


def test_an_instant_that_is_fired_twice_or_never_is_found() -> None:
    history = good()
    history.timers[0].firings[2].instant -= 0.5
    assert "ticks: firing 3 is not later than the one before" in problems(history)
    history = good()
    del history.timers[0].firings[1]
    assert "ticks: 1 instants are missing before firing 3" in problems(history)


def test_a_killed_subscriber_goes_on_and_a_pattern_begins_anew(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "subscriber0.jsonl")
    patterns = {"topic.0": "orders:0", "pattern.1": "orders:*"}
    for name, pattern in patterns.items():
        notes.write("entered", name, pattern)
        notes.write("received", name, "orders:0", "a 0", "e:1")
    for name, pattern in patterns.items():  # killed after "a 0", and there again after "b 0"
        notes.write("entered", name, pattern)
    notes.write("received", "topic.0", "orders:0", "b 0", "e:2")
    for name in patterns:
        notes.write("received", name, "orders:0", "a 1", "e:3")
        notes.write("received", name, "orders:0", "a 2", "e:4")
    history = History(kept={"orders:0": [*KEPT]})
    read(tmp_path, history)
    assert sorted((each.subscriber, each.texts, each.from_start, each.to_end) for each in history.receptions) == [
        ("pattern.1", ["a 0"], True, False),
        ("pattern.1", ["a 1", "a 2"], False, True),
        ("topic.0", KEPT, True, True),
    ]


def test_a_subscriber_that_received_nothing_is_found(tmp_path: Path) -> None:
    Notes(tmp_path / "subscriber0.jsonl").write("entered", "topic.0", "orders:0")
    history = History(kept={"orders:0": ["a 0"]}, acknowledged={"orders:0": ["a 0"]})
    read(tmp_path, history)
    assert "topic.0 on orders:0 has lost a 0" in problems(history)


@pytest.mark.slow
async def test_nothing_is_lost_or_done_twice_whatever_happens(tmp_path: Path) -> None:
    count = await play(tmp_path, rounds=1, seed=7)
    assert not count.problems
    assert sum(count.faults.values()) == 5
    assert count.acknowledged > 50
    assert count.keys > 5
    assert count.committed
