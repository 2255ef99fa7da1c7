"""`Message` and `Draft`, the `Lost` in the place of missed messages, and `Position`, a reader's place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from time import time
from types import MappingProxyType
from typing import Any, Generic, Literal, NoReturn, Protocol, TypeVar
from unicodedata import category
from uuid import UUID

import msgspec
import uuid_utils

from telex.codec import content as codec
from telex.codec.encoded import BYTES, CONTENT_TYPE, JSON, Encoded, encoded_of, unreserved
from telex.durations import Duration, seconds
from telex.errors import BadOption
from telex.names import check_topic

T = TypeVar("T")
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates, line ends
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Reason = Literal["overflow", "trimmed", "epoch", "ahead", "unreadable"]
"""The reason of a loss: the subscriber fell behind further than its buffer (``overflow``); retention deleted the
messages before they were read (``trimmed``); the topic was removed, or its log was lost, and a new epoch has begun
(``epoch``); the requested position is after the end of the log (``ahead``); the stored content is damaged and cannot be
decoded (``unreadable``).
"""

EXPIRES = "telex-expires"
"""The header with the time, in seconds since 1970, at which a message expires."""
MAX_EXPIRY = 253_402_300_799.0
"""The largest time of `EXPIRES`: the end of the year 9999."""


class LazyId(Protocol):
    """Content that determines the id of its message. It makes the text of the id only when the id is read."""

    @property
    def _message_id(self) -> str: ...


class Message(msgspec.Struct, Generic[T], eq=False, weakref=True, repr_omit_defaults=True):
    """One message. Immutable; passed by reference to every subscriber of the process.

    ``content`` is the published object, ``topic`` the id of the topic, ``seq`` the number of the message in the topic.
    Later messages have higher numbers; an engine may leave numbers out. `id`, `timestamp`, `type` and `headers` are
    properties: they are stored as numbers and converted when they are read, since most are never read. ``publish``
    makes messages; a test makes them with `new`.
    """

    content: T
    topic: str
    seq: int
    _uid: Any  # the counter behind the id; or the id as text, or a `LazyId`
    _time: float
    _headers: dict[str, str] | None = None
    _type: str | None = None
    _size: int = -1  # the bytes of content and headers; -1 until the log or the engine has measured them
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
        """Make a message that no topic published: for a handler in a test, or from the data of another system.

        ``timestamp`` is aware. Raises `BadName` or `BadOption` for a part that no published message can have.
        """
        check_topic(topic)
        moment = time() if timestamp is None else aware(timestamp, "timestamp").timestamp()
        uid = str(uuid_utils.uuid7()) if id is None else check_id(id)
        return cls(content, topic, seq, uid, moment, check_headers(headers), type, -1, check_key(key))

    @property
    def id(self) -> str:
        """The id as text: a UUIDv7 (RFC 9562), or the id that the publisher gave."""
        uid: int | str | LazyId = self._uid
        return uuid7_text(uid + self.seq, self._time) if isinstance(uid, int) else id_text(uid)

    @property
    def timestamp(self) -> datetime:
        """The time of publishing, aware, in UTC, to the microsecond."""
        return datetime.fromtimestamp(self._time, UTC)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers: text to text, read-only."""
        return _NO_HEADERS if self._headers is None else MappingProxyType(self._headers)

    @property
    def type(self) -> str:
        """The name of the content's type: ``"OrderPlaced"``, ``"str"``, ``"dict"``."""
        return type(self.content).__name__ if self._type is None else self._type

    @property
    def key(self) -> str | None:
        """The key that the publisher gave: a group works on messages of one key one after the other."""
        return self._key

    @property
    def size(self) -> int:
        """The number of bytes that the content and the headers count for where bytes are bounded."""
        return self._size if self._size >= 0 else size_of(self.content, self._headers)

    @property
    def content_type(self) -> str:
        """The content type of the codec that encoded the content; ``application/octet-stream`` for other content that
        is bytes, and ``application/json`` for all other content.
        """
        plain = BYTES if isinstance(self.content, codec.BYTES) else JSON
        return plain if self._headers is None else self._headers.get(CONTENT_TYPE, plain)

    @property
    def expires(self) -> datetime | None:
        """The time, aware, in UTC, from which on no reader gets the message; None without ``publish(ttl=)``."""
        moment = None if self._headers is None else expiry_in(self._headers)
        return None if moment is None else datetime.fromtimestamp(moment, UTC)

    def to_dict(self) -> dict[str, object]:
        """Return the message under its public names; ``timestamp`` is RFC 3339 text, ``content`` stays as it is."""
        moment = self.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
        result: dict[str, object] = {"id": self.id, "timestamp": moment, "content": self.content}
        result |= {"topic": self.topic, "seq": self.seq, "type": self.type, "headers": dict(self.headers)}
        if self._key is not None:
            result["key"] = self._key
        return result

    def to_json(self) -> bytes:
        """Return JSON with the names ``id``, ``timestamp``, ``content``, ``topic``, ``seq``, ``type``, ``headers``.

        Content that is bytes is base64 text, with ``"encoding": "base64"`` beside it. Raises `TypeError` or
        `ValueError` when the content has no JSON form.
        """
        fields = self.to_dict()
        if isinstance(self.content, codec.BYTES):
            fields["encoding"] = "base64"
        return codec.to_json(fields)

    @classmethod
    def from_json(cls, data: bytes | str, content_type: Any = None) -> Message[Any]:
        """Read a message that `to_json` wrote; the content is decoded to ``content_type`` (None: plain data).

        Raises `ValueError` for other JSON, `ContentError` for content that does not fit the type: the sender's fault.
        """
        wire = msgspec.json.decode(data, type=_Wire)
        content = wire.content
        if wire.encoding == "base64":
            content = encoded_of(msgspec.convert(content, bytes), wire.headers)
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
            f"a Message is immutable, since all subscribers share it: publish a new message instead of setting {name!r}"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Message is immutable, since all subscribers share it")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        mine = (self.id, self.topic, self.seq, self.timestamp, self.content, self.headers)
        return mine == (other.id, other.topic, other.seq, other.timestamp, other.content, other.headers)

    def __hash__(self) -> int:
        # not of the id, which is slow to make; a message that no topic published has the number 0
        return hash((self.topic, self.seq)) if self.seq else hash(self.id)

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


class Draft(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A message before a log or an engine numbers it: the input of a publisher. Immutable.

    For engines: every part was checked.
    """

    content: Any
    """The content, of any type that the topic takes."""
    topic: str
    """The id of the topic."""
    id: str | None
    """The id that the publisher gave, or None."""
    time: float
    """The time of publishing, in seconds since 1970."""
    headers: dict[str, str] | None = None
    """The headers, or None when there are none."""
    type: str | None = None
    """The name of the content's type; None for the name of its class."""
    key: str | None = None
    """The key by which groups keep an order, or None."""
    json: bytes | None = None
    """The JSON of the content if the publisher has encoded it; an engine that stores JSON need not encode again."""
    encoded: Encoded | None = None
    """The content as a codec has encoded it, or None. An engine stores these bytes and the headers as they are, and
    passes both to `telex.engines.Decoder.decode` as `Encoded` when it reads them.
    """

    @classmethod
    def of(cls, message: Message[Any]) -> Draft:
        """Return the draft of a message of another topic or system, with its id and time."""
        content, topic, headers = message.content, check_topic(message.topic), unreserved(message._headers)
        draft = cls(content, topic, message.id, message._time, headers, message._type, message._key)
        return draft.with_encoded(content) if isinstance(content, Encoded) else draft

    def with_encoded(self, encoded: Encoded) -> Draft:
        """Return this draft with the content as a codec has encoded it, and the headers that say so."""
        headers = encoded.headers(self.headers)
        return msgspec.structs.replace(self, headers=headers, json=None, encoded=encoded)

    def numbered(self, seq: int, uid: int, size: int = -1) -> Message[Any]:
        """Make the message with the number ``seq`` for a log whose ids count from ``uid``. ``size`` is its size in
        bytes, or -1.
        """
        id = uid if self.id is None else self.id
        return Message(self.content, self.topic, seq, id, self.time, self.headers, self.type, size, self.key)

    def with_id(self) -> Draft:
        """Return this draft if it has an id, else a copy with a new id."""
        return self if self.id is not None else msgspec.structs.replace(self, id=str(uuid_utils.uuid7()))


class Lost(msgspec.Struct, frozen=True):
    """A hole: messages that this subscriber will not get. It comes in their place, between the messages before and
    after them.

    ``count`` messages with the numbers ``first`` to ``last`` (inclusive) are missing, for ``reason``. When a
    subscription starts at a position that the log no longer has, or the engine does not know how many messages are
    missing, ``count`` is the number of messages that are certainly missing: 0 with the reason ``epoch`` when the new
    log still has its first message.
    """

    count: int
    first: int
    last: int
    reason: Reason = "overflow"


class Position(msgspec.Struct, frozen=True):
    """A place in a log: just after the message with the number ``seq``; 0 is before the first.

    ``epoch`` names one life of the log. It changes when the log is lost and recreated, so that position 3 of the new
    log is never taken for position 3 of the old log. ``str(position)`` and `parse` are the text form, ``epoch:seq``.
    """

    seq: int
    epoch: str

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a position that ``str(position)`` wrote. Raises `BadOption` for other text."""
        epoch, colon, number = text.rpartition(":") if isinstance(text, str) else ("", "", "")
        if not colon or not epoch or not (number.isascii() and number.isdigit()) or len(number) > 19:
            raise BadOption("position", text, "a position must be 'epoch:seq', as str(position) writes it")
        return cls(int(number), epoch)

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"


time_of: Callable[[Message[Any]], float] = attrgetter("_time")
"""Return the time of publishing in seconds since 1970."""


headers_of: Callable[[Message[Any]], dict[str, str] | None] = attrgetter("_headers")
"""Return the headers as they are stored; None when there are none."""


def type_of(message: Message[Any]) -> str | None:
    """Return the stored name of the content's type; None for content that was published in this process."""
    return message._type


def has_made_id(message: Message[Any]) -> bool:
    """Return true when the log made the id, and not the publisher."""
    return isinstance(message._uid, int)


def id_text(id: str | LazyId) -> str:
    """Return an id as text."""
    return id if isinstance(id, str) else id._message_id


def size_of(content: object, headers: dict[str, str] | None) -> int:
    """Return the bytes that content and headers count for where bytes are bounded."""
    return codec.size_of(content) + codec.size_of_headers(headers)


def uuid7_text(counter: int, moment: float) -> str:
    """Return a UUIDv7 by RFC 9562, section 6.2, method 1: the milliseconds of ``moment``, then a counter of 74 bits.

    Every log counts from a random number of its own, so an id follows from the number of the message and costs nothing
    until it is read. Ids are unique and in the order of publishing; they are not secret.
    """
    high, low = counter >> 62 & 0xFFF, counter & 0x3FFF_FFFF_FFFF_FFFF
    milliseconds = round(moment * 1_000_000) // 1000  # as `timestamp` has them
    number = f"{milliseconds << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low:032x}"
    return f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"


def uuid7_counter(id: str) -> int | None:
    """Return the counter from which `uuid7_text` made this id; None for other text."""
    try:
        number = int(id.replace("-", ""), 16)
    except ValueError:
        return None
    return (number >> 64 & 0xFFF) << 62 | number & 0x3FFF_FFFF_FFFF_FFFF


def check_id(id: object) -> str:
    """Return the id that a publisher gave: 1 to 255 printable characters, or a UUID. Raises `BadOption`."""
    if isinstance(id, (uuid_utils.UUID, UUID)):
        return str(id)
    if isinstance(id, str) and 0 < len(id) <= 255 and id.isprintable():
        return id
    raise BadOption(
        "id", id, "an id must be a UUID or 1 to 255 printable characters; leave it out, and telex makes one"
    )


def check_key(key: object) -> str | None:
    """Return the key that a publisher gave: 1 to 255 printable characters, or None. Raises `BadOption`."""
    if key is None or (isinstance(key, str) and 0 < len(key) <= 255 and key.isprintable()):
        return key
    raise BadOption("key", key, "the key of a message must be 1 to 255 printable characters, such as str(order.id)")


def own_headers(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Copy the headers that a publisher gave, without those that describe the content of another message. Raises
    `BadOption` as `check_headers`.
    """
    return unreserved(check_headers(headers)) if headers else None


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Copy headers. Raises `BadOption` unless they are text to text without control characters.

    Names that differ only in case are refused: on the wire they would be one header with two values.
    """
    if not headers:
        return None
    if not isinstance(headers, Mapping):
        raise BadOption("headers", headers, "headers must be a mapping of text to text")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadOption("headers", {name: value}, "names and values of headers must be text; write str(value)")
        if not name or not name.isprintable() or any(c in name for c in " :"):
            raise BadOption("headers", name, "a header's name must be printable text without spaces and colons")
        if not value.isprintable() and any(category(c) in _FORBIDDEN for c in value):
            raise BadOption(
                "headers", {name: value}, "a header's value must not contain control characters or line ends"
            )
    if len({name.lower() for name in headers}) < len(headers):
        raise BadOption("headers", dict(headers), "two names differ only in case; keep one of them")
    return dict(headers)


def aware(moment: datetime, option: str) -> datetime:
    """Return ``moment``. Raises `BadOption` without a time zone: a naive time differs from machine to machine."""
    if moment.tzinfo is None:
        raise BadOption(option, moment, "give a time zone: datetime.now(timezone.utc), or moment.astimezone()")
    return moment


def expiry_in(headers: Mapping[str, str]) -> float | None:
    """Return the time at which a message with these headers expires; None when it does not, or for other text."""
    text = headers.get(EXPIRES)
    if text is None:
        return None
    try:
        moment = float(text)
    except ValueError:
        return None
    return moment if 0.0 <= moment <= MAX_EXPIRY else None


def has_expired(message: Message[Any], now: float) -> bool:
    """Return true when a message has expired at ``now``, in seconds since 1970."""
    headers = message._headers
    moment = None if headers is None else expiry_in(headers)
    return moment is not None and moment <= now


def expiring(headers: Mapping[str, str] | None, ttl: Duration, now: float, due: float | None = None) -> dict[str, str]:
    """Return headers of a message that expires ``ttl`` after it is published: at ``due``, or ``now`` if that is later.
    Raises `BadOption` for a length of 0, and for a time after the year 9999.
    """
    length = seconds(ttl, "ttl")
    moment = (now if due is None else max(now, due)) + length
    if not length:
        raise BadOption("ttl", ttl, "it must be above 0, the time until the message expires")
    if moment > MAX_EXPIRY:
        raise BadOption("ttl", ttl, "it must end before the year 10000")
    if headers is not None and not isinstance(headers, Mapping):
        raise BadOption("headers", headers, "headers must be a mapping of text to text")
    return {**(headers or {}), EXPIRES: f"{moment:.6f}"}
