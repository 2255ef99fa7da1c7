"""The chat room as a process: a socket, Uvicorn, and an end on a signal."""

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

SENDING_MAY_STALL = 30_000
"""Milliseconds that a client may leave data unconfirmed before the system cuts it off, where the system can do that."""


class Address(msgspec.Struct, frozen=True):
    """Where a server listens."""

    host: str
    port: int

    @property
    def page(self) -> str:
        """What to type into a browser."""
        return f"http://{self._authority}"

    @property
    def gateway(self) -> str:
        """What to give to ``telex pub --server``."""
        return f"ws://{self._authority}/ws"

    @property
    def _authority(self) -> str:
        # "All addresses" is none that can be connected to everywhere.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own: `serve` has them, and ends without raising the signal again."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `OSError` with a text that names the mend: port in use, unknown host, not allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(f"the host {host!r} is not known here ({error.strerror}); use --host 127.0.0.1") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SENDING_MAY_STALL)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise OSError(_why_not(error, host, port)) from None
    return listener


def address_of(listener: socket.socket) -> Address:
    """Where it listens, with the port that port 0 became."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def serve(app: ASGIApp, listener: socket.socket, limits: Limits, ready: Callable[[], None]) -> None:
    """Serve ``app`` on ``listener`` until SIGINT or SIGTERM; ``ready`` is called when connections are taken.

    Clients are told to come back later, and what is under way may finish. A second signal ends at once.
    """
    config = uvicorn.Config(
        app, lifespan="on", log_config=None, access_log=False, server_header=False, **uvicorn_options(limits)
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(_Server(config, ready), listener))


async def _serve(server: _Server, listener: socket.socket) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where the loop knows no signals (Windows), the interpreter's own KeyboardInterrupt ends the server.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop)
    await server.serve([listener])


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; stop what listens there, or choose another: --port {port % 65535 + 1}"
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by this user; choose one from 1024 on: --port 8000"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; use --host 127.0.0.1"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def is_open_to_others(host: str) -> bool:
    """Whether listening on ``host`` lets other machines connect."""
    return not is_loopback(host)
