"""What travels: `Message`, the hole in its place (`Lost`), and where a reader is (`Position`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from time import time
from types import MappingProxyType
from typing import Any, Generic, Literal, NoReturn, Protocol, TypeVar
from unicodedata import category
from uuid import UUID

import msgspec
import uuid_utils

from telex.codec import content as codec
from telex.errors import BadOption
from telex.names import check_topic

T = TypeVar("T")
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates, line ends
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Reason = Literal["overflow", "trimmed", "epoch", "ahead", "unreadable"]
"""Why messages were missed: the subscriber fell behind further than its buffer (``overflow``), retention took them
before they were read (``trimmed``), the log was lost and begun anew (``epoch``), the position is one the log has not
reached (``ahead``), the messages are kept and their content cannot be decoded, since the disk has damaged it
(``unreadable``)."""


class LazyId(Protocol):
    """Content that gives its message an id, and makes the text of it when that is read."""

    @property
    def _message_id(self) -> str: ...


class Message(msgspec.Struct, Generic[T], eq=False, weakref=True, repr_omit_defaults=True):
    """One message. Immutable; passed by reference to every subscriber of the process.

    ``content`` is what was published, ``topic`` the id it was published to, ``seq`` its number there, counted from 1.
    `id`, `timestamp`, `type` and `headers` are properties: they are kept as numbers and made readable when read,
    since most messages are delivered far more often than their ids are looked at. Made by ``publish``; a test makes
    one by `new`.
    """

    content: T
    topic: str
    seq: int
    _uid: Any  # the number that its id counts from; or its id as text, or `LazyId`
    _time: float
    _headers: dict[str, str] | None = None
    _type: str | None = None
    _size: int = -1
    _key: str | None = None

    @classmethod
    def new(
        cls,
        content: T,
        *,
        topic: str = "telex:test",
        seq: int = 0,
        id: str | None = None,
        timestamp: datetime | None = None,
        headers: Mapping[str, str] | None = None,
        type: str | None = None,
        key: str | None = None,
    ) -> Message[T]:
        """A message that no topic published: to call a handler with in a test, or to build one from another system.

        ``timestamp`` is aware. Raises `BadName` or `BadOption` for a part that no published message could have.
        """
        check_topic(topic)
        moment = time() if timestamp is None else aware(timestamp, "timestamp").timestamp()
        uid = str(uuid_utils.uuid7()) if id is None else check_id(id)
        return cls(content, topic, seq, uid, moment, check_headers(headers), type, -1, check_key(key))

    @property
    def id(self) -> str:
        """The id as text: a UUIDv7 (RFC 9562), or what the publisher gave."""
        uid: int | str | LazyId = self._uid
        if isinstance(uid, str):
            return uid
        return uuid7_text(uid + self.seq, self._time) if isinstance(uid, int) else uid._message_id

    @property
    def timestamp(self) -> datetime:
        """When it was published, aware, in UTC, to the microsecond."""
        return datetime.fromtimestamp(self._time, UTC)

    @property
    def headers(self) -> Mapping[str, str]:
        """Text to text, read-only."""
        return _NO_HEADERS if self._headers is None else MappingProxyType(self._headers)

    @property
    def type(self) -> str:
        """The name of the content's type: ``"OrderPlaced"``, ``"str"``, ``"dict"``."""
        return type(self.content).__name__ if self._type is None else self._type

    @property
    def key(self) -> str | None:
        """What its publisher gave as ``key=``: a group works on messages of one key one after the other."""
        return self._key

    @property
    def size(self) -> int:
        """Bytes that the content and the headers count for where bytes are bounded; worked out once."""
        if self._size < 0:
            size = codec.size_of(self.content) + codec.size_of_headers(self._headers)
            msgspec.structs.force_setattr(self, "_size", size)
        return self._size

    def to_dict(self) -> dict[str, object]:
        """The message under its public names; ``timestamp`` is RFC 3339 text, ``content`` stays as it is."""
        moment = self.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
        result: dict[str, object] = {"id": self.id, "timestamp": moment, "content": self.content}
        result |= {"topic": self.topic, "seq": self.seq, "type": self.type, "headers": dict(self.headers)}
        if self._key is not None:
            result["key"] = self._key
        return result

    def to_json(self) -> bytes:
        """JSON bytes with the names ``id``, ``timestamp``, ``content``, ``topic``, ``seq``, ``type``, ``headers``.

        Content that is bytes is base64 text, with ``"encoding": "base64"`` beside it. Raises `TypeError` or
        `ValueError` when the content has no JSON form.
        """
        fields = self.to_dict()
        if isinstance(self.content, codec.BYTES):
            fields["encoding"] = "base64"
        return codec.to_json(fields)

    @classmethod
    def from_json(cls, data: bytes | str, content_type: Any = None) -> Message[Any]:
        """The message that `to_json` wrote; ``content_type`` says what its content is decoded to (plain data if None).

        Raises `ValueError` when it is not such JSON and `ContentError` when the content does not fit: the sender's
        fault.
        """
        wire = msgspec.json.decode(data, type=_Wire)
        content = wire.content
        if wire.encoding == "base64":
            content = msgspec.convert(content, bytes)
        if content_type is not None:
            content = codec.Content(content_type).decode(content, wire.topic, wire.type)
        return cls.new(
            content,
            topic=wire.topic,
            seq=wire.seq,
            id=wire.id,
            timestamp=wire.timestamp,
            headers=wire.headers,
            type=wire.type,
            key=wire.key,
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            "a Message is immutable, every subscriber is handed the same one: publish a new message "
            f"instead of setting {name!r}"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Message is immutable, every subscriber is handed the same one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        mine = (self.id, self.topic, self.seq, self.timestamp, self.content, self.headers)
        return mine == (other.id, other.topic, other.seq, other.timestamp, other.content, other.headers)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        content = repr(self.content)
        if len(content) > 200:
            content = content[:197] + "..."
        return f"Message(topic={self.topic!r}, seq={self.seq}, id={self.id!r}, content={content})"


class _Wire(msgspec.Struct):
    id: str
    timestamp: datetime
    content: Any
    topic: str = "telex:unknown"
    seq: int = 0
    type: str | None = None
    headers: dict[str, str] | None = None
    key: str | None = None
    encoding: Literal["base64"] | None = None


class Lost(msgspec.Struct, frozen=True):
    """A hole: messages that this subscriber will not get. It stands between the messages before and after them.

    ``count`` messages with the numbers ``first`` to ``last`` (both in it); ``reason`` says why. After a start that is
    gone, ``count`` is what is known for certain: 0 with the reason ``epoch`` when the new log still has its beginning.
    """

    count: int
    first: int
    last: int
    reason: Reason = "overflow"


class Position(msgspec.Struct, frozen=True):
    """A place in a log: just after the message with the number ``seq``; 0 is before the first.

    ``epoch`` names the log that was counted: when a log is lost and begun again its epoch changes, so that position 3
    of the new is never taken for position 3 of the old. ``str(position)`` and `parse` are its text form, ``epoch:seq``.
    """

    seq: int
    epoch: str

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that ``str(position)`` wrote. Raises `BadOption` when it is none."""
        epoch, colon, number = text.rpartition(":") if isinstance(text, str) else ("", "", "")
        if not colon or not epoch or not (number.isascii() and number.isdigit()) or len(number) > 19:
            raise BadOption("position", text, "a position is 'epoch:seq', as str(position) writes it")
        return cls(int(number), epoch)

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"


def uuid7_text(counter: int, moment: float) -> str:
    """A UUIDv7 by RFC 9562, section 6.2, method 1: the milliseconds of ``moment``, then a counter of 74 bits.

    Every log counts from a random number of its own, so that ids are made from numbers that a message has anyway, and
    cost nothing until they are read. They are unique and in the order of publishing; they are no secrets.
    """
    high, low = counter >> 62 & 0xFFF, counter & 0x3FFF_FFFF_FFFF_FFFF
    milliseconds = round(moment * 1_000_000) // 1000  # as `timestamp` has them
    number = f"{milliseconds << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low:032x}"
    return f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"


def uuid7_counter(id: str) -> int | None:
    """The counter that `uuid7_text` made this id from, if it is such text."""
    try:
        number = int(id.replace("-", ""), 16)
    except ValueError:
        return None
    return (number >> 64 & 0xFFF) << 62 | number & 0x3FFF_FFFF_FFFF_FFFF


def check_id(id: object) -> str:
    """An id that a publisher gave: text of 1 to 255 printable characters, or a UUID. Raises `BadOption`."""
    if isinstance(id, (uuid_utils.UUID, UUID)):
        return str(id)
    if isinstance(id, str) and 0 < len(id) <= 255 and id.isprintable():
        return id
    raise BadOption("id", id, "an id is a UUID or 1 to 255 printable characters; leave it out to have one made")


def check_key(key: object) -> str | None:
    """A key that a publisher gave: text of 1 to 255 printable characters. Raises `BadOption`."""
    if key is None or (isinstance(key, str) and 0 < len(key) <= 255 and key.isprintable()):
        return key
    raise BadOption("key", key, "the key of a message is 1 to 255 printable characters, such as str(order.id)")


def place(message: Message[Any], seq: int, uid: int) -> None:
    """Give a message that is being stored its number; ``uid`` is its log's, from which ids are made that no publisher
    gave. For engines, before anybody else has seen it."""
    msgspec.structs.force_setattr(message, "seq", seq)
    if not isinstance(message._uid, str):
        msgspec.structs.force_setattr(message, "_uid", uid)


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """A copy of headers. Raises `BadOption` unless they are text to text without control characters.

    Names that differ only in case are refused: on the wire they would be one header with two values.
    """
    if not headers:
        return None
    if not isinstance(headers, Mapping):
        raise BadOption("headers", headers, "headers are a mapping of text to text")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadOption("headers", {name: value}, "names and values of headers are text; write str(value)")
        if not name or not name.isprintable() or any(c in name for c in " :"):
            raise BadOption("headers", name, "a header's name is printable text without spaces and colons")
        if not value.isprintable() and any(category(c) in _FORBIDDEN for c in value):
            raise BadOption("headers", {name: value}, "a header's value holds no control characters or line ends")
    if len({name.lower() for name in headers}) < len(headers):
        raise BadOption("headers", dict(headers), "two names differ only in case; keep one of them")
    return dict(headers)


def aware(moment: datetime, option: str) -> datetime:
    """``moment`` when it has a time zone, else `BadOption`: a naive time means another instant on another machine."""
    if moment.tzinfo is None:
        raise BadOption(option, moment, "give a time zone: datetime.now(timezone.utc), or moment.astimezone()")
    return moment
