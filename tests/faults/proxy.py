"""A TCP proxy in front of a socket of the system, which breaks its connections on demand."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

CHUNK = 65536


class _Pair:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server

    def abort(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


class Proxy:
    """Made by `proxy`. Its connections are open until one of both sides has closed."""

    def __init__(self, target: Path) -> None:
        self.delay: float = 0.0
        """Seconds by which each chunk is late."""
        self.port: int = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._target = target
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def drop(self) -> int:
        """Reset all connections; their number."""
        for pair in self._pairs:
            pair.abort()
        return len(self._pairs)

    def half_close(self, *, to_client: bool) -> int:
        """Send the end of the stream in one direction of each connection, and leave the other one open."""
        for pair in self._pairs:
            with suppress(OSError, RuntimeError):
                (pair.client if to_client else pair.server).write_eof()
        return len(self._pairs)

    def hold(self) -> None:
        """Let nothing pass until `release`: to both sides the other one is silent."""
        self._flowing.clear()

    def release(self) -> None:
        """Let all pass again."""
        self._flowing.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client in a task."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server = await asyncio.open_unix_connection(self._target)
        except OSError:  # the server is away
            writer.transport.abort()
            return
        pair = _Pair(writer, server)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, server, pair))
                both.create_task(self._forward(server_reader, writer, pair))
        finally:
            pair.abort()
            self._pairs.discard(pair)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair) -> None:
        try:
            while chunk := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
        except OSError:  # one side was reset, as a killed process resets what it has not read: so is the other one
            pair.abort()
        except RuntimeError:  # this direction was closed before
            return

    async def end(self) -> None:
        """Reset all connections, and wait until their tasks have ended."""
        self.release()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy(target: Path) -> AsyncIterator[Proxy]:
    """Listen on a free port of this machine, and forward to the socket ``target``."""
    made = Proxy(target)
    listener = await asyncio.start_server(made.accept, "127.0.0.1", 0, family=socket.AF_INET)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()
        await made.end()
