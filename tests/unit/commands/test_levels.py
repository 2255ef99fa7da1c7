"""The queue of waiting commands by priority."""

import pytest

from telex.commands.levels import MAX_PASSED, LeveledQueue


def test_the_highest_level_comes_first_and_each_level_keeps_its_order() -> None:
    queue: LeveledQueue[int] = LeveledQueue()
    for number, level in ((1, "low"), (2, "normal"), (3, "high"), (4, "high"), (5, "low")):
        queue.append(number, level)  # type: ignore[arg-type]  # a priority
    queue.remove(5, "low")
    assert (len(queue), list(queue)) == (4, [3, 4, 2, 1])
    assert [queue.popleft() for _ in range(4)] == [3, 4, 2, 1]
    with pytest.raises(IndexError):
        queue.popleft()


def test_no_level_waits_for_ever() -> None:
    queue: LeveledQueue[str] = LeveledQueue()
    queue.append("low", "low")
    queue.append("normal", "normal")
    taken = []
    for _ in range(MAX_PASSED + 2):
        queue.append("high", "high")
        taken.append(queue.popleft())
    assert taken == ["high"] * MAX_PASSED + ["low", "normal"]
