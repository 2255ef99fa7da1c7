import asyncio
import tempfile
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue  # type: ignore[import-untyped]
from joserfc import jwe
from joserfc.jwk import OctKey

import telex


class Protobuf:
    content_type = "application/x-protobuf"

    def encode(self, content: Any) -> bytes:
        data: bytes = content.SerializeToString()
        return data

    def decode(self, data: bytes, type: Any) -> object:
        return type.FromString(data)


class Jwe:
    content_encoding = "jwe"

    def __init__(self, keys: dict[str, OctKey], key_id: str) -> None:
        self.keys, self.key_id = keys, key_id

    def encode(self, data: bytes) -> bytes:
        header = {"alg": "dir", "enc": "A256GCM", "kid": self.key_id}
        return jwe.encrypt_compact(header, data, self.keys[self.key_id]).encode()

    def decode(self, data: bytes, key_id: str | None) -> bytes:
        return jwe.decrypt_compact(data, self.keys[key_id or ""]).plaintext or b""


keys = {"2025": OctKey.generate_key(256), "2026": OctKey.generate_key(256)}
url = f"sqlite:///{tempfile.mkdtemp()}/shop.db"


async def main() -> None:
    for key in keys:  # after the first year, the key changes
        async with telex.Hub(url, codecs=[Protobuf()], transforms=[Jwe(keys, key)]) as hub:
            names = hub.topic("names", StringValue, content_type="application/x-protobuf", content_encoding="jwe")
            await names.publish(StringValue(value=f"written in {key}"))
            last = [message async for message in names.history()]
    for message in last:
        print(message.content.value, "|", message.content_type, "|", message.headers["telex-content-encoding"])


asyncio.run(main())
