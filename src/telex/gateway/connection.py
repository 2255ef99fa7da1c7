"""One client's WebSocket: the shell that does what the protocol decided.

Every connection owns its tasks: one reads, one writes, one watches for silence, and one follows each subscription.
They end together, for the first reason that any of them finds, and nothing outlives `Connection.run`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from telex.errors import BadName, BadOption, BufferFull, Closed, ContentError, Timeout, WouldBlock
from telex.gateway.auth import Visitor
from telex.gateway.errors import CloseCode, Refused
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
from telex.message import Lost

if TYPE_CHECKING:
    from telex.gateway.app import Gateway
    from telex.gateway.limits import Limits
    from telex.subscription import ReportingSubscription

log: logging.Logger = logging.getLogger("telex.gateway")


class Connection:
    """A client that was let in. ``await run()`` lives as long as the connection does."""

    def __init__(self, gateway: Gateway, websocket: WebSocket, visitor: Visitor) -> None:
        self.gateway = gateway
        self.visitor = visitor
        self.limits: Limits = gateway.limits
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._session = Session(self.limits, self._loop.time())
        self._outbox = Outbox(self.limits.outbox_bytes)
        self._over: asyncio.Future[Close | None] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve the client until it leaves, breaks a bound, or the gateway closes."""
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
        finally:
            self.visitor.gone()
        if close is not None:
            self.gateway.note_closed(close.code)
            await self._close(close)

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
        self._send(msgspec.json.encode(frame).decode())

    def _send(self, frame: str) -> None:
        if not self._over.done() and not self._outbox.put(frame):
            self._slow()

    def _slow(self) -> None:
        self.end(CloseCode.SLOW, "too slow: connect again and go on from your position")

    # -- doing

    async def _answer(self, request: Request) -> None:
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                answer = await self._do(request)
        except Refused as error:
            answer = refusal(error, request.ref)
        except (ContentError, TypeError) as error:
            answer = Error("bad_content", str(error), ref=request.ref)
        except BadName as error:
            answer = Error("bad_name", str(error), ref=request.ref)
        except BadOption as error:
            answer = Error("bad_option", str(error), ref=request.ref)
        except (Timeout, TimeoutError):
            answer = Error("timeout", "the server took too long; send it again", 1.0, request.ref)
        except (Closed, BufferFull, WouldBlock) as error:
            answer = Error("unavailable", str(error), 1.0, request.ref)
        if answer is not None:
            self._say(answer)

    async def _do(self, request: Request) -> Frame | None:
        match request:
            case Publish(topic, content, id, headers):
                content = self.visitor.publish(topic, content)
                message = await self.gateway.hub.topic(topic).publish(content, id=id, headers=headers)
                return Published(topic, message.id, message.seq, request.ref)
            case Subscribe():
                await self._subscribe(request)
                return None
            case Unsubscribe(topic):
                self._followers[topic].cancel()
                await asyncio.wait([self._followers[topic]])
                return Unsubscribed(topic, request.ref)
            case ListTopics(pattern):
                return TopicList(
                    [t for t in await self.gateway.hub.topics(pattern) if self.visitor.sees(t)], request.ref
                )
            case Call(name, content):
                return Result(await self.visitor.call(name, content), request.ref)
            case Ping():
                return Pong(request.ref)

    # -- following

    async def _subscribe(self, request: Subscribe) -> None:
        topic = request.topic
        try:
            self.visitor.subscribe(topic)
            subscription = self.gateway.hub.topic(topic).subscribe(
                start=parse_since(request.since), overflow="catch_up", report_lost=True
            )
        except BaseException:
            self._session.leave(topic)
            raise
        # The next frame waits until the log was joined, so that what this client publishes next is not missed by it.
        joined = self._loop.create_future()
        self._followers[topic] = self._own(self._follow(request, subscription, joined))
        await joined

    async def _follow(
        self, request: Subscribe, subscription: ReportingSubscription[Any], joined: asyncio.Future[None]
    ) -> None:
        topic = request.topic
        try:
            async with subscription:
                self._say(Subscribed(topic, str(subscription.position), subscription.waiting, request.ref))
                joined.set_result(None)
                await self._deliver(topic, subscription)
            self._say(Ended(topic))
        except Closed as error:
            self._say(Error("unavailable", str(error), 1.0, request.ref))
        finally:
            self._session.leave(topic)
            self._followers.pop(topic, None)
            if not joined.done():
                joined.set_result(None)

    async def _deliver(self, topic: str, subscription: ReportingSubscription[Any]) -> None:
        caught_up = False
        async for batch in subscription.batches(self.limits.batch):
            position = subscription.position
            first = batch[0]
            if isinstance(first, Lost):
                self._say(LostFrame(topic, str(position), first.count, first.first, first.last, first.reason))
                continue
            frames = self.gateway.feed.frames(topic, position, batch, keep=caught_up)  # type: ignore[arg-type]
            for frame in frames:
                if not caught_up:
                    # What was missed is read at the client's pace; from then on it keeps pace or is closed as slow.
                    await self._outbox.drained()
                self._send(frame)
            caught_up = caught_up or not subscription.waiting
