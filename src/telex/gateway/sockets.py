"""Cutting off clients that do not let go: the one thing that a gateway does below ASGI.

When a connection is over, an ASGI server closes its socket after the client has taken all that is buffered for it. A
client that reads nothing keeps socket and buffer for as long as it likes, and the server waits for it even at its own
end. ASGI has no way to say "now", so the process looks among its own descriptors for the socket between the client's
address and the server's, and ends it.
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
"""The addresses of a connection: the client's, and the server's."""
DESCRIPTORS = ("/proc/self/fd", "/dev/fd")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, and drop what was not sent
logger: logging.Logger = logging.getLogger("telex.gateway")


class SocketSweeper:
    """Cuts off the sockets of connections that ended ``grace`` seconds ago or more."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._served: set[Between] = set()
        self._due: dict[Between, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Future[int] | None = None

    @contextlib.contextmanager
    def served(self, scope: Mapping[str, Any]) -> Iterator[None]:
        """For as long as the connection of an ASGI scope is served; its socket is due afterwards."""
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
        # A client may have come back from the same port meanwhile.
        self._sweeping = loop.run_in_executor(None, cut_off, due - self._served)
        self._sweeping.add_done_callback(self._swept)

    def _swept(self, sweeping: asyncio.Future[int]) -> None:
        self._sweeping = None
        if sweeping.cancelled():
            return
        error = sweeping.exception()
        if error is not None:
            logger.error("sockets of clients that were closed could not be looked for", exc_info=error)
        elif sweeping.result():
            logger.warning("%d clients that did not take what was sent to them were cut off", sweeping.result())
        self._arm()


def addresses(scope: Mapping[str, Any]) -> Between | None:
    """The addresses of a scope whose connection has a TCP socket of its own; None for HTTP/2 and Unix sockets."""
    client, server = scope.get("client"), scope.get("server")
    if not client or not server or not client[1] or not server[1]:
        return None
    if not str(scope.get("http_version", "1.1")).startswith("1"):
        return None
    return (str(client[0]), int(client[1])), (str(server[0]), int(server[1]))


def cut_off(due: Collection[Between]) -> int:
    """End the sockets of this process that are between these addresses; how many there were. It looks at every
    descriptor, about 5 µs each."""
    folder = next(filter(os.path.isdir, DESCRIPTORS), None)
    if not due or folder is None:
        return 0
    return sum(_cut_off(int(entry.name), due) for entry in Path(folder).iterdir())


def _cut_off(descriptor: int, due: Collection[Between]) -> bool:
    # The server may close the descriptor, and open another under its number, at any moment: what is looked at is a
    # copy, which stays the same socket.
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        copy = os.dup(descriptor)
    except OSError:
        return False  # closed meanwhile
    try:
        found = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return False
    with found, contextlib.suppress(OSError):  # not connected any more, or not TCP
        if (found.getpeername()[:2], found.getsockname()[:2]) not in due:
            return False
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        found.shutdown(socket.SHUT_RDWR)
        return True
    return False
