"""One client's WebSocket: the shell that does what the protocol decided.

Every connection owns its tasks: one reads, one writes, one watches for silence, and one follows each subscription.
They end together, for the first reason that any of them finds, and nothing outlives `Connection.run`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from telex.codec.content import to_json
from telex.errors import BadName, BadOption, ContentError, Timeout
from telex.gateway.auth import Authorizer
from telex.gateway.errors import UNAVAILABLE, CloseCode, Refused, mistaken, unavailable
from telex.gateway.frame_cache import FrameCache
from telex.gateway.hooks import HookFailed, ask
from telex.gateway.limits import Limits
from telex.gateway.outbox import Outbox
from telex.gateway.protocol import (
    VERSION,
    Call,
    Close,
    Ended,
    Error,
    Frame,
    Hello,
    ListTopics,
    LostFrame,
    Ping,
    Pong,
    Publish,
    Published,
    Request,
    Result,
    Session,
    Subscribe,
    Subscribed,
    TopicList,
    Unsubscribe,
    Unsubscribed,
    parse_since,
    refusal,
)
from telex.gateway.topic_quota import TopicQuota
from telex.message import Lost

if TYPE_CHECKING:
    from telex.topics.subscription import ReportingSubscription

log: logging.Logger = logging.getLogger("telex.gateway")
FIRST = 8
"""Messages that are read at first for a client that catches up, before it is known how large they are."""


class Connection:
    """A client that was let in. ``await run()`` lives as long as the connection does."""

    def __init__(
        self, websocket: WebSocket, authorizer: Authorizer, limits: Limits, frame_cache: FrameCache, quota: TopicQuota
    ) -> None:
        self.authorizer = authorizer
        self.limits = limits
        self._websocket = websocket
        self._frame_cache = frame_cache
        self._quota = quota
        self._loop = asyncio.get_running_loop()
        self._session = Session(self.limits, self._loop.time())
        self._outbox = Outbox(self.limits.outbox_bytes)
        self._over: asyncio.Future[Close | None] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()  # of the subscription that catches up
        self._takes_key = "key" in inspect.signature(authorizer.call).parameters

    async def run(self) -> CloseCode | None:
        """Serve the client until it leaves, exceeds a limit, or `end` is called. Return the code that the connection
        was closed with, or None when the client left."""
        close: Close | None = Close(CloseCode.FAULT, "the server failed")
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._say(Hello(VERSION, self.limits.frame_bytes))
                for work in (self._write(), self._read(), self._watch()):
                    self._own(work)
                close = await self._over
                for task in self._tasks:
                    task.cancel()
        except* Exception as errors:  # the client is told of a fault, the log of which one
            for error in errors.exceptions:
                log.error("a connection failed", exc_info=error)
        if close is None:
            return None
        await self._close(close)
        return close.code

    def end(self, code: CloseCode, reason: str) -> None:
        """End the connection, for the first reason given."""
        self._finish(Close(code, reason))

    # -- tasks

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _finish(self, close: Close | None) -> None:
        """End it, for the first reason given; None when the client has left, and there is nobody to tell."""
        if not self._over.done():
            self._over.set_result(close)

    async def _read(self) -> None:
        while not self._over.done():
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._finish(None)
                return
            data = message.get("text")
            decision = self._session.receive(message["bytes"] if data is None else data, self._loop.time())
            if isinstance(decision, Close):
                self._finish(decision)
            elif isinstance(decision, Error):
                self._say(decision)
            else:
                await self._answer(decision)

    async def _write(self) -> None:
        while True:
            frame = await self._outbox.take()
            try:
                async with asyncio.timeout(self.limits.write_timeout):
                    await self._websocket.send({"type": "websocket.send", "text": frame})
            except TimeoutError:
                self._slow()
                return
            except (WebSocketDisconnect, RuntimeError, OSError):
                self._finish(None)  # the client went while this was sent
                return
            self._outbox.sent()

    async def _watch(self) -> None:
        while (wait := self._session.idle(self._loop.time())) > 0:  # noqa: ASYNC110  # a moment is waited for, not a fact
            await asyncio.sleep(wait)
        self.end(CloseCode.IDLE, f"nothing was subscribed to and nothing said for {self.limits.idle:g} s")

    async def _close(self, close: Close) -> None:
        # What still waits is not sent: the client goes on from its positions. A client that takes nothing does not take
        # the close frame either, and is then cut off by the server when this returns.
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
            async with asyncio.timeout(self.limits.close_timeout):
                await self._websocket.send(
                    {"type": "websocket.close", "code": int(close.code), "reason": close.reason[:120]}
                )

    # -- saying

    def _say(self, frame: Frame) -> None:
        self._send(to_json(frame).decode())

    def _send(self, frame: str) -> None:
        if not self._over.done() and not self._outbox.put(frame):
            self._slow()

    def _slow(self) -> None:
        self.end(CloseCode.SLOW, "too slow: connect again and go on from your position")

    # -- doing

    async def _answer(self, request: Request) -> None:
        ref = request.ref
        limit = self.limits.command_timeout if isinstance(request, Call) else self.limits.operation_timeout
        try:
            async with asyncio.timeout(limit):
                answer = await self._do(request)
            if answer is not None:
                self._say(answer)
        except Refused as error:
            self._say(refusal(error, ref))
        except (ContentError, BadName, BadOption) as error:
            self._say(refusal(mistaken(error), ref))
        except (Timeout, TimeoutError):
            self._say(Error("timeout", "the server took too long; send it again", 1.0, ref))
        except UNAVAILABLE as error:
            self._say(refusal(unavailable(error), ref))
        except Exception as error:  # a fault of the application's, or of telex: one frame fails, and the log says why
            fault = error.__cause__ if isinstance(error, HookFailed) else error
            log.error("a frame %r failed: %s", type(request).__name__.lower(), error, exc_info=fault)
            self._say(Error("failed", "the server failed at this; its log says why", ref=ref))

    async def _do(self, request: Request) -> Frame | None:
        match request:
            case Publish():
                return await self._publish(request)
            case Subscribe():
                await self._subscribe(request)
                return None
            case Unsubscribe(topic):
                await self._leave(topic)
                return Unsubscribed(topic, request.ref)
            case ListTopics(pattern):
                found = await self.authorizer.hub.topics(pattern)
                return TopicList([t for t in found if await ask(self.authorizer.sees, t)], request.ref)
            case Call(name, content, key):
                named = {"key": key} if self._takes_key else {}
                result = await ask(self.authorizer.call, name, content, **named)
                await self._judge_all()
                return Result(result, request.ref)
            case Ping():
                return Pong(request.ref)

    async def _publish(self, request: Publish) -> Published:
        topic, headers = request.topic, request.headers
        content = await ask(self.authorizer.publish, topic, request.content)
        if headers:
            headers = await ask(self.authorizer.headers, topic, headers)
        await self._quota.take(topic)
        message = await self.authorizer.hub.topic(topic).publish(content, id=request.id, headers=headers)
        return Published(topic, message.id, message.seq, request.ref)

    # -- following

    async def _subscribe(self, request: Subscribe) -> None:
        topic = request.topic
        try:
            await ask(self.authorizer.subscribe, topic)
            subscription = self.authorizer.hub.topic(topic).subscribe(
                start=parse_since(request.since), overflow="catch_up", report_lost=True
            )
        except BaseException:
            self._session.leave(topic)
            raise
        # The next frame waits until the log was joined, so that what this client publishes next is not missed by it.
        joined = self._loop.create_future()
        self._followers[topic] = self._own(self._follow(request, subscription, joined))
        await joined

    async def _leave(self, topic: str) -> None:
        follower = self._followers.get(topic)
        if follower is not None:
            follower.cancel()
            await asyncio.wait([follower])

    async def _follow(
        self, request: Subscribe, subscription: ReportingSubscription[Any], joined: asyncio.Future[None]
    ) -> None:
        topic = request.topic
        try:
            async with subscription:
                self._say(Subscribed(topic, str(subscription.position), subscription.waiting, request.ref))
                joined.set_result(None)
                await self._catch_up(topic, subscription)
                async for batch in subscription.batches(self.limits.batch):
                    if not await self._may_read(topic):
                        break
                    for frame in self._frames(topic, subscription, batch, keep=True):
                        self._send(frame)
            self._say(Ended(topic))
        except UNAVAILABLE as error:
            self._say(refusal(unavailable(error), request.ref))
            if joined.done():
                self._say(Ended(topic))
        finally:
            self._session.leave(topic)
            self._followers.pop(topic, None)
            if not joined.done():
                joined.set_result(None)

    async def _catch_up(self, topic: str, subscription: ReportingSubscription[Any]) -> None:
        """Send what was missed, at the client's pace. One subscription of the connection does this at a time, with one
        frame at a time, so that many subscriptions hold no more than one."""
        limit = FIRST
        while subscription.waiting:
            async with self._turn:
                await self._outbox.drained()
                batch = await subscription.receive_many(limit)
                size = 0
                for frame in self._frames(topic, subscription, batch, keep=False):
                    await self._outbox.drained()
                    if not await self._may_read(topic):
                        return
                    self._send(frame)
                    size += len(frame)
                # The messages of a batch are held while it is sent: about as many as may wait.
                limit = max(1, min(self.limits.batch, self.limits.outbox_bytes * len(batch) // max(1, size)))

    def _frames(
        self, topic: str, subscription: ReportingSubscription[Any], batch: Sequence[Any], *, keep: bool
    ) -> Iterable[str]:
        position, first = subscription.position, batch[0]
        if isinstance(first, Lost):
            told = LostFrame(topic, str(position), first.count, first.first, first.last, first.reason)
            return (to_json(told).decode(),)
        return self._frame_cache.frames(topic, position, batch, keep=keep)

    async def _may_read(self, topic: str) -> bool:
        """Whether the client may still follow a topic. What its rules say never changes, so they are asked once."""
        if not self.authorizer.judges:
            return True
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                await ask(self.authorizer.subscribe, topic)
        except Refused:
            return False
        except (HookFailed, Timeout, TimeoutError, *UNAVAILABLE) as error:
            log.error("a subscription to %r ended: whether it may go on is not known: %s", topic, error, exc_info=error)
            return False
        return True

    async def _judge_all(self) -> None:
        """End the subscriptions that a call has taken the permission from, before its answer is sent."""
        for topic in list(self._followers):
            if not await self._may_read(topic):
                await self._leave(topic)
                self._say(Ended(topic))
