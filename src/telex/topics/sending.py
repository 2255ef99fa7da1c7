"""Publishing with a span, on a hub that is traced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from telex.process.waiters import within

if TYPE_CHECKING:
    from telex.message import Draft, Message
    from telex.observe.headers import Sending
    from telex.topics.publisher import Publisher

Headers = Mapping[str, str] | None


def _sending(publisher: Publisher, headers: Headers) -> Sending | None:
    instrument, id = publisher.carrier.instrument, publisher.id
    # Topics of telex have no spans: their messages carry the headers of their cause.
    return None if instrument is None or id.startswith("$") else instrument.sending(id, headers)


async def publish_later(publisher: Publisher, draft: Draft, due: float | None, limit: float | None) -> Message[Any]:
    """Publish at ``due``, in seconds since 1970; None is now. ``limit`` bounds the call, in seconds."""
    publisher.engine.guarantees.require("delayed", "publish(delay=) or publish(at=)")
    keeping = publisher.keep_until(draft, draft.time if due is None else due)
    return await within(limit, f"publishing to {publisher.id!r}", keeping, publisher.connection)


async def sent(
    publisher: Publisher, headers: Headers, publish: Callable[[Headers], Awaitable[Message[Any]]]
) -> Message[Any]:
    """Call ``publish`` with the headers of the message, in a span if the tracer begins one. Return the message."""
    sending = _sending(publisher, headers)
    if sending is None:
        return await publish(headers)
    with sending:
        message = await publish(sending.headers)
        sending.sent(message.id)
        return message


def publish_with(
    publisher: Publisher, content: Any, id: str | None, key: str | None, limit: float | None, headers: Headers
) -> Awaitable[Message[Any]]:
    """Publish as `Publisher.publish`, with the headers as the last argument: for `sent`."""
    return publisher.publish(content, id, headers, key, limit)


def publish_at(
    publisher: Publisher,
    content: Any,
    id: str | None,
    key: str | None,
    when: float | None,
    limit: float | None,
    headers: Headers,
) -> Awaitable[Message[Any]]:
    """Publish as `publish_later`, with the headers as the last argument: for `sent`."""
    return publish_later(publisher, publisher.draft(content, id, headers, key), when, limit)


def sent_nowait(publisher: Publisher, content: Any, id: str | None, headers: Headers, key: str | None) -> Message[Any]:
    """Publish as `Publisher.publish_nowait`, in a span if the tracer begins one."""
    instrument = publisher.carrier.instrument
    if headers is None and instrument is not None and (publisher.id[0] == "$" or instrument.skips()):
        return publisher.publish_nowait(content, id, None, key)
    sending = _sending(publisher, headers)
    if sending is None:
        return publisher.publish_nowait(content, id, headers, key)
    with sending:
        message = publisher.publish_nowait(content, id, sending.headers, key)
        sending.sent(message.id)
        return message
