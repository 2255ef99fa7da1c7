"""Server-sent events of a topic, for web frameworks: the bytes of a ``text/event-stream``.

The format, and the header ``Last-Event-ID`` with which a browser continues, are those of the HTML standard, section
"Server-sent events" (https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from telex.codec import content as codec
from telex.commands.streaming import PART
from telex.durations import Duration, seconds
from telex.errors import BadOption, Closed, NoSuchCommand, Timeout
from telex.hub import Hub, dispatcher_of
from telex.log.start import Start, check_start
from telex.message import Lost, Message, Position
from telex.topics.batches import position_before
from telex.topics.topic import Topic

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""The headers of a response with events: no proxy stores them or waits for more of them."""
MEDIA_TYPE = "text/event-stream"
MAX_BATCH = 256
"""The largest number of messages that are encoded at once."""


def events(
    topic: Topic[Any],
    last_event_id: str | None = None,
    *,
    start: Start = "new",
    heartbeat: Duration = 15.0,
    hub: Hub | None = None,
) -> AsyncGenerator[bytes, None]:
    """Return the events of a topic or pattern, as parts of a body.

    The data of an event is the content of a message as JSON, its id is the position after the message. With
    ``last_event_id``, the value of the header ``Last-Event-ID``, they continue after that position; else they begin at
    ``start``. When messages are missing, an event ``lost`` with ``count`` and ``reason`` comes in their place. The last
    message of a `telex.Stream` is an event ``end``. With the open ``hub``, the stream of an unknown command is only
    this event, with the code ``no_such_command``; without ``hub`` the client waits. After ``heartbeat`` without a
    message a comment is sent, so that the server notices a client that has left. The reader is never skipped: a slow
    client reads from the log, and loses only what retention has removed.

    The generator ends when the hub closes; close it when the client leaves. Raises `BadOption`, at once. Content
    without a JSON form raises `TypeError` where it is reached.
    """
    every = seconds(heartbeat, "heartbeat")
    if not every > 0:
        raise BadOption("heartbeat", heartbeat, "it must be more than 0 seconds")
    since = Position.parse(last_event_id) if last_event_id else check_start(start)
    return _events(topic, since, every, hub)


async def _events(topic: Topic[Any], start: Start, every: float, hub: Hub | None) -> AsyncGenerator[bytes, None]:
    yield b": telex\n\n"  # the client sees at once that the stream has begun
    if hub is not None:
        try:
            await dispatcher_of(hub).check_stream(topic.id)
        except NoSuchCommand as error:
            problem = {"type": "NoSuchCommand", "code": "no_such_command", "message": str(error)}
            yield b"event: end\ndata: %b\n\n" % codec.to_json(problem)
            return
    async with topic.subscribe(start=start, overflow="catch_up", report_lost=True) as inbox:
        while True:
            try:
                batch = await inbox.receive_many(MAX_BATCH, timeout=every)
            except Timeout:
                yield b": \n\n"
                continue
            except Closed:
                return
            yield b"".join(_encoded(topic.id, batch, inbox.position))


def _encoded(topic: str, batch: Sequence[Message[Any] | Lost], after: Position) -> Iterator[bytes]:
    """Encode a batch; ``after`` is the position after its last item. A `Lost` is alone in its batch."""
    for left, item in zip(range(len(batch) - 1, -1, -1), batch, strict=True):
        if isinstance(item, Lost):
            gap = codec.to_json({"count": item.count, "reason": item.reason})
            yield b"id: %b\nevent: lost\ndata: %b\n\n" % (str(after).encode(), gap)
            continue
        following = batch[-left]
        place = position_before(following, topic, after, left) if left and isinstance(following, Message) else after
        name = b"event: end\n" if item.headers.get(PART) == "end" else b""
        yield b"id: %b\n%bdata: %b\n\n" % (str(place).encode(), name, codec.to_json(item.content))
