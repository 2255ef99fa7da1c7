"""Close the sockets of clients that do not read their close frame.

After a connection has ended, an ASGI server closes its socket when the client has read the buffer. A client that reads
nothing keeps the socket and the buffer, and the server waits for it even when it stops. ASGI cannot close a socket at
once. So the process finds the socket among its descriptors, by the addresses of client and server, and closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

Between = tuple[tuple[str, int], tuple[str, int]]
"""The addresses of the client and of the server of a connection."""
DESCRIPTORS = ("/proc/self/fd", "/dev/fd")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, and discard the buffer
logger: logging.Logger = logging.getLogger("telex.gateway")


class SocketSweeper:
    """Closes the sockets of connections that ended ``grace`` seconds ago or more."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._served: set[Between] = set()
        self._due: dict[Between, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Future[int] | None = None

    @contextlib.contextmanager
    def served(self, scope: Mapping[str, Any]) -> Iterator[None]:
        """Note the connection of an ASGI scope. ``grace`` seconds after the block its socket is closed."""
        between = addresses(scope)
        if between is None:
            yield
            return
        self._served.add(between)
        try:
            yield
        finally:
            self._served.discard(between)
            self._due[between] = asyncio.get_running_loop().time() + self._grace
            self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._sweeping is None and self._due:
            self._timer = asyncio.get_running_loop().call_later(self._grace, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = {between for between, at in self._due.items() if at <= now}
        for between in due:
            del self._due[between]
        # A client may have connected again from the same port.
        self._sweeping = loop.run_in_executor(None, cut_off, due - self._served)
        self._sweeping.add_done_callback(self._swept)

    def _swept(self, sweeping: asyncio.Future[int]) -> None:
        self._sweeping = None
        if sweeping.cancelled():
            return
        error = sweeping.exception()
        if error is not None:
            logger.error("the sockets of closed clients could not be found", exc_info=error)
        elif sweeping.result():
            logger.warning("%d sockets of clients that did not read were closed", sweeping.result())
        self._arm()


def addresses(scope: Mapping[str, Any]) -> Between | None:
    """Return the addresses of a connection with its own TCP socket; None for HTTP/2 and Unix sockets."""
    client, server = scope.get("client"), scope.get("server")
    if not client or not server or not client[1] or not server[1]:
        return None
    if not str(scope.get("http_version", "1.1")).startswith("1"):
        return None
    return (str(client[0]), int(client[1])), (str(server[0]), int(server[1]))


def cut_off(due: Collection[Between]) -> int:
    """Close the sockets of this process with these addresses, and return their number. It checks every descriptor, in
    about 5 µs each.
    """
    folder = next(filter(os.path.isdir, DESCRIPTORS), None)
    if not due or folder is None:
        return 0
    return sum(_cut_off(int(entry.name), due) for entry in Path(folder).iterdir())


def _cut_off(descriptor: int, due: Collection[Between]) -> bool:
    # The server may close the descriptor and reuse its number at any moment. The copy stays the same socket.
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        copy = os.dup(descriptor)
    except OSError:
        return False  # the server has closed it
    try:
        found = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return False
    with found, contextlib.suppress(OSError):  # not connected, or not TCP
        if (found.getpeername()[:2], found.getsockname()[:2]) not in due:
            return False
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        found.shutdown(socket.SHUT_RDWR)
        return True
    return False
