"""Codecs and transforms, on engines that store messages."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue  # type: ignore[import-untyped]  # it has no types
from joserfc import jwe
from joserfc.jwk import OctKey

import telex
from telex.codec.encoded import CONTENT_ENCODING, Encoded
from telex.codec.formats import PLAIN, Format, Formats, Json, MessagePack
from tests.support.loops import until


class Protobuf:
    content_type = "application/x-protobuf"

    def encode(self, content: Any) -> bytes:
        data: bytes = content.SerializeToString()
        return data

    def decode(self, data: bytes, type: type[Any] | None) -> object:
        if type is None:
            raise TypeError("protobuf needs the class of the message: declare it")
        return type.FromString(data)


class Zlib:
    content_encoding, key_id = "zlib", None

    def encode(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decode(self, data: bytes, key_id: str | None) -> bytes:
        return zlib.decompress(data)


class Jwe:
    """JSON Web Encryption, with keys by their id."""

    content_encoding = "jwe"

    def __init__(self, keys: dict[str, OctKey], key_id: str) -> None:
        self.keys = keys
        self.key_id = key_id

    def encode(self, data: bytes) -> bytes:
        header = {"alg": "dir", "enc": "A256GCM", "kid": self.key_id}
        return jwe.encrypt_compact(header, data, self.keys[self.key_id]).encode()

    def decode(self, data: bytes, key_id: str | None) -> bytes:
        return jwe.decrypt_compact(data, self.keys[key_id or ""]).plaintext or b""


@dataclass
class Order:
    number: int
    at: datetime


ORDER = Order(7, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
KEYS = {name: OctKey.generate_key(256) for name in ("2025", "2026")}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/formats.db?synchronous=normal"


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[telex.Hub]:
    async with telex.Hub(url, codecs=[Protobuf()], **options) as hub:
        yield hub


async def contents(hub: telex.Hub, topic: str, type: Any = None) -> list[Any]:
    found = hub.topic(topic) if type is None else hub.topic(topic, type)
    return [message.content async for message in found.history()]


async def test_readers_decode_by_what_each_message_names(url: str) -> None:
    async with opened(url, transforms=[Zlib()]) as hub:
        await hub.topic("t").publish({"old": 1})
        await hub.topic("t", content_type="application/msgpack", content_encoding="zlib").publish({"new": [1, 2.5]})
    async with opened(url, transforms=[Zlib()]) as hub:
        assert await contents(hub, "t") == [{"old": 1}, {"new": [1, 2.5]}]
        kinds = [message.content_type async for message in hub.topic("t").history()]
        assert kinds == ["application/json", "application/msgpack"]
        async with hub.topic("t").subscribe(start="earliest") as inbox:
            assert [(await inbox.receive(5)).content for _ in range(2)] == [{"old": 1}, {"new": [1, 2.5]}]


@pytest.mark.parametrize("content", [ORDER, {"k": [None, True, b"\x00"]}, "text", b"\xff", {1: "int keys"}, [ORDER.at]])
async def test_message_pack_comes_back_equal(url: str, content: Any) -> None:
    async with opened(url) as hub:
        await hub.topic("t", content_type="application/msgpack").publish(content)
    async with opened(url) as hub:
        back = await contents(hub, "t", Order if content is ORDER else None)
    assert back == [content]


async def test_content_that_would_not_come_back_is_refused(url: str) -> None:
    async with opened(url) as hub:
        topic = hub.topic("t", content_type="application/msgpack")
        with pytest.raises(telex.ContentError, match=r"\$\.a: .*comes back as list"):
            await topic.publish({"a": (1, 2)})
        with pytest.raises(telex.ContentError, match="the codec of application/msgpack refuses it: TypeError"):
            await topic.publish({"a": object()})
        protobuf = hub.topic("p", content_type="application/x-protobuf")
        with pytest.raises(telex.ContentError, match="the codec of application/x-protobuf refuses it"):
            await protobuf.publish({"no": "protobuf"})


async def test_a_typed_topic_and_an_annotated_group_handler_get_protobuf_messages(url: str) -> None:
    handled: list[object] = []
    async with opened(url) as hub:
        topic = hub.topic("p", StringValue, content_type="application/x-protobuf")
        await topic.publish(StringValue(value="hi"))
    async with opened(url) as hub:

        @hub.on("p", group="g")
        async def handle(content: StringValue) -> None:
            handled.append(content)

        await until(lambda: bool(handled))
        assert handled == [StringValue(value="hi")]
        assert await contents(hub, "p", StringValue) == handled


async def test_an_unknown_content_type_is_lost_to_subscribers_and_dead_to_groups(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(url) as hub:
        await hub.topic("p", StringValue, content_type="application/x-protobuf").publish(StringValue(value="hi"))
        await hub.topic("p").publish(StringValue(value="more"))
    async with telex.Hub(url) as hub:

        @hub.on("p", group="g")
        async def handle(content: StringValue) -> None:
            raise AssertionError("it cannot be decoded")

        async with hub.topic("p").subscribe(start="earliest", report_lost=True) as inbox:
            assert await inbox.receive(5) == telex.Lost(2, 1, 2, "unreadable")
        found: list[telex.DeadLetter] = []
        while len(found) < 2:
            found = await hub.groups.dead("g")
            await asyncio.sleep(0)
        advice = "its content type is 'application/x-protobuf': register its codec, telex.Hub(codecs=[...])"
        assert all(advice in letter.reason for letter in found)
    logged = [
        record.message for record in caplog.records if advice in record.message and "logged once" in record.message
    ]
    assert len(logged) == 1


async def test_keys_rotate_by_their_id(url: str, tmp_path: Path) -> None:
    async with opened(url, transforms=[Jwe(KEYS, "2025")], content_encoding="jwe") as hub:
        await hub.topic("t").publish({"secret": 1})
    async with opened(url, transforms=[Zlib(), Jwe(KEYS, "2026")], content_encoding="zlib, jwe") as hub:
        sent = await hub.topic("t").publish({"secret": 2})
        assert sent.headers[CONTENT_ENCODING] == "zlib, jwe; key=2026"
        assert await contents(hub, "t") == [{"secret": 1}, {"secret": 2}]
    async with opened(url, transforms=[Zlib(), Jwe({"2026": KEYS["2026"]}, "2026")]) as hub:
        with pytest.raises(telex.EngineFailed, match="message 1 of 't'"):
            await contents(hub, "t")
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())  # noqa: ASYNC240


async def test_arguments_and_outcomes_of_commands_are_transformed_too(url: str) -> None:
    async with opened(
        url, transforms=[Zlib()], content_type="application/msgpack", content_encoding="zlib", close_timeout=5
    ) as hub:

        @hub.command("double", once=True)
        async def double(order: Order) -> Order:
            return Order(order.number * 2, order.at)

        assert await hub.call("double", ORDER, key="k", timeout=10) == Order(14, ORDER.at)
        assert await hub.call("double", ORDER, key="k", timeout=10) == Order(14, ORDER.at)
        (sent,) = [message async for message in hub.topic("$command:double:request").history()]
        assert (sent.content_type, sent.headers[CONTENT_ENCODING]) == ("application/msgpack", "zlib")


async def test_dead_letters_keep_encoded_content(url: str) -> None:
    async with opened(url) as hub:
        await hub.topic("t", content_type="application/msgpack").publish({"n": b"\x01"})

        @hub.on("t", group="g", retry=telex.Retry(1), dead_letter="dead")
        async def handle(content: Any) -> None:
            raise telex.Reject("no")

        async with hub.topic("dead").subscribe(start="earliest") as dead:
            assert (await dead.receive(5)).content == {"n": b"\x01"}


async def test_adopted_messages_keep_their_content_type(url: str) -> None:
    unknown = telex.Message.new(Encoded(b"?", "a/b"), topic="t", headers=Encoded(b"", "a/b").headers(None))
    async with opened(url) as hub:
        sent = telex.Message.new({"n": 1}, topic="t", headers=Encoded(b"", "application/msgpack").headers(None))
        await hub.adopt([sent, unknown])
        first = [message async for message in hub.topic("t").history(limit=1)]
        assert [(message.content, message.content_type) for message in first] == [({"n": 1}, "application/msgpack")]
    async with telex.Hub(url, codecs=[Custom()]) as hub:
        assert await contents(hub, "t") == [{"n": 1}, "decoded ?"]


class Custom:
    content_type = "a/b"

    def encode(self, content: Any) -> bytes:
        return b"?"

    def decode(self, data: bytes, type: type[Any] | None) -> object:
        return f"decoded {data.decode()}"


def test_wrong_codecs_and_names_are_refused() -> None:
    with pytest.raises(telex.BadOption, match="its content_type must be a content type such as application/x-protobuf"):
        Formats([type("C", (Protobuf,), {"content_type": "protobuf"})()])
    with pytest.raises(telex.BadOption, match="each must have content_encoding, encode and decode"):
        telex.Hub("memory://", transforms=[zlib])  # type: ignore[list-item]  # the mistake
    with pytest.raises(telex.BadOption, match="another one has the content_type 'a/b' too; it must be one for each"):
        telex.Hub("memory://", codecs=[Custom(), Custom()])
    for kind in ("application/json", "application/octet-stream"):
        with pytest.raises(telex.BadOption, match="telex encodes this content type itself; it must be another one"):
            Formats([type("C", (Custom,), {"content_type": kind})()])
    Formats([type("C", (Custom,), {"content_type": "application/msgpack"})()])  # with extension types, for example
    with pytest.raises(telex.BadOption, match=r"it must be one of application/json.*telex\.Hub\(codecs="):
        telex.Hub("memory://", content_type="application/x-protobuf")
    with pytest.raises(telex.BadOption, match=r"register one: telex\.Hub\(transforms="):
        telex.Hub("memory://").topic("t", content_encoding="zlib")


def test_a_format_is_equal_by_its_codec_and_transforms() -> None:
    codec, compress = MessagePack(), Zlib()
    assert Format(codec, [compress]) == Format(codec, [compress])
    assert Format(codec, []) != Format(Json(), [])
    assert object() != PLAIN
    assert str(Format(codec, [compress])) == "application/msgpack, zlib"


def test_codecs_that_return_no_bytes_are_named() -> None:
    broken = type("B", (Protobuf,), {"encode": lambda self, content: "text"})()
    with pytest.raises(telex.ContentError, match="it returns str; it must return bytes"):
        Format(broken, []).encode({}, "t", None, held=True)


async def test_in_memory_nothing_is_encoded() -> None:
    content = {"a": object()}
    async with telex.Hub("memory://", transforms=[Zlib()], content_encoding="zlib") as hub:
        topic = hub.topic("t", content_type="application/msgpack")
        async with topic.subscribe() as inbox:
            sent = await topic.publish(content)
            assert (await inbox.receive(1)).content is content
    assert (sent.content_type, CONTENT_ENCODING in sent.headers) == ("application/msgpack", False)
