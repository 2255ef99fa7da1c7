"""The formats of the topics of a hub."""

import pytest

import telex


def test_a_topic_has_one_format() -> None:
    hub = telex.Hub("memory://")
    hub.topic("t", content_type="application/msgpack")
    hub.topic("t", content_type="application/msgpack")
    with pytest.raises(telex.BadOption, match="topic 't' is declared with application/msgpack already"):
        hub.topic("t", content_type="application/json")
    hub.topic("u", content_type="application/json")
    with pytest.raises(telex.BadOption, match="topic 'u' is declared with application/json already"):
        hub.topic("u", content_type="application/msgpack")


def test_a_pattern_has_no_format() -> None:
    with pytest.raises(telex.BadOption, match="a pattern is only read, and readers decode by the message"):
        telex.Hub("memory://").topic("t:*", content_type="application/msgpack")


async def test_a_topic_keeps_its_format_while_no_program_refers_to_it() -> None:
    async with telex.Hub("memory://", content_type="application/msgpack") as hub:
        hub.topic("t", content_type="application/json")
        assert (await hub.topic("t").publish(1)).content_type == "application/json"
        assert (await hub.topic("u").publish(1)).content_type == "application/msgpack"
