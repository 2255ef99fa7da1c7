"""New messages of a file, for ``telex sub --url`` and ``telex history --follow``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from telex import Lost, Timeout
from telex.gateway.protocol import LostFrame, Messages

if TYPE_CHECKING:
    from telex import Message, Start

BATCH_MESSAGES = 500
"""The largest number of messages in one batch."""


def follow_file(url: str, topic: str, start: Start, deadline: float | None) -> Iterator[Messages | LostFrame]:
    """Iterate over the frames that a gateway would send for a topic or pattern.

    Raises `Timeout` at ``deadline`` (of `time.monotonic`), `ConnectFailed`, `EngineFailed`.
    """
    from telex.blocking import Hub
    from telex.blocking.hub import async_hub_of
    from telex.hub import keep_encoded

    opened = Hub(url)
    keep_encoded(async_hub_of(opened), "unknown")
    with opened as hub, hub.topic(topic).subscribe(start=start, overflow="catch_up", report_lost=True) as inbox:
        while inbox.ended is None or inbox.waiting:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise Timeout(f"following {topic!r}", 0.0)
            try:
                batch = inbox.receive_many(BATCH_MESSAGES, left)
            except Timeout:
                continue
            yield from _frames(topic, str(inbox.position), batch)


def _frames(topic: str, position: str, batch: tuple[Message[Any] | Lost, ...]) -> Iterator[Messages | LostFrame]:
    messages = [item for item in batch if not isinstance(item, Lost)]
    for item in batch:
        if isinstance(item, Lost):
            yield LostFrame(topic, position, item.count, item.first, item.last, item.reason)
    if messages:
        yield Messages(topic, position, [msgspec.json.decode(message.to_json()) for message in messages])
