"""`FrameCache`: batches of messages as frames. Clients at the same place of a log share one encoding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from sys import getsizeof
from typing import Any

from telex.codec import content as codec
from telex.codec.encoded import BYTES, JSON
from telex.codec.formats import Formats
from telex.errors import ContentError, text_of
from telex.gateway.auth import is_hidden
from telex.message import Message, Position
from telex.topics.batches import position_before

MAX_CACHED_BATCHES = 256
"""The largest number of cached batches. Clients ask for the same batch within a few turns of the event loop."""


class FrameCache:
    """Encodes batches, and caches the latest ones, at most ``cache_bytes``, for other clients at the same place.

    ``encoded`` is the number of encoded batches, ``shared`` the number of hits.
    """

    def __init__(self, batch_bytes: int, cache_bytes: int, formats: Formats | None = None) -> None:
        self._formats = formats
        self.encoded: int = 0
        self.shared: int = 0
        self._batch_bytes = batch_bytes
        self._cache_bytes = cache_bytes
        self.size: int = 0
        self._cache: OrderedDict[tuple[str, Position, int], tuple[str, ...]] = OrderedDict()

    def frames(self, topic: str, after: Position, batch: Sequence[Message[Any]], *, keep: bool) -> Iterable[str]:
        """Return the ``messages`` frames of a batch without a hole; ``after`` is the position after its last message.

        ``keep`` caches the frames for other clients. Without it each frame is encoded when it is needed, so that a slow
        client holds one frame in memory. Messages of telex's own topics are left out for a wildcard.
        """
        key = (topic, after, len(batch))
        found = self._cache.get(key)
        if found is not None:
            self.shared += 1
            return found
        self.encoded += 1
        if not keep:
            return self._encode(topic, after, batch)
        frames = tuple(self._encode(topic, after, batch))
        self._keep(key, frames)
        return frames

    def _encode(self, topic: str, after: Position, batch: Sequence[Message[Any]]) -> Iterator[str]:
        parts: list[bytes] = []
        size = 0
        for left, message in zip(range(len(batch) - 1, -1, -1), batch, strict=True):
            if not is_hidden(topic, message.topic):
                parts.append(encode(message, self._formats))
                size += len(parts[-1])
            if parts and (size >= self._batch_bytes or not left):
                position = position_before(batch[-left], topic, after, left) if left else after
                yield _frame(topic, position, parts)
                parts, size = [], 0

    def _keep(self, key: tuple[str, Position, int], frames: tuple[str, ...]) -> None:
        self._cache[key] = frames
        self.size += sum(map(getsizeof, frames))
        while self.size > self._cache_bytes or len(self._cache) > MAX_CACHED_BATCHES:
            _, dropped = self._cache.popitem(last=False)
            self.size -= sum(map(getsizeof, dropped))


def encode(message: Message[Any], formats: Formats | None = None) -> bytes:
    """Encode a message as JSON. Content that only a codec of ``formats`` encodes is base64 text, as bytes are. For
    other content without a JSON form, which only programs of this process can publish, ``content`` is null and
    ``unreadable`` has the cause, so that the message keeps its place.
    """
    fields = message.to_dict()
    if isinstance(message.content, codec.BYTES):
        fields["encoding"] = "base64"
    if not fields["headers"]:
        del fields["headers"]
    try:
        return codec.to_json(fields)
    except (TypeError, ValueError, RecursionError) as error:
        coded = _by_codec(message, formats)
        if coded is not None:
            return codec.to_json({**fields, "content": coded, "encoding": "base64"})
        return codec.to_json({**fields, "content": None, "unreadable": text_of(error)})


def _by_codec(message: Message[Any], formats: Formats | None) -> bytes | None:
    if formats is None or message.content_type in (BYTES, JSON):
        return None
    try:
        return formats.bytes_of(message.content, message.content_type)
    except ContentError:
        return None


def _frame(topic: str, position: Position, parts: Sequence[bytes]) -> str:
    head = b'{"op":"messages","topic":%b,"position":%b,"messages":[' % (
        codec.to_json(topic),
        codec.to_json(str(position)),
    )
    return (head + b",".join(parts) + b"]}").decode()
