"""CloudEvents by the official SDK, both ways."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

import telex
from telex.ext.cloudevents import BATCH, MAX_BATCH, Mode, from_event, from_http, publish, to_event, to_http

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
MESSAGE = telex.Message.new(
    {"n": 1}, topic="orders:1", id="7", timestamp=AT, headers={"traceparent": "00-a-b-01"}, key="customer ä"
)


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.parametrize("content", [{"n": 1}, [1, "ä"], "text", b"\x00\xff", 7])
def test_a_message_comes_back_from_an_event(mode: Mode, content: Any) -> None:
    sent = telex.Message.new(content, topic="orders:1", id="7", timestamp=AT, key="k")
    (back,) = from_http(*to_http([sent], mode), topic="copy")
    assert (back.content, back.timestamp, back.key, back.topic) == (content, AT, "k", "copy")
    assert (back.id, back.headers["ce-id"]) == ("/orders:1 7", "7")
    again = to_event(back)
    assert (again.get_id(), again.get_source(), again.get_subject()) == ("7", "/orders:1", "orders:1")


def test_the_official_sdk_reads_events_of_telex() -> None:
    headers, body = to_http([MESSAGE], "structured", source="/shop")
    event = http.from_structured_event(http.HTTPMessage(headers, body))
    assert (event.get_id(), event.get_source(), event.get_type()) == ("7", "/shop", "dict")
    assert (event.get_data(), event.get_time(), event.get_subject()) == ({"n": 1}, AT, "orders:1")
    assert event.get_extension("traceparent") == "00-a-b-01"
    headers, body = to_http([MESSAGE], "binary", source="/shop")
    event = http.from_binary_event(http.HTTPMessage(headers, body))
    assert (event.get_data(), event.get_extension("partitionkey")) == ({"n": 1}, "customer ä")


@pytest.mark.parametrize("make", [http.to_structured_event, http.to_binary_event])
async def test_events_of_the_official_sdk_are_published_once(make: Any) -> None:
    attributes = {"id": "1", "source": "/s", "type": "com.example.made", "time": AT, "extension": "x"}
    sent = make(CloudEvent(attributes, {"n": 1}))
    async with telex.Hub("memory://") as hub:
        topic = hub.topic("in")
        (first,) = await publish(topic, sent.headers, sent.body)
        (second,) = await publish(topic, sent.headers, sent.body)
        assert first.id == second.id
        assert topic.statistics().published == 1
        forwarded = to_event(first)
    assert forwarded.get_extension("extension") == "x"
    assert (forwarded.get_type(), forwarded.get_time(), forwarded.get_data()) == ("com.example.made", AT, {"n": 1})


def test_a_batch_is_a_json_array_of_events() -> None:
    headers, body = to_http([MESSAGE, MESSAGE], "batch", source="/shop")
    assert headers == {"content-type": BATCH}
    events = [JSONFormat().read(CloudEvent, json.dumps(item)) for item in json.loads(body)]
    assert [event.get_data() for event in events] == [{"n": 1}, {"n": 1}]
    assert [message.content for message in from_http(headers, body, "t")] == [{"n": 1}, {"n": 1}]


def test_an_event_with_a_long_source_has_a_short_id() -> None:
    event = CloudEvent({"id": "1", "source": "/" + "s" * 300, "type": "t"}, None)
    assert len(from_event(event, "t").id) == 64


def test_wrong_requests_are_refused_with_the_fix() -> None:
    with pytest.raises(telex.BadOption, match="there must be headers ce-id"):
        from_http({"content-type": "application/json"}, b"{}", "t")
    with pytest.raises(telex.BadOption, match="it must be a CloudEvent of version"):
        from_http({"content-type": "application/cloudevents+json"}, b'{"id": "1"}', "t")
    with pytest.raises(telex.BadOption, match="it must be a CloudEvent of version"):
        from_http({"content-type": "application/cloudevents+json"}, b"no JSON", "t")
    with pytest.raises(telex.BadOption, match="at most 1000 events"):
        from_http({"content-type": BATCH}, json.dumps([{}] * (MAX_BATCH + 1)).encode(), "t")
    with pytest.raises(telex.BadOption, match="several are mode='batch'"):
        to_http([MESSAGE, MESSAGE])
    with pytest.raises(telex.BadOption, match="it must be 'structured', 'binary' or 'batch'"):
        to_http([MESSAGE], "other")  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    "headers", [{"ce-time": "soon"}, {"ce-time": "2026-01-01T00:00:00"}, {"ce-id": ""}, {"ce-data": "x"}]
)
def test_headers_that_are_no_attributes_of_an_event_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(telex.BadOption, match="those that begin with 'ce-' must be attributes of a CloudEvent"):
        to_event(telex.Message.new(1, topic="orders", headers=headers))
