"""The protocol of the gateway's WebSocket, without I/O, clock and hub.

A frame is one JSON object, and ``op`` is its kind. A client may put a ``ref`` (a number or a text) into a frame; the
answer has the same ``ref``.

==================================================  ===========================================================
a client sends                                      and gets
==================================================  ===========================================================
``publish`` topic, content, id?, headers?           ``published`` topic, id, seq
``subscribe`` topic (or pattern), since?            ``subscribed`` topic, position, waiting; then ``messages``, ``lost``
``unsubscribe`` topic                               ``unsubscribed`` topic
``topics`` pattern?                                 ``topics`` topics
``call`` name, content?, key?, headers?             ``result`` content
``ping``                                            ``pong``
==================================================  ===========================================================

``since`` is a position (``"epoch:seq"``), a number of messages back, a length of time back (``"10m"``),
``"earliest"`` or ``"new"`` (the default). ``messages`` has the position after its last message. A client that
reconnects gives this position as ``since``, and gets the messages that it missed. ``lost`` stands in the place of
messages that the client cannot get. When a topic is removed, its clients get a ``lost`` with the
reason ``epoch``, and then the new messages. ``ended`` is the end of a subscription: the hub was closed, or the client
has lost the permission.

The ``headers`` of ``publish`` are those of the message. Of the ``headers`` of ``call``, ``traceparent``, ``tracestate``
and ``correlation-id`` go into the messages of the command.

The answer to a refused frame is ``error`` with a ``code``, a ``problem`` for people and, if the client may send the
frame again, ``retry_after`` in seconds. The codes:

==================  ===============================================================================
``malformed``       not JSON, not an object, no known ``op``, a field that is missing or of a wrong type
``bad_name``        a topic id, a pattern or a name that breaks the rules
``no_such_command`` a stream of a command that is unknown or no longer kept
``bad_option``      an invalid value, such as a malformed position or a negative number
``bad_content``     content that does not fit the type of the topic
``forbidden``       the rules do not allow it
``rate``            too many frames; has ``retry_after``
``limit``           too many subscriptions, or too many topics
``subscribed``      this connection follows that topic already
``unsubscribed``    this connection does not follow that topic
``unknown_call``    no program serves a command of that name
``key_conflict``    the key was used with other content
``in_progress``     a command with this key is running; has ``retry_after``
``command_failed``  the command has failed; ``data`` has its ``code``, and the data of its handler
``failed``          the server failed at this frame; the cause is in its log
``timeout``         the server took too long; has ``retry_after``
``unavailable``     the engine failed, the hub is closed, or a buffer is full; has ``retry_after``
==================  ===============================================================================
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from telex.durations import seconds
from telex.errors import BadName, BadOption
from telex.gateway.errors import CloseCode, Refused, refusal_for
from telex.gateway.limits import Limits, TokenBucket
from telex.log.start import Start
from telex.message import Position
from telex.names import check_pattern, check_topic

VERSION = 1
Ref = int | str | None


class Frame(msgspec.Struct, frozen=True, tag_field="op", omit_defaults=True):
    """A frame of a client or of the server."""


class Publish(Frame, frozen=True, tag="publish"):
    """Publish a message. A second frame with the same ``id`` stores nothing, and gets the same answer. The message
    expires ``ttl`` after its publishing: seconds, or text such as "10s".
    """

    topic: str
    content: Any
    id: str | None = None
    headers: dict[str, str] | None = None
    ref: Ref = None
    ttl: float | str | None = None


class Subscribe(Frame, frozen=True, tag="subscribe"):
    """Subscribe to a topic or a pattern."""

    topic: str
    since: str | int = "new"
    ref: Ref = None


class Unsubscribe(Frame, frozen=True, tag="unsubscribe"):
    """End a subscription."""

    topic: str
    ref: Ref = None


class ListTopics(Frame, frozen=True, tag="topics"):
    """Ask for the topics that this client may follow."""

    pattern: str = ">"
    ref: Ref = None


class Call(Frame, frozen=True, tag="call"):
    """Send a command, or a request to the application of the gateway. Commands with the same ``key`` run once."""

    name: str
    content: Any = None
    key: str | None = None
    ref: Ref = None
    headers: dict[str, str] | None = None


class Ping(Frame, frozen=True, tag="ping"):
    """Ask for a `Pong`."""

    ref: Ref = None


Request = Publish | Subscribe | Unsubscribe | ListTopics | Call | Ping


class Hello(Frame, frozen=True, tag="hello", omit_defaults=False):
    """The first frame of a connection."""

    version: int
    frame_bytes: int


class Published(Frame, frozen=True, tag="published"):
    """The answer to `Publish`: the engine has stored the message."""

    topic: str
    id: str
    seq: int
    ref: Ref = None


class Subscribed(Frame, frozen=True, tag="subscribed"):
    """The answer to `Subscribe`: messages after ``position`` follow, of which ``waiting`` are there now."""

    topic: str
    position: str
    waiting: int = 0
    ref: Ref = None


class Unsubscribed(Frame, frozen=True, tag="unsubscribed"):
    """The answer to `Unsubscribe`."""

    topic: str
    ref: Ref = None


class Messages(Frame, frozen=True, tag="messages"):
    """Messages in order, and the position after the last one. ``topic`` is the topic or pattern of the subscription."""

    topic: str
    position: str
    messages: list[dict[str, Any]]


class LostFrame(Frame, frozen=True, tag="lost", omit_defaults=False):
    """A hole: ``count`` messages, with numbers ``first`` to ``last``, that this client cannot get, and the reason."""

    topic: str
    position: str
    count: int
    first: int
    last: int
    reason: str


class Ended(Frame, frozen=True, tag="ended"):
    """The end of a subscription: the hub was closed, the engine failed, or the client has lost the permission."""

    topic: str


class TopicList(Frame, frozen=True, tag="topics"):
    """The answer to `ListTopics`."""

    topics: list[str]
    ref: Ref = None


class Result(Frame, frozen=True, tag="result"):
    """The answer to `Call`."""

    content: Any = None
    ref: Ref = None


class Pong(Frame, frozen=True, tag="pong"):
    """The answer to `Ping`."""

    ref: Ref = None


class Error(Frame, frozen=True, tag="error"):
    """The refusal of a frame; the table above has the codes."""

    code: str
    problem: str
    retry_after: float | None = None
    ref: Ref = None
    data: Any = None


Reply = Hello | Published | Subscribed | Unsubscribed | Messages | LostFrame | Ended | TopicList | Result | Pong | Error


class Close(msgspec.Struct, frozen=True):
    """The decision to close the connection."""

    code: CloseCode
    reason: str


class _Referred(msgspec.Struct):
    ref: Ref = None


_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_referred = msgspec.json.Decoder(_Referred)


def decode_reply(data: str | bytes) -> Reply:
    """Decode a frame of the server. Raises `ValueError` for anything else."""
    return _replies.decode(data)


def refusal(error: Refused, ref: Ref) -> Error:
    """Return the frame for a refusal."""
    retry_after = None if error.retry_after is None else round(error.retry_after, 3)
    return Error(error.code, error.problem, retry_after, ref, error.data)


class Session:
    """The state of the protocol for one connection. It makes decisions, and its owner carries them out.

    Invariant: `subscriptions` are the topics that the client follows.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.subscriptions: set[str] = set()
        self.last_heard: float = now
        self._bucket = TokenBucket(limits.rate, limits.burst, now)
        self._malformed_frames = 0
        self._early_frames = 0

    def receive(self, data: str | bytes, now: float) -> Request | Error | Close:
        """Decide about a frame that arrived at ``now``: return a request, a refusal to send, or the end of the
        connection."""
        if isinstance(data, bytes):
            return Close(CloseCode.BINARY, "frames are JSON text, and this one is binary")
        # A character has 1 to 4 bytes, so the size of most texts is checked without encoding.
        if len(data) > self.limits.frame_bytes or (
            len(data) * 4 > self.limits.frame_bytes and len(data.encode("utf-8", "replace")) > self.limits.frame_bytes
        ):
            return Close(CloseCode.TOO_LARGE, f"a frame is at most {self.limits.frame_bytes} bytes")
        self.last_heard = now
        wait = self._bucket.take(now)
        if wait:
            return self._too_fast(data, wait)
        self._early_frames = 0
        try:
            request = _read(data)
            self._check(request)
        except Refused as error:
            return self._refused(data, error)
        self._malformed_frames = 0
        return request

    def leave(self, topic: str) -> None:
        """Remove a subscription that has ended."""
        self.subscriptions.discard(topic)

    def idle(self, now: float) -> float:
        """Return the seconds for which a connection without a subscription may still be idle; 0 or less when the time
        is over.
        """
        return self.limits.idle if self.subscriptions else self.last_heard + self.limits.idle - now

    def _too_fast(self, data: str, wait: float) -> Error | Close:
        self._early_frames += 1
        if self._early_frames >= self.limits.strikes:
            return Close(CloseCode.FLOOD, f"{self._early_frames} frames came before their retry_after")
        problem = f"at most {self.limits.rate:g} frames a second, {self.limits.burst} at once; send it again later"
        return refusal(Refused("rate", problem, wait), _ref(data))

    def _refused(self, data: str, error: Refused) -> Error | Close:
        if error.code == "malformed":
            self._malformed_frames += 1
            if self._malformed_frames >= self.limits.strikes:
                return Close(CloseCode.MALFORMED, f"{self._malformed_frames} frames in a row were malformed")
        return refusal(error, _ref(data))

    def _check(self, request: Request) -> None:
        """Check names and values, and add a subscription. Raises `Refused`."""
        try:
            if isinstance(request, Publish):
                check_topic(request.topic)
            elif isinstance(request, ListTopics):
                check_pattern(request.pattern)
            elif isinstance(request, Subscribe):
                check_pattern(request.topic)
                parse_since(request.since)
                self._join(request.topic)
            elif isinstance(request, Unsubscribe) and request.topic not in self.subscriptions:
                raise Refused("unsubscribed", f"this connection does not follow {request.topic[:255]!r}")
        except (BadName, BadOption) as error:
            raise refusal_for(error) from None

    def _join(self, topic: str) -> None:
        if topic in self.subscriptions:
            raise Refused("subscribed", f"this connection follows {topic!r} already; unsubscribe first to start again")
        if len(self.subscriptions) >= self.limits.subscriptions:
            raise Refused("limit", f"a connection follows at most {self.limits.subscriptions} topics")
        self.subscriptions.add(topic)


def parse_since(since: str | int) -> Start:
    """Parse ``since`` into the ``start`` of ``topic.subscribe``. Raises `BadOption`."""
    if since == "new" or since == "earliest":
        return since  # type: ignore[return-value]  # mypy does not narrow str by == with a literal
    if isinstance(since, int):
        if since < 0:
            raise BadOption("since", since, "a number counts messages back: it must not be negative")
        return since
    if ":" in since:
        return Position.parse(since)
    try:
        return timedelta(seconds=seconds(since, "since"))
    except (BadOption, OverflowError):
        fix = "give 'new', 'earliest', a position 'epoch:seq', a number of messages back, or a time back such as '10m'"
        raise BadOption("since", since, fix) from None


def _read(data: str) -> Request:
    try:
        return _requests.decode(data)
    except msgspec.ValidationError as error:
        raise Refused("malformed", f"not a frame of this protocol: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", f"a frame is one JSON object: {error}") from None


def _ref(data: str) -> Ref:
    """Return the ``ref`` of a refused frame, if it can be decoded."""
    try:
        return _referred.decode(data).ref
    except (ValueError, RecursionError):
        return None
