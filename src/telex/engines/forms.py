"""`Form`, the encoded parts of a message as a database stores them; conversion of messages to rows, and of rows to
messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from telex.codec import content as codec
from telex.codec.encoded import CONTENT_TYPE, encoded_of
from telex.engines.contract.engine import Decoder
from telex.engines.contract.groups import Unreadable
from telex.engines.contract.store import Holed
from telex.errors import ContentError
from telex.message import Draft, Lost, Message, size_of

Form = tuple[str, str | None, str | None, str | bytes, int]
"""The encoded parts of a message: type, key, headers, content, and the bytes that the content counts for."""
Shape = Callable[[object, str, str | None], object]
"""The method `telex.engines.Decoder.decode`."""

_BYTES = (bytes, bytearray, memoryview)
_headers = itemgetter(6)
LATEST = 253402300799.0
"""The last second of the year 9999, the latest time of a datetime, in seconds since 1970."""
_HEADERS = msgspec.json.Decoder(dict[str, str]).decode


def encode(draft: Draft, largest: int) -> Form:
    """Return the encoded parts of a draft.

    Raises `ContentError`, the publisher's fault, also for a message of more than ``largest`` bytes.
    """
    content, type_, key, headers, data = draft.content, draft.type, draft.key, draft.headers, draft.json
    stored: str | bytes
    if draft.encoded is not None:
        stored = bytes(draft.encoded)
        size = len(stored) + codec.size_of_headers(headers)
    elif isinstance(content, _BYTES):
        stored = bytes(content)
        size = len(stored) + codec.size_of_headers(headers)
    else:
        try:
            if data is None:
                data = codec.to_json(content)
            elif b"null" in data:
                data = codec.finite(data, content)
        except RecursionError:
            raise ContentError(draft.topic, "it is nested too deeply, or contains itself; publish plain data") from None
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise ContentError(draft.topic, f"it has no JSON form, which the engine needs: {error}") from None
        stored = data.decode()
        if isinstance(content, str):
            size = size_of(content, headers)
        else:
            size = len(data) if headers is None else len(data) + codec.size_of_headers(headers)
    if size > largest:
        problem = f"it has {size} bytes, and the engine stores at most {largest}; publish its address instead"
        raise ContentError(draft.topic, problem)
    return (
        type(content).__name__ if type_ is None else _text(draft, type_),
        None if key is None else _text(draft, key),
        None if headers is None else codec.to_json(headers).decode(),
        stored,
        size,
    )


def _text(draft: Draft, text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ContentError(draft.topic, f"{text!r} contains a lone surrogate, which UTF-8 cannot encode") from None
    return text


class Damaged(list[Message[Any]]):
    """Messages of which some have `Unreadable` content."""


def decode(rows: list[tuple[Any, ...]], name: str, uid: int, shape: Shape | None) -> list[Message[Any]]:
    """Return the messages of rows of one topic. Without a shape, content stays plain. A row ends with the columns seq,
    id, time, type, key, headers and content; the engine's own columns come before them.

    A damaged row does not fail the others: its content is `Unreadable`, and the list is `Damaged`.
    """
    try:
        return _decode(rows, name, uid, shape)
    except MemoryError:  # a lack of memory does not mean that the row is damaged
        raise
    except Exception:  # noqa: BLE001  # each row is decoded alone to find the damaged one
        return Damaged([_decode_alone(row, name, uid, shape) for row in rows])


def _decode(rows: list[tuple[Any, ...]], name: str, uid: int, shape: Shape | None) -> list[Message[Any]]:
    parse = msgspec.json.Decoder().decode
    latest = LATEST
    contents = [parse(row[7]) if type(row[7]) is str else _bytes(row) for row in rows]
    if shape is not None:
        contents = [shape(content, name, row[4]) for content, row in zip(contents, rows, strict=True)]
    return [
        Message(
            content,
            name,
            seq,
            uid if id is None else _str(id),
            time if 0.0 <= time <= latest else _no_time(time),
            None if headers is None else _HEADERS(headers),
            type_,
            -1,
            None if key is None else _str(key),
        )
        for content, (_, seq, id, time, type_, key, headers, _) in zip(contents, rows, strict=True)
    ]


def _decode_alone(row: tuple[Any, ...], name: str, uid: int, shape: Shape | None) -> Message[Any]:
    try:
        return _decode([row], name, uid, shape)[0]
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # any error means that the row is damaged
        problem = f"{type(error).__name__}: {error}"
    _, seq, id, time, type_, key, _, content = row
    raw = content.encode() if isinstance(content, str) else content if isinstance(content, bytes) else b""
    if isinstance(content, Unreadable):
        problem = content.problem
    return Message(
        Unreadable(raw, problem),
        name,
        seq,
        id if type(id) is str else uid,
        time if isinstance(time, (int, float)) and 0 <= time <= LATEST else 0.0,
        None,
        type_ if type(type_) is str else "",
        -1,
        key if type(key) is str else None,
    )


def _no_time(time: object) -> float:
    raise ValueError(f"{time} is no time")


def _bytes(row: tuple[Any, ...]) -> bytes:
    content, headers = row[7], row[6]
    if type(content) is not bytes:
        raise TypeError(f"content is {type(content).__name__} where telex stores text or bytes")
    if headers is None or CONTENT_TYPE not in headers:
        return content
    return encoded_of(content, _HEADERS(headers))


def shape_of(decoder: Decoder, topic: str, rows: Sequence[tuple[Any, ...]]) -> Shape | None:
    """Return ``decoder.decode`` if it may convert content of these rows, else None."""
    needed = any(type(headers) is str and CONTENT_TYPE in headers for headers in filter(None, map(_headers, rows)))
    return decoder.decode if needed or decoder.decodes(topic, {row[4] for row in rows}) else None


def _str(text: object) -> str:
    if type(text) is not str:
        raise TypeError(f"{type(text).__name__} is where telex stores text")
    return text


def readable(messages: Sequence[Message[Any]]) -> Holed:
    """Return messages for the readers of a topic, with a `Lost` in place of each run of unreadable messages."""
    found = Holed()
    for message in messages:
        if message.content.__class__ is not Unreadable:
            found.append(message)
        elif found and isinstance(last := found[-1], Lost) and last.last == message.seq - 1:
            found[-1] = Lost(last.count + 1, last.first, message.seq, "unreadable")
        else:
            found.append(Lost(1, message.seq, message.seq, "unreadable"))
    return found
