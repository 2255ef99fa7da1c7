from typing import Any

import pytest

from telex import Message
from telex.log.dedup import MOST, SECONDS, Window
from telex.log.log import Log, Retention

NOW = 1_000_000.0


class Publisher:
    """Appends to a log what its window has not seen, as a topic does."""

    def __init__(self, retention: Retention | None = None) -> None:
        self.log = Log("a", "epoch", retention or Retention(), 2**74 - 2)
        self.window = Window(self.log)

    def publish(self, id: str | None, now: float = NOW) -> Message[Any]:
        seen = None if id is None else self.window.find(id, now)
        if seen is not None:
            return seen
        message = Message("content", "a", self.log.end, self.log.uid if id is None else id, now)
        self.log.append(message, now)
        return message


def test_the_same_id_is_stored_once() -> None:
    publisher = Publisher()
    first = publisher.publish("x")
    other = publisher.publish("y")
    assert publisher.publish("x", NOW + 1) is first
    assert publisher.publish("y", NOW + 1) is other
    assert publisher.log.end == 3


def test_the_window_ends_by_time() -> None:
    publisher = Publisher()
    first = publisher.publish("x")
    assert publisher.publish("x", NOW + SECONDS - 0.001) is first
    second = publisher.publish("x", NOW + SECONDS)
    assert second is not first
    assert publisher.publish("x", NOW + 2 * SECONDS - 0.001) is second


def test_being_found_does_not_make_it_younger() -> None:
    publisher = Publisher()
    first = publisher.publish("x")
    for second in range(100):
        assert publisher.publish("x", NOW + second) is first
    assert publisher.publish("x", NOW + SECONDS) is not first


def test_ids_that_were_made_here_are_found() -> None:
    publisher = Publisher()
    made = [publisher.publish(None) for _ in range(5)]  # the counter goes round the end of its 74 bits here
    assert [publisher.publish(message.id) for message in made] == made
    assert publisher.log.end == 6
    assert publisher.publish(made[0].id, NOW + SECONDS) is not made[0]


@pytest.mark.parametrize("id", ["", "-", "0", "zz", "f" * 32, "-" * 36, "00000000-0000-7000-8000-000000000000", "é"])
def test_an_id_that_only_looks_like_one_is_not_found(id: str) -> None:
    publisher = Publisher()
    publisher.publish(None)
    assert publisher.window.find(id, NOW) is None


def test_an_id_of_another_log_is_not_found() -> None:
    publisher = Publisher()
    publisher.publish(None)
    other = Message("content", "b", 1, publisher.log.uid, NOW + 1)  # the same number, another time
    assert publisher.window.find(other.id, NOW + 1) is None


@pytest.mark.parametrize("retention", [Retention(messages=1), Retention(None, bytes=0), Retention(None, age=0.5)])
def test_the_id_of_a_trimmed_message_is_remembered(retention: Retention) -> None:
    publisher = Publisher(retention)
    first = publisher.publish("x")
    for number in range(3000):
        publisher.publish(None, NOW + 1 + number / 100)
    assert publisher.log.base > 1
    assert publisher.publish("x", NOW + 60) is first


def test_at_most_so_many_are_remembered() -> None:
    publisher = Publisher()
    for number in range(MOST + 1):
        publisher.log.append(Message("", "a", publisher.log.end, str(number), NOW), NOW)
    assert publisher.window.find("0", NOW) is None
    found = publisher.window.find("1", NOW)
    assert found is not None
    assert found.seq == 2
    assert len(publisher.window.ids) == MOST


def test_a_window_forgets_what_is_over() -> None:
    publisher = Publisher()
    for number in range(100):
        publisher.publish(str(number), NOW + number)
    assert publisher.window.find("none", NOW + 99 + SECONDS) is None
    assert not publisher.window.ids
