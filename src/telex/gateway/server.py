"""Limits below ASGI, in the protocols of Uvicorn: incomplete requests, ping frames, and the buffer of a client that
reads nothing. `uvicorn_options` installs them.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from telex.gateway.limits import DEFAULT_LIMITS, Limits, TokenBucket, check_limits

SHUTDOWN_SECONDS = 3
"""The time for requests in flight when the server stops."""
SLICE_BYTES = 4096
"""The bytes that are read from a WebSocket in one turn of the event loop: at most about 700 frames."""
STALL_CHECKS = 10
"""The number of checks of a slow client in the time limit for writing."""
MIN_BYTES_PER_SECOND = 1024
"""The slowest rate at which a client may read."""
MAX_FRAGMENTS = 1024
"""The largest number of frames of one message."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def uvicorn_options(limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Return the options for ``uvicorn.run(app, **uvicorn_options())``, which limit every connection of the server.

    ``limits`` are those of the gateway. The headers of proxies are ignored; add ``proxy_headers=True`` and
    ``forwarded_allow_ips`` to trust a proxy.
    """
    arrivals = Arrivals(check_limits(limits))
    return {
        "http": partial(BoundedHttp, arrivals),
        "ws": partial(BoundedWebSocket, limits),
        "ws_max_size": limits.frame_bytes,
        # A batch is encoded once for all clients; compression would be repeated for each client.
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        "proxy_headers": False,
    }


class Arrivals:
    """The connections that have not sent the head of a request, the oldest first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting: dict[BoundedHttp, None] = {}

    def add(self, connection: BoundedHttp) -> None:
        """Add a connection that is new, or waits for its next request. Close the oldest when there are too many."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None
        if len(self._waiting) > self.limits.handshakes:
            next(iter(self._waiting)).cut_off()

    def discard(self, connection: BoundedHttp) -> None:
        """Remove a connection that has sent a head, or has gone."""
        self._waiting.pop(connection, None)


class Stalled:
    """A check that aborts the connection of a slow client. In ``seconds``, the client has to read at
    `MIN_BYTES_PER_SECOND` once, or enough for the server to write again.
    """

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._left = 0
        self._slow_checks = 0  # in a row
        self._drained = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check)

    def drained(self) -> None:
        """Note that the server can write again."""
        self._drained = True

    def close(self) -> None:
        """Stop the checks."""
        self._timer.cancel()

    def _check(self) -> None:
        left = self._transport.get_write_buffer_size()
        wait = self._seconds / STALL_CHECKS
        if not left or self._drained or left <= self._left - MIN_BYTES_PER_SECOND * wait:
            self._slow_checks = 0
        else:
            self._slow_checks += 1
        self._left, self._drained = left, False
        if self._slow_checks > STALL_CHECKS:
            self._transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(wait if left else self._seconds, self._check)


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 with limits for the time, size and number of incomplete heads, and for a client that does not
    read its answers."""

    def __init__(self, arrivals: Arrivals, **options: Any) -> None:
        super().__init__(**options)
        self._arrivals = arrivals
        self._limits = arrivals.limits
        self._head = 0  # bytes of an incomplete head
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: Stalled | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._stalled = Stalled(transport, self._limits.write_timeout)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is not None:
            self._head += len(data)
        super().data_received(data)
        if self._timer is not None and self._head > self._limits.head_bytes and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.cut_off(at_once=False)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.drained()

    def on_headers_complete(self) -> None:
        """Remove the connection from the incomplete ones: the head of a request is complete."""
        self._head_came()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the head of the next request: an answer is complete."""
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._expect_head()

    def handle_websocket_upgrade(self) -> None:
        """Change to WebSocket, with the buffer check of this connection."""
        self._let_go()
        super().handle_websocket_upgrade()

    def cut_off(self, *, at_once: bool = True) -> None:
        """End the connection, at once or after its buffer was sent."""
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
    """Uvicorn's WebSocket with limits. It reads nothing from a client that does not read. It reads control frames at a
    limited rate, and large input in slices, between which other connections have a turn.
    """

    def __init__(self, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._bucket = TokenBucket(limits.control_rate, limits.burst, asyncio.get_running_loop().time())
        self._patience: asyncio.TimerHandle | None = None
        self._stalled: Stalled | None = None
        self._unread = bytearray()  # received and not parsed
        self._feeding = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._stalled = Stalled(cast("asyncio.Transport", transport), self._limits.write_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unread.clear()
        if self._stalled is not None:
            self._stalled.close()
        if self._patience is not None:
            self._patience.cancel()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._feeding:
            self._feed()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.drained()
        self._read_on()

    async def receive(self) -> Any:
        """Return the next message for the app."""
        message = await super().receive()
        self._read_on()
        return message

    def handle_ping(self) -> None:
        """Answer a ping, and count it."""
        super().handle_ping()
        self._count()

    def handle_pong(self, event: Frame) -> None:
        """Count a pong."""
        super().handle_pong(event)
        self._count()

    def handle_cont(self, event: Frame) -> None:
        """Count a fragment of a message."""
        super().handle_cont(event)
        self._count()
        if len(self.frames) > MAX_FRAGMENTS:
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
        """Continue to read, as far as the limits allow: first the received bytes, then new ones."""
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
            part = bytes(self._unread[:SLICE_BYTES])
            del self._unread[:SLICE_BYTES]
            super().data_received(part)
        if self._unread and not self.transport.is_closing():
            self._hold()
            # Otherwise `receive` or `_rested` continues.
            if self._may_read() and not self.read_paused:
                self._feed_later()
        elif not self._unread:
            self._read_on()
