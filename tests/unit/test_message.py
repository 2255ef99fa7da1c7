import copy
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from secrets import randbits
from time import time
from uuid import UUID

import msgspec
import pytest
import uuid_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from telex import BadName, BadOption, ContentError, Lost, Message, Position
from telex.log.log import Log, Retention
from telex.message import uuid7_counter, uuid7_text

moments = st.integers(0, 250_000_000_000_000_000).map(
    lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=n)
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
header_names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1)


@dataclass
class Chat:
    text: str
    likes: int = 0


def test_a_message_says_what_it_is() -> None:
    moment = datetime(2026, 5, 4, 3, 2, 1, 123456, UTC)
    message = Message.new(
        "hi", topic="room:1", seq=7, id="x", timestamp=moment, headers={"Trace": "é"}, type="Greeting"
    )
    assert (message.content, message.topic, message.seq) == ("hi", "room:1", 7)
    assert (message.id, message.timestamp, message.type) == ("x", moment, "Greeting")
    assert dict(message.headers) == {"Trace": "é"}
    assert repr(message) == "Message(topic='room:1', seq=7, id='x', content='hi')"


@pytest.mark.parametrize(
    ("content", "name"), [(1, "int"), ("a", "str"), ({}, "dict"), (None, "NoneType"), (Chat("a"), "Chat")], ids=repr
)
def test_type_is_the_name_of_the_contents(content: object, name: str) -> None:
    assert Message.new(content).type == name


def test_a_long_content_is_cut_in_its_repr() -> None:
    assert len(repr(Message.new("x" * 10_000))) < 350


# -- immutable, and the same for all


@pytest.mark.parametrize("name", ["content", "topic", "seq", "id", "timestamp", "headers", "type", "_uid", "other"])
def test_nothing_of_a_message_can_be_set(name: str) -> None:
    message = Message.new({"a": 1})
    with pytest.raises(AttributeError, match="immutable"):
        setattr(message, name, 1)
    with pytest.raises(AttributeError, match="immutable"):
        delattr(message, name)


def test_headers_are_read_only_and_a_copy() -> None:
    given = {"a": "1"}
    message = Message.new(1, headers=given)
    given["a"] = "2"
    assert dict(message.headers) == {"a": "1"}
    with pytest.raises(TypeError):
        message.headers["a"] = "3"  # type: ignore[index]
    with pytest.raises(TypeError):
        Message.new(1).headers["a"] = "3"  # type: ignore[index]


def test_content_is_the_object_itself() -> None:
    """Inside a process content passes by reference: who changes it changes it for all."""
    content: dict[str, list[int]] = {"a": [1]}
    message: Message[dict[str, list[int]]] = Message.new(content)
    assert message.content is content
    content["a"].append(2)
    assert message.content == {"a": [1, 2]}


def test_messages_are_equal_when_all_is() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    message = Message.new([1], id="a", timestamp=moment)
    assert message == Message.new([1], id="a", timestamp=moment)
    assert hash(message) == hash(Message.new([1], id="a", timestamp=moment))
    for other in (
        Message.new([2], id="a", timestamp=moment),
        Message.new([1], id="b", timestamp=moment),
        Message.new([1], id="a", timestamp=moment + timedelta(microseconds=1)),
        Message.new([1], id="a", timestamp=moment, seq=1),
        Message.new([1], id="a", timestamp=moment, topic="b"),
        Message.new([1], id="a", timestamp=moment, headers={"a": "b"}),
        [1],
        None,
    ):
        assert message != other


def test_copies_and_pickles_are_equal() -> None:
    message = Message.new({"a": 1}, headers={"a": "b"}, topic="a:b", seq=3)
    assert copy.copy(message) == copy.deepcopy(message) == pickle.loads(pickle.dumps(message)) == message
    assert {copy.deepcopy(message)} == {message}


# -- JSON


@settings(max_examples=50)
@given(plain, moments, st.dictionaries(header_names.map(str.lower), st.text("aé ☃"), max_size=3), st.integers(0, 2**62))
def test_json_and_back(content: object, moment: datetime, headers: dict[str, str], seq: int) -> None:
    message = Message.new(content, topic="a:é", seq=seq, timestamp=moment, headers=headers)
    data = message.to_json()
    assert Message.from_json(data) == message
    assert Message.from_json(data.decode()).to_json() == data


def test_json_has_the_public_names() -> None:
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone(timedelta(hours=2)))
    data = Message.new(Chat("hi"), topic="a", seq=1, id="x", timestamp=moment, headers={"a": "b"}).to_json()
    assert msgspec.json.decode(data) == {
        "id": "x",
        "timestamp": "2026-05-04T01:02:01.000000Z",
        "content": {"text": "hi", "likes": 0},
        "topic": "a",
        "seq": 1,
        "type": "Chat",
        "headers": {"a": "b"},
    }


def test_json_of_a_type() -> None:
    data = Message.new(Chat("hi", 2)).to_json()
    assert Message.from_json(data, Chat).content == Chat("hi", 2)
    with pytest.raises(ContentError, match="text") as raised:
        Message.from_json(Message.new({"text": 1}).to_json(), Chat)
    assert raised.value.path == "$.text"


@pytest.mark.parametrize(
    "content", [object(), {"a": object()}, 1j, lambda: None], ids=["object", "inner", "1j", "function"]
)
def test_content_without_a_json_form_is_the_publishers_fault(content: object) -> None:
    with pytest.raises(TypeError, match="JSON"):
        Message.new(content).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": 5},
        {"id": "a\n"},
        {"timestamp": "2026-01-01T00:00:00"},
        {"timestamp": "soon"},
        {"timestamp": None},
        {"topic": "a b"},
        {"topic": "a:*"},
        {"seq": "1"},
        {"seq": 1.5},
        {"headers": {"a": 1}},
        {"headers": {"a": "\r\nb"}},
        {"headers": {"A": "1", "a": "2"}},
        {"type": 5},
    ],
    ids=str,
)
def test_json_that_no_message_wrote_is_refused(change: dict[str, object]) -> None:
    wire = msgspec.json.decode(Message.new(1, headers={"a": "b"}).to_json()) | change
    with pytest.raises(ValueError, match=r"."):
        Message.from_json(msgspec.json.encode(wire))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"null", b'"a"', b"\xff", b'{"id":"a"}', "{", "1"], ids=repr)
def test_text_that_is_no_message_is_refused(data: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Message.from_json(data)


# -- ids


@given(st.integers(0, 2**74 - 1), moments)
def test_a_made_id_is_a_uuid7(counter: int, moment: datetime) -> None:
    text = uuid7_text(counter, moment.timestamp())
    made = UUID(text)
    assert str(made) == text
    assert made.variant == "specified in RFC 4122"  # which RFC 9562 took over
    assert made.version == 7
    assert made.int >> 80 == round(moment.timestamp() * 1_000_000) // 1000
    assert uuid7_counter(text) == counter
    assert uuid_utils.UUID(text).timestamp == made.int >> 80


@given(st.integers(0, 2**74 - 2), moments)
def test_made_ids_are_in_the_order_of_publishing(counter: int, moment: datetime) -> None:
    now = moment.timestamp()
    assert uuid7_text(counter, now) < uuid7_text(counter + 1, now) < uuid7_text(0, now + 0.0015)


@pytest.mark.slow
def test_many_made_ids_differ_and_are_in_order() -> None:
    log = Log("a", "epoch", Retention(messages=None), randbits(74) >> 1)
    for _ in range(100_000):
        log.append(Message(None, "a", log.end, log.uid, time()), 0.0)
    ids = [message.id for message in log.messages]
    assert sorted(set(ids)) == ids


@given(moments)
def test_an_ids_milliseconds_are_its_timestamps(moment: datetime) -> None:
    message = Message(1, "a", 1, 0, moment.timestamp())
    milliseconds = (message.timestamp - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert UUID(message.id).int >> 80 == milliseconds


@pytest.mark.parametrize("id", ["a", "a" * 255, "é", "two words", "5"])
def test_an_id_may_be_text(id: str) -> None:
    assert Message.new(1, id=id).id == id


def test_an_id_may_be_a_uuid() -> None:
    for uuid in (UUID(int=5), uuid_utils.uuid7()):
        assert Message.new(1, id=uuid).id == str(uuid)  # type: ignore[arg-type]


@pytest.mark.parametrize("id", ["", "a" * 256, "a\n", "\x00", "\ud800", 5, b"a", ["a"]], ids=repr)
def test_other_ids_are_refused(id: str) -> None:
    with pytest.raises(BadOption, match="1 to 255"):
        Message.new(1, id=id)


# -- headers


@pytest.mark.parametrize(
    "headers",
    [
        {"a": "b"},
        {"X-Trace": ""},
        {"größe": "breit ☃ \U0001f600"},
        {"a": " spaces  inside "},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"straße": "1", "strasse": "2"},
    ],
    ids=ascii,
)
def test_headers_are_text_to_text(headers: dict[str, str]) -> None:
    message = Message.new(1, headers=headers)
    assert dict(message.headers) == headers
    assert dict(Message.from_json(message.to_json()).headers) == headers


@pytest.mark.parametrize(
    "character", ["\r", "\n", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"], ids=ascii
)
def test_no_line_ends_and_control_characters_in_headers(character: str) -> None:
    for headers in ({"a": f"b{character}c: d"}, {f"a{character}": "b"}):
        with pytest.raises(BadOption, match="header"):
            Message.new(1, headers=headers)


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", ":a", "\u3000"], ids=ascii)
def test_names_of_headers_have_no_spaces_and_colons(name: str) -> None:
    with pytest.raises(BadOption, match="name"):
        Message.new(1, headers={name: "a"})


@pytest.mark.parametrize("headers", [{"A": "1", "a": "1"}, {"ÄB": "1", "äb": "2"}], ids=ascii)
def test_names_of_headers_differ_in_more_than_case(headers: dict[str, str]) -> None:
    with pytest.raises(BadOption, match="case"):
        Message.new(1, headers=headers)


@pytest.mark.parametrize("headers", [{"a": 1}, {1: "a"}, {"a": None}, {"a": b"b"}, [("a", "b")], "ab", 5], ids=repr)
def test_other_headers_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadOption, match="text"):
        Message.new(1, headers=headers)


# -- the other parts


@pytest.mark.parametrize("topic", ["", "a:*", "a b", "a::b"])
def test_the_topic_of_a_message_is_one(topic: str) -> None:
    with pytest.raises(BadName):
        Message.new(1, topic=topic)


def test_a_timestamp_is_aware() -> None:
    with pytest.raises(BadOption, match="time zone"):
        Message.new(1, timestamp=datetime(2026, 1, 1))  # noqa: DTZ001
    assert Message.new(1).timestamp.tzinfo is UTC


@pytest.mark.parametrize(("seq", "epoch"), [(0, "a"), (1, "a:b"), (10**18, "0" * 12), (7, "é 5")])
def test_a_position_and_its_text(seq: int, epoch: str) -> None:
    position = Position(seq, epoch)
    assert str(position) == f"{epoch}:{seq}"
    assert Position.parse(str(position)) == position
    assert hash(Position.parse(str(position))) == hash(position)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a",
        "1",
        "a:",
        ":1",
        "a:-1",
        "a:+1",
        "a: 1",
        "a:1 ",
        "a:1\n",
        "a:1.0",
        "a:1e3",
        "a:١",
        "a:²",
        "a:0x1",
        "a:1_0",
        "a:" + "9" * 20,
        None,
        5,
        b"a:1",
    ],
    ids=repr,
)
def test_other_text_is_no_position(text: str) -> None:
    with pytest.raises(BadOption, match="epoch:seq"):
        Position.parse(text)


def test_positions_and_holes_are_frozen() -> None:
    for value, name in ((Position(1, "a"), "seq"), (Lost(1, 1, 1), "count")):
        with pytest.raises(AttributeError):
            setattr(value, name, 2)


@pytest.mark.parametrize(
    ("content", "size"),
    [("", 0), ("abc", 3), ("é", 2), ("\ud800", 3), (b"abc", 3), (bytearray(4), 4), (1, 1), ({"a": 1}, 7), (None, 4)],
    ids=repr,
)
def test_the_size_of_content_is_that_of_its_bytes(content: object, size: int) -> None:
    assert Message.new(content).size == size


def test_content_that_only_travels_by_reference_has_a_size() -> None:
    assert Message.new(object()).size > 0
    loop: list[object] = []
    loop.append(loop)
    assert Message.new(loop).size > 0
