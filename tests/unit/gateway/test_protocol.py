"""Every kind of frame has one documented reaction, and no text makes the protocol fail."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex import BadOption, Position
from telex.gateway import CloseCode, Limits
from telex.gateway.protocol import (
    Close,
    Error,
    ListTopics,
    Ping,
    Publish,
    Session,
    Subscribe,
    Unsubscribe,
    decode_reply,
    parse_since,
)

MALFORMED = {
    "empty": ("", "malformed"),
    "no JSON": ("hello", "malformed"),
    "cut off": ('{"op":"ping"', "malformed"),
    "two objects": ('{"op":"ping"}{"op":"ping"}', "malformed"),
    "a list": ("[]", "malformed"),
    "a number": ("1", "malformed"),
    "null": ("null", "malformed"),
    "not a number": ("NaN", "malformed"),
    "no op": ("{}", "malformed"),
    "unknown op": ('{"op":"shout"}', "malformed"),
    "op is a number": ('{"op":1}', "malformed"),
    "a server's op": ('{"op":"hello","version":1,"frame_bytes":1}', "malformed"),
    "no topic": ('{"op":"publish","content":1}', "malformed"),
    "no content": ('{"op":"publish","topic":"a"}', "malformed"),
    "topic is a number": ('{"op":"publish","topic":1,"content":1}', "malformed"),
    "topic is null": ('{"op":"subscribe","topic":null}', "malformed"),
    "headers are a list": ('{"op":"publish","topic":"a","content":1,"headers":[]}', "malformed"),
    "header is a number": ('{"op":"publish","topic":"a","content":1,"headers":{"a":1}}', "malformed"),
    "ref is a list": ('{"op":"ping","ref":[]}', "malformed"),
    "since is an object": ('{"op":"subscribe","topic":"a","since":{}}', "malformed"),
    "since is true": ('{"op":"subscribe","topic":"a","since":true}', "malformed"),
    "too deep": ("[" * 20_000, "malformed"),
    "deep content": ('{"op":"publish","topic":"a","content":' + "[" * 10_000, "malformed"),
    "a lone surrogate": ('{"op":"call","name":"\\ud800"}', "malformed"),
    "byte order mark": ('\ufeff{"op":"ping"}', "malformed"),
    "empty topic": ('{"op":"publish","topic":"","content":1}', "bad_name"),
    "empty token": ('{"op":"publish","topic":"a::b","content":1}', "bad_name"),
    "publish to a pattern": ('{"op":"publish","topic":"a:*","content":1}', "bad_name"),
    "topic with a line end": ('{"op":"subscribe","topic":"a\\nb"}', "bad_name"),
    "topic with a NUL": ('{"op":"subscribe","topic":"a\\u0000"}', "bad_name"),
    "topic too long": (json.dumps({"op": "subscribe", "topic": "a" * 256}), "bad_name"),
    "pattern in the middle": ('{"op":"subscribe","topic":">:a"}', "bad_name"),
    "bad pattern for topics": ('{"op":"topics","pattern":"a b"}', "bad_name"),
    "since below zero": ('{"op":"subscribe","topic":"a","since":-1}', "bad_option"),
    "since is a word": ('{"op":"subscribe","topic":"a","since":"yesterday"}', "bad_option"),
    "since without number": ('{"op":"subscribe","topic":"a","since":"epoch:"}', "bad_option"),
    "since without epoch": ('{"op":"subscribe","topic":"a","since":":3"}', "bad_option"),
    "since too long ago": ('{"op":"subscribe","topic":"a","since":"99999999999d"}', "bad_option"),
    "unsubscribe from nothing": ('{"op":"unsubscribe","topic":"a"}', "unsubscribed"),
}
# Enough for every test here that is not about them.
WIDE = Limits(rate=1e6, burst=10**6)


@pytest.mark.parametrize(("text", "code"), MALFORMED.values(), ids=MALFORMED.keys())
def test_each_malformed_frame_has_its_reaction(text: str, code: str) -> None:
    session = Session(Limits(), 0.0)
    answer = session.receive(text, 0.0)
    assert isinstance(answer, Error)
    assert answer.code == code
    assert answer.problem
    assert answer.retry_after is None
    assert not session.subscriptions
    # The connection goes on.
    assert session.receive('{"op":"ping"}', 0.0) == Ping()


@given(st.text() | st.from_regex(r'\{"op":"(publish|subscribe|call|topics)".*\}'))
def test_no_text_makes_it_fail(text: str) -> None:
    Session(WIDE, 0.0).receive(text, 0.0)


def test_a_refusal_carries_the_ref_where_it_can_be_found() -> None:
    session = Session(WIDE, 0.0)
    for text, ref in (('{"op":"shout","ref":7}', 7), ('{"op":"publish","ref":"x"}', "x"), ('{"ref":7', None)):
        answer = session.receive(text, 0.0)
        assert isinstance(answer, Error)
        assert answer.ref == ref


def test_a_valid_frame_is_read() -> None:
    session = Session(WIDE, 0.0)
    read = session.receive('{"op":"publish","topic":"a:b","content":{"x":[1]},"id":"i","ref":1,"unknown":0}', 0.0)
    assert read == Publish("a:b", {"x": [1]}, "i", None, 1)
    assert session.receive('{"op":"subscribe","topic":"a:*","since":20}', 0.0) == Subscribe("a:*", 20)
    assert session.subscriptions == {"a:*"}
    assert session.receive('{"op":"unsubscribe","topic":"a:*"}', 0.0) == Unsubscribe("a:*")
    assert session.receive('{"op":"topics"}', 0.0) == ListTopics(">")


def test_a_frame_may_have_exactly_the_bytes_that_are_allowed() -> None:
    for letter in ("a", "é", "語", "😀"):
        size = len(letter.encode())
        fits = '{"op":"call","name":"' + letter * 10 + '"}'
        limits = Limits(frame_bytes=len(fits.encode()))
        assert not isinstance(Session(limits, 0.0).receive(fits, 0.0), Close)
        over = Session(Limits(frame_bytes=len(fits.encode()) - 1), 0.0).receive(fits, 0.0)
        assert isinstance(over, Close), size
        assert over.code == CloseCode.TOO_LARGE


def test_a_binary_frame_ends_the_connection() -> None:
    answer = Session(WIDE, 0.0).receive(b'{"op":"ping"}', 0.0)
    assert isinstance(answer, Close)
    assert answer.code == CloseCode.BINARY


def test_too_many_frames_are_refused_with_the_time_to_wait() -> None:
    session = Session(Limits(rate=10, burst=3), 0.0)
    for _ in range(3):
        assert session.receive('{"op":"ping"}', 0.0) == Ping()
    refused = session.receive('{"op":"ping","ref":9}', 0.0)
    assert isinstance(refused, Error)
    assert (refused.code, refused.retry_after, refused.ref) == ("rate", 0.1, 9)
    assert session.receive('{"op":"ping"}', 0.1) == Ping()


def test_a_client_that_goes_on_in_spite_of_it_is_closed_for_good() -> None:
    session = Session(Limits(rate=1, burst=1, strikes=5), 0.0)
    answers = [session.receive('{"op":"ping"}', 0.0) for _ in range(6)]
    assert isinstance(answers[0], Ping)
    assert all(isinstance(answer, Error) for answer in answers[1:5])
    assert isinstance(answers[5], Close)
    assert answers[5].code == CloseCode.FLOOD
    assert not answers[5].code.come_back


def test_nothing_but_unreadable_frames_ends_the_connection() -> None:
    limits = Limits(rate=1e6, burst=10**6, strikes=3)
    session = Session(limits, 0.0)
    for _ in range(2):
        assert isinstance(session.receive("?", 0.0), Error)
    session.receive('{"op":"ping"}', 0.0)  # one that can be read starts the count anew
    answers = [session.receive("?", 0.0) for _ in range(3)]
    assert isinstance(answers[2], Close)
    assert answers[2].code == CloseCode.MALFORMED


def test_subscriptions_are_bounded_and_not_doubled() -> None:
    session = Session(Limits(rate=1e6, burst=10**6, subscriptions=2), 0.0)
    for topic, code in (("a", None), ("a", "subscribed"), ("b", None), ("c", "limit")):
        answer = session.receive(json.dumps({"op": "subscribe", "topic": topic}), 0.0)
        assert (answer.code if isinstance(answer, Error) else None) == code
    session.leave("a")
    assert isinstance(session.receive('{"op":"subscribe","topic":"c"}', 0.0), Subscribe)


def test_silence_counts_only_without_subscriptions() -> None:
    session = Session(Limits(idle=10), 0.0)
    assert session.idle(4.0) == 6.0
    session.receive('{"op":"ping"}', 5.0)
    assert session.idle(14.0) == 1.0
    session.receive('{"op":"subscribe","topic":"a"}', 14.0)
    assert session.idle(1000.0) > 0
    session.leave("a")
    assert session.idle(1000.0) <= 0


def test_positions_are_read() -> None:
    assert parse_since("e:3") == Position(3, "e")
    assert parse_since("new") == "new"
    assert parse_since(3) == 3
    with pytest.raises(BadOption, match="10m"):
        parse_since("soon")


def test_every_bound_is_positive() -> None:
    with pytest.raises(BadOption, match="greater than 0"):
        Limits(rate=0)


def test_a_frame_that_is_no_reply_is_refused() -> None:
    with pytest.raises(ValueError, match="op"):
        decode_reply('{"op":"publish"}')


def test_a_client_that_waits_as_it_was_told_is_never_closed() -> None:
    session, now = Session(Limits(rate=1, burst=1, strikes=3), 0.0), 0.0
    for _ in range(5):
        assert session.receive('{"op":"ping"}', now) == Ping()
        refused: object = None
        for _ in range(2):
            refused = session.receive('{"op":"ping"}', now)
        assert isinstance(refused, Error)
        now += refused.retry_after or 0.0
    answers = [session.receive('{"op":"ping"}', now - 1) for _ in range(3)]
    assert isinstance(answers[-1], Close), "and one that does not wait is"


def test_unreadable_frames_are_counted_in_a_row() -> None:
    session = Session(Limits(strikes=3), 0.0)
    for _ in range(4):
        for _ in range(2):
            assert not isinstance(session.receive("?", 0.0), Close)
        assert session.receive('{"op":"ping"}', 0.0) == Ping()
    assert [isinstance(session.receive("?", 0.0), Close) for _ in range(3)] == [False, False, True]
