"""A proxy in front of a PostgreSQL server that counts statements and bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from struct import unpack_from


@dataclass
class Traffic:
    """The traffic of all connections so far."""

    port: int = 0
    statements: int = 0
    bytes: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)


@asynccontextmanager
async def proxy(folder: str) -> AsyncIterator[Traffic]:
    """Forward connections of a free port of this machine to the server whose socket is in the folder."""
    traffic, tasks = Traffic(), set[asyncio.Task[None]]()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        traffic.writers += [writer, back]
        both = [
            asyncio.ensure_future(_upstream(reader, back, traffic)),
            asyncio.ensure_future(_down(there, writer, traffic)),
        ]
        tasks.update(both)
        await asyncio.wait(both)
        writer.close()
        back.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    traffic.port = server.sockets[0].getsockname()[1]
    try:
        yield traffic
    finally:
        server.close()
        for writer in traffic.writers:
            writer.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: Traffic) -> None:
    """Forward the messages of a client: the first has no type; Execute and Query are statements."""
    try:
        length: int = unpack_from("!i", head := await reader.readexactly(4))[0]
        data = head + await reader.readexactly(length - 4)
        while True:
            traffic.bytes += len(data)
            writer.write(data)
            await writer.drain()
            head = await reader.readexactly(5)
            traffic.statements += head[0] in b"EQ"
            data = head + await reader.readexactly(unpack_from("!i", head, 1)[0] - 4)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: Traffic) -> None:
    try:
        while data := await reader.read(1 << 16):
            traffic.bytes += len(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()
