"""The protocol of the gateway's WebSocket: text in, decisions out. No I/O, no clock, no hub.

A frame is one JSON object; ``op`` says which. A client may put a ``ref`` (a number or a text) into a frame, and the
answer carries it.

==================================================  ===========================================================
a client sends                                      and gets
==================================================  ===========================================================
``publish`` topic, content, id?, headers?           ``published`` topic, id, seq
``subscribe`` topic (or pattern), since?            ``subscribed`` topic, position, waiting; then ``messages``, ``lost``
``unsubscribe`` topic                               ``unsubscribed`` topic
``topics`` pattern?                                 ``topics`` topics
``call`` name, content?, key?                       ``result`` content
``ping``                                            ``pong``
==================================================  ===========================================================

``since`` is a position (``"epoch:seq"``), a number of messages back, a length of time back (``"10m"``),
``"earliest"`` or ``"new"`` (the default). ``messages`` carries the position after its last message; a client that
comes back names it and gets what it missed. What it cannot get is told by ``lost``, in its place. A subscription that
ends says ``ended``: its topic was removed, or the client may not follow it any longer.

What is refused comes as ``error`` with a ``code``, a ``problem`` in words and, if the same frame may be sent again
later, ``retry_after`` in seconds. The codes:

==================  ===============================================================================
``malformed``       not JSON, not an object, no known ``op``, a field that is missing or of a wrong type
``bad_name``        a topic id, a pattern or a name that breaks the rules
``bad_option``      a value that cannot be: a position that is none, a negative number
``bad_content``     content that the topic does not take
``forbidden``       the rules do not allow it
``rate``            too many frames; has ``retry_after``
``limit``           too many subscriptions, or too many topics
``subscribed``      this connection follows that topic already
``unsubscribed``    it does not
``unknown_call``    nobody serves a call of that name
``key_conflict``    a command with this key has other content
``in_progress``     a command with this key runs already; has ``retry_after``
``command_failed``  the command has failed; ``data`` has its ``code``, and what its handler gave
``failed``          the server failed at this frame, and its log says why
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
from telex.gateway.errors import CloseCode, Refused, mistaken
from telex.gateway.limits import Limits, TokenBucket
from telex.log.start import Start
from telex.message import Position
from telex.names import check_pattern, check_topic

VERSION = 1
Ref = int | str | None


class Frame(msgspec.Struct, frozen=True, tag_field="op", omit_defaults=True):
    """A frame of either side."""


class Publish(Frame, frozen=True, tag="publish"):
    """Append a message to a topic. The same ``id`` again stores nothing and is answered as the first time."""

    topic: str
    content: Any
    id: str | None = None
    headers: dict[str, str] | None = None
    ref: Ref = None


class Subscribe(Frame, frozen=True, tag="subscribe"):
    """Follow a topic or a pattern."""

    topic: str
    since: str | int = "new"
    ref: Ref = None


class Unsubscribe(Frame, frozen=True, tag="unsubscribe"):
    """Follow it no longer."""

    topic: str
    ref: Ref = None


class ListTopics(Frame, frozen=True, tag="topics"):
    """Which topics are there, of those that this client may follow."""

    pattern: str = ">"
    ref: Ref = None


class Call(Frame, frozen=True, tag="call"):
    """Send a command, or ask the application that the gateway belongs to for something. ``key`` makes repeats of a
    command one."""

    name: str
    content: Any = None
    key: str | None = None
    ref: Ref = None


class Ping(Frame, frozen=True, tag="ping"):
    """Is anybody there."""

    ref: Ref = None


Request = Publish | Subscribe | Unsubscribe | ListTopics | Call | Ping


class Hello(Frame, frozen=True, tag="hello", omit_defaults=False):
    """The first frame of a connection."""

    version: int
    frame_bytes: int


class Published(Frame, frozen=True, tag="published"):
    """The engine has the message."""

    topic: str
    id: str
    seq: int
    ref: Ref = None


class Subscribed(Frame, frozen=True, tag="subscribed"):
    """What comes after ``position`` will be sent; ``waiting`` messages of that are there already."""

    topic: str
    position: str
    waiting: int = 0
    ref: Ref = None


class Unsubscribed(Frame, frozen=True, tag="unsubscribed"):
    """Nothing more of this topic will be sent."""

    topic: str
    ref: Ref = None


class Messages(Frame, frozen=True, tag="messages"):
    """Messages in order, and the position after the last; ``topic`` is what was subscribed to."""

    topic: str
    position: str
    messages: list[dict[str, Any]]


class LostFrame(Frame, frozen=True, tag="lost", omit_defaults=False):
    """A hole: ``count`` messages, numbers ``first`` to ``last``, that this client will not get, and why."""

    topic: str
    position: str
    count: int
    first: int
    last: int
    reason: str


class Ended(Frame, frozen=True, tag="ended"):
    """The subscription is over: its topic was removed, the server's hub was closed, its engine failed, or the client
    may not follow it any longer."""

    topic: str


class TopicList(Frame, frozen=True, tag="topics"):
    """The answer to ``topics``."""

    topics: list[str]
    ref: Ref = None


class Result(Frame, frozen=True, tag="result"):
    """The answer to ``call``."""

    content: Any = None
    ref: Ref = None


class Pong(Frame, frozen=True, tag="pong"):
    """The answer to ``ping``."""

    ref: Ref = None


class Error(Frame, frozen=True, tag="error"):
    """A frame was refused; the table above says what ``code`` may be."""

    code: str
    problem: str
    retry_after: float | None = None
    ref: Ref = None
    data: Any = None


Reply = Hello | Published | Subscribed | Unsubscribed | Messages | LostFrame | Ended | TopicList | Result | Pong | Error


class Close(msgspec.Struct, frozen=True):
    """Decision: the connection ends, with this code and reason."""

    code: CloseCode
    reason: str


class _Referred(msgspec.Struct):
    ref: Ref = None


_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_referred = msgspec.json.Decoder(_Referred)


def decode_reply(data: str | bytes) -> Reply:
    """A server's frame. Raises `ValueError` when it is none: the other side speaks something else."""
    return _replies.decode(data)


def refusal(error: Refused, ref: Ref) -> Error:
    """The frame that tells a refusal."""
    retry_after = None if error.retry_after is None else round(error.retry_after, 3)
    return Error(error.code, error.problem, retry_after, ref, error.data)


class Session:
    """One connection's side of the protocol. It decides; who holds it does what was decided.

    Invariant: `subscriptions` are the topics that were asked for and neither left nor ended.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.subscriptions: set[str] = set()
        self.last_heard: float = now
        self._bucket = TokenBucket(limits.rate, limits.burst, now)
        self._unreadable = 0
        self._hasty = 0

    def receive(self, data: str | bytes, now: float) -> Request | Error | Close:
        """What a client sent, at ``now``: a request to carry out, a refusal to send, or the end of the connection."""
        if isinstance(data, bytes):
            return Close(CloseCode.BINARY, "frames are JSON text, and a binary one came")
        # A character is at least a byte, so most texts need not be encoded to know that they fit.
        if len(data) > self.limits.frame_bytes or (
            len(data) * 4 > self.limits.frame_bytes and len(data.encode("utf-8", "replace")) > self.limits.frame_bytes
        ):
            return Close(CloseCode.TOO_LARGE, f"a frame is at most {self.limits.frame_bytes} bytes")
        self.last_heard = now
        wait = self._bucket.take(now)
        if wait:
            return self._too_fast(data, wait)
        self._hasty = 0
        try:
            request = _read(data)
            self._check(request)
        except Refused as error:
            return self._refused(data, error)
        self._unreadable = 0
        return request

    def leave(self, topic: str) -> None:
        """A subscription is over."""
        self.subscriptions.discard(topic)

    def idle(self, now: float) -> float:
        """Seconds until a connection that follows nothing has been silent for too long; not positive when it has."""
        return self.limits.idle if self.subscriptions else self.last_heard + self.limits.idle - now

    def _too_fast(self, data: str, wait: float) -> Error | Close:
        self._hasty += 1
        if self._hasty >= self.limits.strikes:
            return Close(CloseCode.FLOOD, f"{self._hasty} frames were sent in spite of retry_after")
        problem = f"at most {self.limits.rate:g} frames a second, {self.limits.burst} at once; send it again later"
        return refusal(Refused("rate", problem, wait), _ref(data))

    def _refused(self, data: str, error: Refused) -> Error | Close:
        if error.code == "malformed":
            self._unreadable += 1
            if self._unreadable >= self.limits.strikes:
                return Close(CloseCode.MALFORMED, f"{self._unreadable} frames in a row could not be read")
        return refusal(error, _ref(data))

    def _check(self, request: Request) -> None:
        """Names and numbers are what they have to be; a subscription is noted."""
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
            raise mistaken(error) from None

    def _join(self, topic: str) -> None:
        if topic in self.subscriptions:
            raise Refused("subscribed", f"this connection follows {topic!r} already; unsubscribe first to start anew")
        if len(self.subscriptions) >= self.limits.subscriptions:
            raise Refused("limit", f"a connection follows at most {self.limits.subscriptions} topics")
        self.subscriptions.add(topic)


def parse_since(since: str | int) -> Start:
    """Where a subscription starts, as ``topic.subscribe(start=)`` takes it. Raises `BadOption`."""
    if since == "new" or since == "earliest":
        return since  # type: ignore[return-value]  # mypy does not narrow str by == with a literal
    if isinstance(since, int):
        if since < 0:
            raise BadOption("since", since, "a number says how many messages back, so it is not negative")
        return since
    if ":" in since:
        return Position.parse(since)
    try:
        return timedelta(seconds=seconds(since, "since"))
    except (BadOption, OverflowError):
        mend = "give 'new', 'earliest', a position 'epoch:seq', a number of messages back, or a time back such as '10m'"
        raise BadOption("since", since, mend) from None


def _read(data: str) -> Request:
    try:
        return _requests.decode(data)
    except msgspec.ValidationError as error:
        raise Refused("malformed", f"not a frame of this protocol: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", f"a frame is one JSON object: {error}") from None


def _ref(data: str) -> Ref:
    """The ``ref`` of a frame that was refused, if it can be found."""
    try:
        return _referred.decode(data).ref
    except (ValueError, RecursionError):
        return None
