"""`Connection`: the WebSocket of one client, and the tasks that serve it.

A connection has a task that reads, one that writes, one that closes an idle connection, and one for each subscription.
The first reason to end, from any task, ends all tasks, and all have ended when `Connection.run` returns.
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
from telex.gateway.auth import Authorizer
from telex.gateway.errors import ANSWERED, UNAVAILABLE, CloseCode, Refused, refusal_for
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
from telex.hub import dispatcher_of
from telex.message import Lost
from telex.observe.inbound import carry
from telex.topics.subscription import receive_waiting

if TYPE_CHECKING:
    from telex.topics.subscription import ReportingSubscription

log: logging.Logger = logging.getLogger("telex.gateway")
FIRST_MESSAGES = 8
"""The size of the first batch for a client that catches up, before the size of its messages is known."""


class Connection:
    """The connection of a client after its handshake. `run` serves it."""

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
        self._turn = asyncio.Lock()  # held by the subscription that catches up
        self._takes_key = "key" in inspect.signature(authorizer.call).parameters

    async def run(self) -> CloseCode | None:
        """Serve the client until it leaves, exceeds a limit, or `end` is called. Return the code that the connection
        was closed with, or None when the client left."""
        close: Close | None = Close(CloseCode.FAULT, "the server failed")
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._send(Hello(VERSION, self.limits.frame_bytes))
                for work in (self._write(), self._read(), self._watch()):
                    self._start(work)
                close = await self._over
                for task in self._tasks:
                    task.cancel()
        except* Exception as errors:  # the client gets the code FAULT, the log gets the cause
            for error in errors.exceptions:
                log.error("a connection failed", exc_info=error)
        if close is None:
            return None
        await self._close(close)
        return close.code

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection. The first call sets the code and the reason."""
        self._finish(Close(code, reason))

    # -- tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _finish(self, close: Close | None) -> None:
        """End the connection. The first call sets ``close``; None when the client has gone, and there is nothing to
        send.
        """
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
                self._send(decision)
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
                self._finish(None)  # the client has gone
                return
            self._outbox.sent()

    async def _watch(self) -> None:
        # it waits for a time, not for a condition
        while (wait := self._session.idle(self._loop.time())) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)
        self.end(CloseCode.IDLE, f"no subscription and no frame for {self.limits.idle:g} s")

    async def _close(self, close: Close) -> None:
        # The frames in the outbox are not sent: the client continues from its positions. A client that reads nothing
        # does not read the close frame either; the server then closes its socket when this returns.
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
            async with asyncio.timeout(self.limits.close_timeout):
                await self._websocket.send(
                    {"type": "websocket.close", "code": int(close.code), "reason": close.reason[:120]}
                )

    # -- sending

    def _send(self, frame: Frame) -> None:
        self._enqueue(to_json(frame).decode())

    def _enqueue(self, frame: str) -> None:
        if not self._over.done() and not self._outbox.put(frame):
            self._slow()

    def _slow(self) -> None:
        self.end(CloseCode.SLOW, "too slow: connect again and continue from your position")

    # -- requests

    async def _answer(self, request: Request) -> None:
        ref = request.ref
        limit = self.limits.command_timeout if isinstance(request, Call) else self.limits.operation_timeout
        try:
            async with asyncio.timeout(limit):
                answer = await self._do(request)
            if answer is not None:
                self._send(answer)
        except ANSWERED as error:
            self._send(refusal(refusal_for(error), ref))
        except Exception as error:  # a fault of the application or of telex fails this frame only
            fault = error.__cause__ if isinstance(error, HookFailed) else error
            log.error("a frame %r failed: %s", type(request).__name__.lower(), error, exc_info=fault)
            self._send(Error("failed", "the server failed at this frame; the cause is in its log", ref=ref))

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
                with carry(self.authorizer.hub, request.headers):
                    result = await ask(self.authorizer.call, name, content, **named)
                await self._recheck_permissions()
                return Result(result, request.ref)
            case Ping():
                return Pong(request.ref)

    async def _publish(self, request: Publish) -> Published:
        topic, headers = request.topic, request.headers
        content = await ask(self.authorizer.publish, topic, request.content)
        if headers:
            headers = await ask(self.authorizer.headers, topic, headers)
        await self._quota.take(topic)
        to = self.authorizer.hub.topic(topic)
        message = await to.publish(content, id=request.id, headers=headers, ttl=request.ttl)
        return Published(topic, message.id, message.seq, request.ref)

    # -- subscriptions

    async def _subscribe(self, request: Subscribe) -> None:
        topic = request.topic
        try:
            await ask(self.authorizer.subscribe, topic)
            if topic.startswith("$stream:"):
                await dispatcher_of(self.authorizer.hub).check_stream(topic)
            subscription = self.authorizer.hub.topic(topic).subscribe(
                start=parse_since(request.since), overflow="catch_up", report_lost=True
            )
            # The next frame is read after the subscription has begun, so that the subscription gets messages that the
            # client publishes next.
            joined = asyncio.Event()
            self._followers[topic] = self._start(self._follow(request, subscription, joined))
            await joined.wait()
        except BaseException:
            await self._leave(topic)
            self._session.leave(topic)
            raise

    async def _leave(self, topic: str) -> None:
        follower = self._followers.get(topic)
        if follower is not None:
            follower.cancel()
            await asyncio.wait([follower])

    async def _follow(
        self, request: Subscribe, subscription: ReportingSubscription[Any], joined: asyncio.Event
    ) -> None:
        topic = request.topic
        try:
            async with subscription:
                self._send(Subscribed(topic, str(subscription.position), subscription.waiting, request.ref))
                joined.set()
                if await self._catch_up(topic, subscription):
                    async for batch in subscription.batches(self.limits.batch):
                        if not await self._may_read(topic):
                            break
                        for frame in self._frames(topic, subscription, batch, keep=True):
                            self._enqueue(frame)
            self._send(Ended(topic))
        except UNAVAILABLE as error:
            self._send(refusal(refusal_for(error), request.ref))
            if joined.is_set():
                self._send(Ended(topic))
        finally:
            self._session.leave(topic)
            self._followers.pop(topic, None)
            joined.set()

    async def _catch_up(self, topic: str, subscription: ReportingSubscription[Any]) -> bool:
        """Send the missed messages as fast as the client reads. Return false when the client has lost the permission.

        One subscription of the connection at a time does this, with one frame at a time, so that many subscriptions
        hold one frame in memory.
        """
        limit = FIRST_MESSAGES
        while subscription.waiting:
            async with self._turn:
                await self._outbox.drained()
                batch = await receive_waiting(subscription, limit)
                if not batch:
                    break
                size = 0
                for frame in self._frames(topic, subscription, batch, keep=False):
                    await self._outbox.drained()
                    if not await self._may_read(topic):
                        return False
                    self._enqueue(frame)
                    size += len(frame)
                # The messages of a batch stay in memory while the batch is sent: about as many bytes as the outbox may
                # hold.
                limit = max(1, min(self.limits.batch, self.limits.outbox_bytes * len(batch) // max(1, size)))
        return True

    def _frames(
        self, topic: str, subscription: ReportingSubscription[Any], batch: Sequence[Any], *, keep: bool
    ) -> Iterable[str]:
        position, first = subscription.position, batch[0]
        if isinstance(first, Lost):
            lost = LostFrame(topic, str(position), first.count, first.first, first.last, first.reason)
            return (to_json(lost).decode(),)
        return self._frame_cache.frames(topic, position, batch, keep=keep)

    async def _may_read(self, topic: str) -> bool:
        """Return true while the client may follow a topic. Rules never change, so only overridden methods are called
        again.
        """
        if not self.authorizer.judges:
            return True
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                await ask(self.authorizer.subscribe, topic)
        except Refused:
            return False
        except (HookFailed, TimeoutError, *UNAVAILABLE) as error:
            log.error("a subscription to %r ended because its authorizer failed: %s", topic, error, exc_info=error)
            return False
        return True

    async def _recheck_permissions(self) -> None:
        """End the subscriptions for which the client has lost the permission by a call, before the answer to the call
        is sent.
        """
        for topic in list(self._followers):
            if not await self._may_read(topic) and topic in self._followers:
                await self._leave(topic)
                self._send(Ended(topic))
