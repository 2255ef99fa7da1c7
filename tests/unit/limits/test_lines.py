"""The lines of waiting calls: turns, levels, and the longest line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.limits.lines import MAX_PASSED, Lines

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "turn", "unblock", "take", "remove", "give_up"]), st.sampled_from("abcd")
    ),
    max_size=80,
)


@pytest.mark.slow
@given(STEPS)
def test_the_counts_are_those_of_the_lines_and_no_key_loses_its_turn(steps: list[tuple[str, str]]) -> None:
    lines: Lines[int] = Lines()
    model: dict[str, list[int]] = {}
    blocked: set[str] = set()
    number = 0
    for what, key in steps:
        waiting = model.setdefault(key, [])
        if what == "add":
            number += 1
            lines.add(key, number)
            waiting.append(number)
        elif what == "turn":
            found = lines.next_key()
            if found is None:
                assert all(key in blocked for key, items in model.items() if items)
            else:
                assert model[found]
                assert found not in blocked
                blocked.add(found)
        elif what == "unblock":
            lines.unblock(key)
            blocked.discard(key)
        elif what == "take":
            assert lines.take(key) == (waiting.pop(0) if waiting else None)
        elif what == "remove" and waiting:
            assert lines.remove(key, waiting[-1])
            assert not lines.remove(key, waiting.pop())
        elif what == "give_up" and any(model[key] for key in blocked):
            longest = lines.longest()
            assert len(model[longest]) == max(len(model[key]) for key in blocked)
            assert lines.give_up(longest) == model[longest].pop()
        assert lines.size == sum(map(len, model.values()))
        assert lines.blocked == sum(len(model[key]) for key in blocked)
    assert sorted(lines.clear()) == sorted(item for items in model.values() for item in items)
    assert (lines.size, lines.blocked, lines.next_key()) == (0, 0, None)


def test_keys_take_turns_whatever_the_length_of_their_lines() -> None:
    lines: Lines[str] = Lines()
    for number in range(1000):
        lines.add("long", f"long {number}")
    lines.add("short", "short")
    turns = []
    for _ in range(3):
        key = lines.next_key()
        assert key is not None
        turns.append(lines.take(key))
        lines.unblock(key)
    assert turns == ["long 0", "short", "long 1"]


def test_a_higher_level_comes_first_and_the_lowest_is_given_up_first() -> None:
    lines: Lines[str] = Lines()
    for item, level in (("normal", 1), ("low", 0), ("high", 2), ("high again", 2)):
        lines.add("k", item, level)
    assert lines.next_key() == "k"
    assert lines.give_up("k") == "low"
    assert [lines.take("k") for _ in range(4)] == ["high", "high again", "normal", None]


def test_a_level_that_was_passed_over_often_has_its_turn() -> None:
    lines: Lines[str] = Lines()
    lines.add("k", "low", 0)
    for _ in range(20):
        lines.add("k", "high", 2)
    assert [lines.take("k") for _ in range(21)].index("low") == MAX_PASSED
