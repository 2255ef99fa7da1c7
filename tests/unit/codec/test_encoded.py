"""`Encoded` content, and the headers that describe it."""

import telex
from telex.codec.encoded import CONTENT_ENCODING, CONTENT_TYPE, Encoded, encoded_of, unreserved
from telex.message import Draft, Message


def test_headers_name_the_content_type_and_the_transforms() -> None:
    assert Encoded(b"x", "application/x-y").headers(None) == {CONTENT_TYPE: "application/x-y"}
    own = Encoded(b"x", "application/x-y", "zlib").headers({"a": "b", CONTENT_TYPE: "application/old"})
    assert own == {"a": "b", CONTENT_TYPE: "application/x-y", CONTENT_ENCODING: "zlib"}


def test_bytes_are_encoded_only_where_headers_name_a_content_type() -> None:
    plain = encoded_of(b"x", {"content-type": "image/png"})
    assert type(plain) is bytes
    found = encoded_of(b"x", {CONTENT_TYPE: "a/b", CONTENT_ENCODING: "zlib"})
    assert isinstance(found, Encoded)
    assert (found, found.content_type, found.content_encoding) == (b"x", "a/b", "zlib")


def test_headers_without_those_of_another_message() -> None:
    assert unreserved(None) is None
    assert unreserved({CONTENT_TYPE: "a/b"}) is None
    assert unreserved({CONTENT_ENCODING: "zlib", "a": "b"}) == {"a": "b"}


def test_a_message_of_encoded_content_comes_back_from_its_json_and_as_a_draft() -> None:
    sent = Message.new(Encoded(b"\x00\xff", "a/b", "zlib"), headers=Encoded(b"", "a/b", "zlib").headers({"x": "y"}))
    back = Message.from_json(sent.to_json())
    assert back.content_type == "a/b"
    draft = Draft.of(back)
    assert isinstance(draft.encoded, Encoded)
    assert (draft.encoded, draft.encoded.content_encoding) == (b"\x00\xff", "zlib")
    assert draft.headers == dict(sent.headers)


async def test_a_forwarded_message_does_not_claim_the_content_type_of_its_origin() -> None:
    async with telex.Hub("memory://") as hub:
        first = await hub.topic("a", content_type="application/msgpack").publish({"n": 1})
        second = await hub.topic("b").publish(b"raw", headers=first.headers)
        assert (first.content_type, second.content_type) == ("application/msgpack", "application/octet-stream")
