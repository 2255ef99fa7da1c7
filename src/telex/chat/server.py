"""The process of the chat room: a socket, Uvicorn, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator

import msgspec
import uvicorn
from starlette.types import ASGIApp

from telex.gateway import Limits, is_loopback, uvicorn_options

UNACKNOWLEDGED_MS = 30_000
"""Milliseconds after which the operating system closes a connection with unacknowledged data, where it can."""


class Address(msgspec.Struct, frozen=True):
    """The address of a server."""

    host: str
    port: int

    @property
    def page(self) -> str:
        """The address of the page, for a browser."""
        return f"http://{self._authority}"

    @property
    def gateway(self) -> str:
        """The address of the gateway, for ``telex pub --server``."""
        return f"ws://{self._authority}/ws"

    @property
    def _authority(self) -> str:
        # Not every system can connect to the address 0.0.0.0.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, which raise the signal again at the end. `serve` installs other handlers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server, as Uvicorn does, and call ``ready``."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `OSError` with a text that tells how to fix the address."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(f"the host {host!r} is unknown ({error.strerror}); use --host 127.0.0.1") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise OSError(_listen_problem(error, host, port)) from None
    return listener


def address_of(listener: socket.socket) -> Address:
    """Return the address of a listening socket, with the port that was chosen for port 0."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def serve(app: ASGIApp, listener: socket.socket, limits: Limits, ready: Callable[[], None]) -> None:
    """Serve ``app`` on ``listener`` until SIGINT or SIGTERM. Call ``ready`` when connections are accepted.

    At the first signal clients get the close code "restart", and requests in flight finish. A second signal ends at
    once.
    """
    config = uvicorn.Config(
        app, lifespan="on", log_config=None, access_log=False, server_header=False, **uvicorn_options(limits)
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run_server(_Server(config, ready), listener))


async def run_server(server: _Server, listener: socket.socket) -> None:
    """Serve until the server stops."""

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where the loop has no signal handlers (Windows), the interpreter's own KeyboardInterrupt ends the server.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop)
    await server.serve([listener])


def _listen_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; stop the other program, or choose another port: --port {port % 65535 + 1}"
    if error.errno == errno.EACCES:
        return f"this user may not open port {port}; choose a port from 1024 on: --port 8000"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; use --host 127.0.0.1"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def is_open_to_others(host: str) -> bool:
    """Return True when listening on ``host`` lets other machines connect."""
    return not is_loopback(host)
