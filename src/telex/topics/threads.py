"""`cancel` and `publish_from_thread`: discard a delayed message, and publish from another thread than the hub's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from telex.durations import Duration, due
from telex.errors import Closed, TelexError, WouldBlock
from telex.message import check_id
from telex.process.waiters import within
from telex.topics.sending import publish_at, sent, sent_nowait

if TYPE_CHECKING:
    from telex.message import Message
    from telex.topics.publisher import Publisher


async def cancel(publisher: Publisher, id: str, limit: float | None) -> bool:
    """Discard a message that waits for its time. ``limit`` bounds the call, in seconds."""
    publisher.engine.guarantees.require("delayed", "cancel()")
    publisher.check_publisher()
    cancelling = publisher.cancel(check_id(id))
    return await within(limit, f"cancelling a message of {publisher.id!r}", cancelling, publisher.connection)


def publish_from_thread(
    publisher: Publisher,
    content: Any,
    id: str | None,
    headers: Mapping[str, str] | None,
    key: str | None,
    delay: Duration | None,
    at: datetime | None,
) -> Future[Message[Any]]:
    """Publish as `telex.topics.topic.Topic.publish_threadsafe` does."""
    publisher.check_open()
    if publisher.loop is None:
        raise publisher.closed()
    asked, for_later = publisher.clock(), delay is not None or at is not None
    if get_ident() == publisher.thread and publisher.loop.is_running():
        if for_later:
            refused: Future[Message[Any]] = Future()
            refused.set_exception(WouldBlock(f"publishing to {publisher.id!r} for later waits for the engine"))
            return refused
        return _done(partial(sent_nowait, publisher, content, id, headers, key))
    returned: list[Future[Message[Any]]] = []

    async def publish() -> Message[Any]:
        # asyncio passes a cancellation on only after the first step of this task, which may be all of it.
        if returned and returned[0].cancelled():
            raise asyncio.CancelledError
        if for_later:
            later = partial(publish_at, publisher, content, id, key, due(delay, at, asked), None)
            return await sent(publisher, headers, later)
        # `put`: in the order of the calls of that thread
        return await sent(publisher, headers, lambda carry: publisher.put(content, id, carry, key, None))

    publishing = publish()
    try:
        future = asyncio.run_coroutine_threadsafe(publishing, publisher.loop)
    except RuntimeError:  # the loop was closed before the hub
        publishing.close()
        raise Closed(f"topic {publisher.id!r}", "the event loop of its hub has ended") from None
    returned.append(future)
    return future


def _done(publish: Callable[[], Message[Any]]) -> Future[Message[Any]]:
    future: Future[Message[Any]] = Future()
    try:
        future.set_result(publish())
    except TelexError as error:
        future.set_exception(error)
    return future
