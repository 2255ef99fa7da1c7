"""Batches become frames once, and a position in each says exactly how far it goes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import telex
from telex import Message, Position
from telex.codec.encoded import Encoded
from telex.codec.formats import Formats
from telex.gateway import AccessRules, Gateway, Limits
from telex.gateway.frame_cache import MAX_CACHED_BATCHES, FrameCache, encode
from tests.support.websocket import WebSocketClient


def batch(first: int, contents: list[Any]) -> list[Message[Any]]:
    return [Message.new(content, topic="a", seq=first + index) for index, content in enumerate(contents)]


@pytest.mark.slow
@given(st.lists(st.text(max_size=30), min_size=1, max_size=30), st.integers(1, 200))
def test_split_or_not_nothing_is_missing(contents: list[str], size: int) -> None:
    messages = batch(5, contents)
    last = messages[-1].seq
    frames = FrameCache(size, 1).frames("a:*", Position(last, "e"), messages, keep=False)
    read = [json.loads(frame) for frame in frames]
    assert [m["content"] for frame in read for m in frame["messages"]] == contents
    for frame in read:
        assert frame["op"] == "messages"
        assert frame["topic"] == "a:*"
        assert frame["position"] == f"e:{frame['messages'][-1]['seq']}"


def test_each_frame_ends_at_its_last_message_also_when_numbers_have_gaps() -> None:
    messages = [Message.new("x" * 50, topic="a", seq=seq) for seq in (3, 7, 20)]
    read = [json.loads(frame) for frame in FrameCache(1, 1).frames("a", Position(20, "e"), messages, keep=False)]
    starts = [Position.parse(frame["position"]).seq for frame in read]
    later = [[each.seq for each in messages if each.seq > start] for start in starts]
    assert later == [[7, 20], [20], []]


def test_the_same_range_is_encoded_once() -> None:
    feed = FrameCache(1000, 1000)
    messages = batch(1, ["x", "y"])
    first = feed.frames("a", Position(2, "e"), messages, keep=True)
    assert feed.frames("a", Position(2, "e"), messages, keep=True) is first
    assert (feed.encoded, feed.shared) == (1, 1)
    # Another range, another log and another subject are other frames.
    feed.frames("a", Position(2, "e"), messages[1:], keep=True)
    feed.frames("a", Position(2, "f"), messages, keep=True)
    feed.frames("*", Position(2, "e"), messages, keep=True)
    assert feed.encoded == 4


def test_cached_frames_are_bounded_by_their_bytes() -> None:
    feed = FrameCache(1000, 2000)
    for seq in range(1, 100):
        feed.frames("a", Position(seq, "e"), batch(seq, ["x" * 100]), keep=True)
    assert feed.frames("a", Position(1, "e"), batch(1, ["x" * 100]), keep=False)
    assert feed.shared == 0
    assert feed.size <= 2000


def test_small_batches_are_kept_in_a_bounded_number() -> None:
    feed = FrameCache(1000, 10**9)
    for seq in range(1, MAX_CACHED_BATCHES + 3):
        feed.frames("a", Position(seq, "e"), batch(seq, ["x"]), keep=True)
    for seq, shared in ((2, 0), (3, 1), (MAX_CACHED_BATCHES + 2, 2)):
        list(feed.frames("a", Position(seq, "e"), batch(seq, ["x"]), keep=False))
        assert feed.shared == shared


def test_content_without_a_json_form_keeps_its_place() -> None:
    messages = batch(1, ["x", object(), "y", "\ud800"])
    (frame,) = FrameCache(10**6, 1).frames("a", Position(4, "e"), messages, keep=False)
    read = json.loads(frame)["messages"]
    assert [m["seq"] for m in read] == [1, 2, 3, 4]
    assert read[1]["content"] is None
    assert "object" in read[1]["unreadable"]
    assert read[3]["content"] is None


OPEN = AccessRules(publish=(">",), subscribe=(">",))


async def test_cache_bytes_bound_what_is_kept_for_others() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(cache_bytes=1))
        async with WebSocketClient(gateway) as ann, WebSocketClient(gateway) as bob:
            for client in (ann, bob):
                await client.ask("subscribe", topic="a")
            for _ in range(3):
                hub.topic("a").publish_nowait("x")
                for client in (ann, bob):
                    await client.messages(1)
        assert (gateway.statistics().encoded, gateway.statistics().shared) == (6, 0)


async def test_clients_at_the_same_place_share_one_encoding() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        topic = hub.topic("a")
        clients = [WebSocketClient(gateway) for _ in range(20)]
        for client in clients:
            await client.__aenter__()
            await client.ask("subscribe", topic="a")
        for round_ in range(5):
            topic.publish_nowait(round_)
            for client in clients:
                assert [m["content"] for m in await client.messages(1)] == [round_]
        statistics = gateway.statistics()
        # The first batch of each client is not taken for a common one; the four after it are.
        assert statistics.encoded <= 20 + 4
        assert statistics.shared >= 19 * 4
        for client in clients:
            await client.__aexit__(None, None, None)


class Complex:
    content_type = "application/x-complex"

    def encode(self, content: Any) -> bytes:
        return str(content).encode()

    def decode(self, data: bytes, type: object) -> object:
        return complex(data.decode())


def test_content_that_only_a_codec_encodes_is_base64_of_its_bytes() -> None:
    headers = Encoded(b"", "application/x-complex").headers(None)
    message: Message[Any] = Message.new(1j, topic="a", seq=1, headers=headers)
    read = json.loads(encode(message, Formats([Complex()])))
    assert (read["content"], read["encoding"]) == ("MWo=", "base64")
    assert read["headers"] == headers
    assert json.loads(encode(message, Formats()))["content"] is None
