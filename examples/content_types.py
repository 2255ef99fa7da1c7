"""Content as MessagePack and compressed: `python examples/content_types.py [URL]`, on any engine."""

import asyncio
import sys
import zlib
from time import time_ns

import telex


class Zlib:
    """Compression of stored content."""

    content_encoding, key_id = "zlib", None

    def encode(self, data: bytes) -> bytes:
        """Compress."""
        return zlib.compress(data)

    def decode(self, data: bytes, key_id: str | None) -> bytes:
        """Decompress, up to a bound: a small message may become a large one."""
        return zlib.decompressobj().decompress(data, 64_000_000)


async def main(url: str) -> None:
    """Publish to a topic before and after its content type changes, and read all of it."""
    name = f"readings:{time_ns()}"
    async with telex.Hub(url, transforms=[Zlib()]) as hub:
        await hub.topic(name).publish({"celsius": [21.5, 21.25]})
        later = hub.topic(name, content_type="application/msgpack", content_encoding="zlib")
        await later.publish({"celsius": [20.0] * 1000})
        async for message in later.history():
            print(message.content_type, len(message.content["celsius"]), "values")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "memory://"))
