"""anyio's memory object streams, one a subscriber, read by `async for` as its documentation does."""

import asyncio

from anyio import create_memory_object_stream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bench.peers import BUFFER, CONTENT, Readers


class Peer:
    def __init__(self) -> None:
        self._send: list[MemoryObjectSendStream[str]] = []
        self._receive: list[MemoryObjectReceiveStream[str]] = []
        self._readers = Readers()

    async def open(self, subscribers: int) -> None:
        for _ in range(subscribers):
            send, receive = create_memory_object_stream[str](BUFFER)
            self._send.append(send)
            self._receive.append(receive)
        await self._readers.start(subscribers, self._read)

    async def _read(self, number: int) -> int:
        count = 0
        try:
            async with self._receive[number] as stream:
                async for _ in stream:
                    count += 1
        except asyncio.CancelledError:
            pass
        return count

    async def publish(self, count: int) -> None:
        streams = self._send
        for _ in range(count):
            for stream in streams:
                stream.send_nowait(CONTENT)

    def behind(self) -> bool:
        return bool(self._receive[-1].statistics().current_buffer_used)

    async def close(self) -> list[int]:
        for stream in self._send:
            stream.close()
        return await self._readers.stop()
