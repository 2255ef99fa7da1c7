"""Uvicorn's protocols with the bounds that an app cannot set, since ASGI never shows it what they bound: half a
request, ping frames, and what is buffered for a client that reads nothing. `uvicorn_options` puts them in."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from telex.gateway.limits import DEFAULT_LIMITS, Limits, TokenBucket

GRACEFUL = 3
"""Seconds that requests in flight are given when the server ends."""
SLICE = 4096
"""Bytes that are read from a WebSocket in one turn of the event loop: at most some 700 frames."""
LOOKS = 10
SLOWEST = 1024
MOST_PARTS = 1024
"""Frames that one message may come in."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def uvicorn_options(limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Options for ``uvicorn.run(app, **uvicorn_options())``, with which every connection of the server is bounded.

    ``limits`` are those of the gateway that the app holds. The names of proxies' headers are not believed; give
    ``proxy_headers=True`` and ``forwarded_allow_ips`` to change that.
    """
    arrivals = Arrivals(limits)
    return {
        "http": partial(BoundedHttp, arrivals),
        "ws": partial(BoundedWebSocket, limits),
        "ws_max_size": limits.frame_bytes,
        # A batch is encoded once for all clients; compressing it would be done again for each.
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": GRACEFUL,
        "proxy_headers": False,
    }


class Arrivals:
    """The connections of a server whose request's head has not come yet, the oldest first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting: dict[BoundedHttp, None] = {}

    def add(self, connection: BoundedHttp) -> None:
        """A connection is made, or waits for the next request. One too many closes the oldest."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None
        if len(self._waiting) > self.limits.handshakes:
            next(iter(self._waiting)).cut_off()

    def discard(self, connection: BoundedHttp) -> None:
        """Its head has come, or it is gone."""
        self._waiting.pop(connection, None)


class Stalled:
    """Aborts a connection whose client takes too little of what is buffered for it: for ``seconds``, in no tenth of
    them `SLOWEST` bytes a second, nor enough for the server to write on."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._left = 0
        self._looks = 0  # in a row that saw too little taken
        self._taken = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def taken(self) -> None:
        """The buffer became short enough to write on."""
        self._taken = True

    def close(self) -> None:
        """The connection is gone."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._transport.get_write_buffer_size()
        wait = self._seconds / LOOKS
        if not left or self._taken or left <= self._left - SLOWEST * wait:
            self._looks = 0
        else:
            self._looks += 1
        self._left, self._taken = left, False
        if self._looks > LOOKS:
            self._transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(wait if left else self._seconds, self._look)


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, with bounds on the head of a request in time, bytes and number, and on a client that does
    not take its answers."""

    def __init__(self, arrivals: Arrivals, **options: Any) -> None:
        super().__init__(**options)
        self._arrivals = arrivals
        self._limits = arrivals.limits
        self._head = 0  # bytes of a head that is not complete
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: Stalled | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._stalled = Stalled(transport, self._limits.write_timeout)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._timer is not None:
            self._head += len(data)
        super().data_received(data)
        if self._timer is not None and self._head > self._limits.head_bytes and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.cut_off(at_once=False)

    def resume_writing(self) -> None:
        """The client takes what is sent again."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.taken()

    def on_headers_complete(self) -> None:
        """The parser has read a head."""
        self._head_came()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The answer is sent, and the next request may come."""
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._expect_head()

    def handle_websocket_upgrade(self) -> None:
        """The connection goes on under another protocol."""
        self._let_go()
        super().handle_websocket_upgrade()

    def cut_off(self, *, at_once: bool = True) -> None:
        """End the connection: at once, or when what was written is taken."""
        self._head_came()
        if at_once:
            self.transport.abort()
        else:
            self.transport.close()

    def _expect_head(self) -> None:
        self._head_came()
        self._arrivals.add(self)
        self._timer = asyncio.get_running_loop().call_later(self._limits.head_timeout, self.cut_off)

    def _head_came(self) -> None:
        self._head = 0
        self._arrivals.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_go(self) -> None:
        self._head_came()
        if self._stalled is not None:
            self._stalled.close()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket. Nothing is read from a client while it does not take what is sent to it, control frames are
    read at a bounded rate, and what came at once is read in slices, between which others have their turn."""

    def __init__(self, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._bucket = TokenBucket(limits.control_rate, limits.burst, asyncio.get_running_loop().time())
        self._patience: asyncio.TimerHandle | None = None
        self._stalled: Stalled | None = None
        self._unread = bytearray()  # came, and is read later
        self._feeding = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._stalled = Stalled(cast("asyncio.Transport", transport), self._limits.write_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self._unread.clear()
        if self._stalled is not None:
            self._stalled.close()
        if self._patience is not None:
            self._patience.cancel()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._unread += data
        if not self._feeding:
            self._feed()

    def resume_writing(self) -> None:
        """The client takes what is sent again."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.taken()
        self._read_on()

    async def receive(self) -> Any:
        """The next message for the app."""
        message = await super().receive()
        self._read_on()
        return message

    def handle_ping(self) -> None:
        """A ping is answered, and counts."""
        super().handle_ping()
        self._count()

    def handle_pong(self, event: Frame) -> None:
        """A pong counts."""
        super().handle_pong(event)
        self._count()

    def handle_cont(self, event: Frame) -> None:
        """A part of a message counts."""
        super().handle_cont(event)
        self._count()
        if len(self.frames) > MOST_PARTS:
            self.frames: list[bytes] = []
            self.transport.abort()

    def _count(self) -> None:
        wait = self._bucket.owe(asyncio.get_running_loop().time())
        if not wait:
            return
        if self._patience is None:
            self._hold()
        else:
            self._patience.cancel()
        self._patience = asyncio.get_running_loop().call_later(wait, self._rested)

    def _hold(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def _rested(self) -> None:
        self._patience = None
        self._read_on()

    def _may_read(self) -> bool:
        return self.writable.is_set() and self._patience is None

    def _read_on(self) -> None:
        """Go on reading, as far as the client may: what came first, then what comes."""
        if self.transport.is_closing():
            return
        if not self._may_read():
            self._hold()
        elif self._unread:
            self._hold()
            self._feed_later()
        elif not self.read_paused:
            self.transport.resume_reading()

    def _feed_later(self) -> None:
        if not self._feeding:
            self._feeding = True
            asyncio.get_running_loop().call_soon(self._feed)

    def _feed(self) -> None:
        self._feeding = False
        if self.transport.is_closing():
            self._unread.clear()
            return
        if self._may_read() and not self.read_paused:
            part = bytes(self._unread[:SLICE])
            del self._unread[:SLICE]
            super().data_received(part)
        if self._unread and not self.transport.is_closing():
            self._hold()
            # Otherwise it goes on when the app has taken its message, or the client has rested.
            if self._may_read() and not self.read_paused:
                self._feed_later()
        elif not self._unread:
            self._read_on()
