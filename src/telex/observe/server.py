"""`MonitorServer`: a small HTTP server for ``telex run --metrics``, without a web framework."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from telex.checks import instance, whole
from telex.errors import BadOption
from telex.gateway.auth import check_host, is_loopback
from telex.observe.monitor import TEXT, Monitor, MonitorAnswer
from telex.process.tasks import start_task

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

logger: logging.Logger = logging.getLogger("telex")
MAX_HEAD_BYTES = 8192
HEAD_SECONDS = 5.0
"""The time in which a client has to send its request, and in which it has to read the answer."""
MAX_CONNECTIONS = 64
HIGHEST_PORT = 65535
FAILED = MonitorAnswer(500, TEXT, b"the metrics cannot be read; the log of the program has the error\n")
WRONG_HOST = MonitorAnswer(403, TEXT, b"ask for localhost or 127.0.0.1, not for another name of this machine\n")
BAD_REQUEST = MonitorAnswer(400, TEXT, b"send a GET request of HTTP/1.1\n")


def parse_address(text: str) -> tuple[str, int]:
    """Read ``:9100``, ``9100`` or ``HOST:9100``. Without a host it is 127.0.0.1, which only this machine reaches.

    Raises `BadOption`.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port) > HIGHEST_PORT:
        raise BadOption("metrics", text, "it must be a port, such as :9100, or a host and a port, 0.0.0.0:9100")
    return host.strip("[]") or "127.0.0.1", int(port)


class MonitorServer:
    """The answers of a `Monitor` on a host and port, while it is entered. On a loopback address it takes only requests
    to an IP address or ``localhost``, so that no page of a browser reads it by a name that points at this machine.
    Raises `BadOption`.
    """

    def __init__(self, monitor: Monitor, host: str, port: int) -> None:
        self._monitor = instance(monitor, Monitor, "monitor", "it must be a telex.observe.Monitor(hub)")
        self._host = instance(host, str, "host", "it must be an address of this machine, such as '127.0.0.1'")
        self._port = whole(port, "port", f"it must be from 0, any free port, to {HIGHEST_PORT}", 0, HIGHEST_PORT)
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen. Raises `OSError`."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port, limit=MAX_HEAD_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port, also when 0 was asked for."""
        if self._server is None:
            return self._port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        client = start_task(self._serve(reader, writer), name="telex monitor request")
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)
        # A client has gone, is too slow, sends too much, or the server stops, maybe before the task has begun.
        client.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            method, answer = await self._answer(head.decode("latin-1"))
            writer.write(_response(method, answer))
            async with asyncio.timeout(HEAD_SECONDS):
                await writer.drain()
                writer.close()
                await writer.wait_closed()

    async def _answer(self, head: str) -> tuple[str, MonitorAnswer]:
        first, *lines = head.split("\r\n")
        method, _, rest = first.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        hosts = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
        if method not in ("GET", "HEAD") or not path.startswith("/"):
            return method, BAD_REQUEST
        if is_loopback(self._host) and check_host(hosts[0] if hosts else "") is not None:
            return method, WRONG_HOST
        try:
            return method, await self._monitor.answer(path, trusted=True)
        except Exception:  # a collector of the program may raise anything
            logger.exception("%s cannot be answered", path[:200])
            return method, FAILED


def _response(method: str, answer: MonitorAnswer) -> bytes:
    reason = HTTPStatus(answer.status).phrase
    head = (
        f"HTTP/1.1 {answer.status} {reason}\r\ncontent-type: {answer.type}\r\n"
        f"content-length: {len(answer.body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else answer.body)
