"""The stored forms of messages."""

import pytest

from telex.engines.contract.groups import Unreadable
from telex.engines.forms import Damaged, decode, encode, readable
from telex.errors import ContentError
from telex.message import Draft, Lost

LARGEST = 100


def draft(content: object, type: str | None = None) -> Draft:
    return Draft(content, "t", None, 1.0, None, type)


def row(seq: int, content: object, time: object = 1.0) -> tuple[object, ...]:
    return (0, seq, f"id-{seq}", time, "int", None, None, content)


def test_bytes_are_stored_as_they_are_and_others_as_json() -> None:
    assert encode(draft(b"\xff"), LARGEST) == ("bytes", None, None, b"\xff", 1)
    assert encode(draft({"a": 1}), LARGEST) == ("dict", None, None, '{"a":1}', 7)


def test_a_message_may_have_exactly_the_largest_size() -> None:
    assert encode(draft(b"x" * LARGEST), LARGEST)[4] == LARGEST
    with pytest.raises(ContentError, match="it has 101 bytes, and the engine stores at most 100"):
        encode(draft(b"x" * (LARGEST + 1)), LARGEST)


@pytest.mark.parametrize(("content", "problem"), [({1, 2j}, "no JSON form"), ("x", "lone surrogate")])
def test_content_and_type_that_cannot_be_stored_are_refused(content: object, problem: str) -> None:
    with pytest.raises(ContentError, match=problem):
        encode(draft(content, "\ud800" if problem == "lone surrogate" else None), LARGEST)


def test_a_damaged_row_harms_no_other() -> None:
    messages = decode([row(1, "1"), row(2, "{"), row(3, "3"), row(4, "4", "no time")], "t", 0, None)
    assert type(messages) is Damaged
    assert [message.content for message in messages if not isinstance(message.content, Unreadable)] == [1, 3]
    assert [message.seq for message in messages] == [1, 2, 3, 4]


def test_a_run_of_unreadable_messages_is_one_hole() -> None:
    messages = decode([row(1, "{"), row(2, "{"), row(3, "3"), row(4, "{")], "t", 0, None)
    first, message, last = readable(messages)
    assert (first, last) == (Lost(2, 1, 2, "unreadable"), Lost(1, 4, 4, "unreadable"))
    assert getattr(message, "content", None) == 3
