"""The messages that an engine delivers, and the gaps between them."""

from typing import Any

import pytest

from telex.engines.contract.groups import Unreadable
from telex.engines.interest import Interest, deliver
from telex.message import Message


class Events:
    """Remembers calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def deliver(self, messages: list[Message[Any]]) -> None:
        self.calls.append([message.seq for message in messages])

    def gap(self, topic: str, count: int, reason: str) -> None:
        self.calls.append((topic, count, reason))


def messages(*numbers: int, damaged: int = 0) -> list[Message[Any]]:
    return [
        Message(Unreadable(b"", "it is cut off") if number == damaged else number, "t", number, f"id-{number}", 1.0)
        for number in numbers
    ]


@pytest.mark.parametrize(
    ("given", "end", "calls"),
    [
        (messages(1, 2, 3), 1, [[1, 2, 3]]),
        (messages(4, 5), 2, [("t", 2, "trimmed"), [4, 5]]),
        (messages(1, 2, 5, 6), 1, [[1, 2], ("t", 2, "trimmed"), [5, 6]]),
        (messages(1, 2, 3, damaged=2), 1, [[1], ("t", 1, "unreadable"), [3]]),
        (messages(3, 4, damaged=3), 1, [("t", 2, "trimmed"), ("t", 1, "unreadable"), [4]]),
        ([], 1, []),
    ],
)
def test_missing_numbers_are_gaps(given: list[Message[Any]], end: int, calls: list[Any]) -> None:
    events: Any = Events()
    deliver(events, given, end)
    assert events.calls == calls


def test_a_topic_is_followed_by_its_name_or_by_a_pattern() -> None:
    interest = Interest()
    for name in ("a:1", "b:*"):
        interest.follow(name)
    before = interest.now
    assert [interest.has(topic) for topic in ("a:1", "a:2", "b:1", "b:1:x")] == [True, False, True, False]
    interest.unfollow("b:*")
    interest.follow("a:2")
    assert [interest.has(topic) for topic in ("a:1", "a:2", "b:1")] == [True, True, False]
    assert [before(topic) for topic in ("a:2", "b:1")] == [False, True], "it does not change any more"
