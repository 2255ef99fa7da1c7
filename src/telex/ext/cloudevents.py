"""CloudEvents 1.0: messages as events of the official SDK, and events as messages.

headers, body = to_http([message], source="/shop")    # structured mode; "binary" and "batch" are the other modes
published = await publish(hub.topic("orders"), request.headers, await request.body())

Needs the package ``cloudevents``: pip install 'telex[cloudevents]'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import quote

from telex.codec.content import from_json, to_json
from telex.errors import BadOption, text_of
from telex.message import Message
from telex.topics.topic import Topic

try:
    from cloudevents.core.bindings.http import HTTPMessage, from_binary, to_binary
    from cloudevents.core.exceptions import BaseCloudEventException
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "telex.ext.cloudevents needs the package 'cloudevents', version 2: pip install 'telex[cloudevents]'"
    ) from None

Mode = Literal["structured", "binary", "batch"]
"""The content modes of HTTP."""
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
MAX_BATCH = 1000
"""The largest number of events in a batch."""
PREFIX = "ce-"
"""The beginning of the headers of a message that keep the attributes of its event."""
_JSON = re.compile(r"[\w.-]+/(?:[\w.-]+\+)?json\b", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9]{1,64}")
_OWN = {"id", "source", "type", "time", "specversion", "datacontenttype", "data", "partitionkey"}
FIX = "it must be a CloudEvent of version 1.0, see https://cloudevents.io"


class _Data(JSONFormat):
    """The JSON format of the SDK, whose data in binary mode comes back equal: JSON of every kind, and bytes."""

    def read_data(self, body: bytes, datacontenttype: str | None) -> Any:
        if not body:
            return None
        if datacontenttype is None or _JSON.match(datacontenttype):
            return from_json(body)
        return body.decode() if datacontenttype.lower().startswith("text/") else body


def to_event(message: Message[Any], source: str | None = None) -> CloudEvent:
    """Return a message as an event. ``source`` is the URI reference of this program; by default the topic, as a path.

    Headers that `from_event` has made restore the attributes of the first event: its id, source, type and extensions.
    Other headers with the name of an extension are extensions. Content without a JSON form raises `TypeError` or
    `ValueError`. Raises `BadOption` for headers that are no attributes of an event.
    """
    if source is not None and not (isinstance(source, str) and source):
        raise BadOption("source", source, "it must be the URI reference of this program, such as '/shop'")
    content, attributes = message.content, dict[str, Any]()
    for name, value in message.headers.items():
        kept = name.lower().removeprefix(PREFIX)
        if _NAME.fullmatch(kept) and (kept not in _OWN or name.lower().startswith(PREFIX)):
            attributes[kept] = value
    attributes.setdefault("id", message.id)
    attributes.setdefault("source", "/" + quote(message.topic, safe=":") if source is None else source)
    attributes.setdefault("type", message.type)
    attributes.setdefault("subject", message.topic)
    attributes["specversion"] = "1.0"
    if message.key is not None:
        attributes["partitionkey"] = message.key
    is_binary = isinstance(content, (bytes, bytearray, memoryview))
    kind = attributes.setdefault("datacontenttype", "application/octet-stream" if is_binary else "application/json")
    if not is_binary and not _JSON.match(kind) and not isinstance(content, str):
        attributes["datacontenttype"] = "application/json"
    data: Any = bytes(content) if is_binary else from_json(to_json(content))
    try:
        attributes["time"] = datetime.fromisoformat(attributes["time"]) if "time" in attributes else message.timestamp
        return CloudEvent(attributes, data)
    except (ValueError, BaseCloudEventException) as error:
        fix = f"those that begin with {PREFIX!r} must be attributes of a CloudEvent: {text_of(error)}"
        raise BadOption("headers", dict(message.headers), fix) from error


def from_event(event: CloudEvent, topic: str) -> Message[Any]:
    """Return an event as a message of ``topic``. Its id is made of the source and the id of the event, which together
    are unique; headers that begin with ``ce-`` keep the attributes. Raises `BadOption`.
    """
    attributes = dict(event.get_attributes())
    source, id, kind = str(attributes["source"]), str(attributes["id"]), str(attributes["type"])
    moment = attributes.get("time")
    headers = {f"{PREFIX}{name}": _text(value) for name, value in attributes.items() if name != "specversion"}
    whole = f"{source} {id}"
    made = whole if len(whole) <= 255 and whole.isprintable() else sha256(whole.encode()).hexdigest()
    key = attributes.get("partitionkey")
    aware = isinstance(moment, datetime) and moment.tzinfo is not None
    return Message.new(
        event.get_data(),
        topic=topic,
        id=made,
        timestamp=moment if aware else None,
        headers=headers,
        type=kind,
        key=None if key is None else str(key)[:255],
    )


def to_http(
    messages: Sequence[Message[Any]], mode: Mode = "structured", source: str | None = None
) -> tuple[dict[str, str], bytes]:
    """Return messages as the headers and the body of an HTTP request: one message, or several as a ``batch``. Raises
    `BadOption`, and the exceptions of `to_event`.
    """
    if mode not in ("structured", "binary", "batch"):
        raise BadOption("mode", mode, "it must be 'structured', 'binary' or 'batch'")
    if mode == "batch":
        events = [JSONFormat().write(to_event(message, source)) for message in messages]
        return {"content-type": BATCH}, b"[" + b",".join(events) + b"]"
    if len(messages) != 1:
        raise BadOption("messages", len(messages), f"{mode} mode must have one message; several are mode='batch'")
    event = to_event(messages[0], source)
    if mode == "structured":
        return {"content-type": STRUCTURED}, JSONFormat().write(event)
    data = event.get_data()
    body = data if isinstance(data, bytes) else to_json(data)
    if isinstance(data, str) and not _JSON.match(event.get_datacontenttype() or "application/json"):
        body = data.encode()
    sent = to_binary(CloudEvent(dict(event.get_attributes()), body), JSONFormat())
    return dict(sent.headers), bytes(sent.body)


def from_http(headers: Mapping[str, str], body: bytes, topic: str) -> list[Message[Any]]:
    """Return the events of an HTTP request, in any mode, as messages of ``topic``. Raises `BadOption` unless it has
    valid events, at most `MAX_BATCH`.
    """
    names = {name.lower(): value for name, value in headers.items()}
    kind = names.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == BATCH:
            items = json.loads(body)
            if not isinstance(items, list) or len(items) > MAX_BATCH:
                raise BadOption("body", kind, f"a batch must be a JSON array of at most {MAX_BATCH} events")
            events = [JSONFormat().read(CloudEvent, json.dumps(item)) for item in items]
        elif kind == STRUCTURED:
            events = [JSONFormat().read(CloudEvent, body)]
        elif f"{PREFIX}id" in names:
            events = [from_binary(HTTPMessage(names, body), _Data(), CloudEvent)]
        else:
            fix = f"it must be {STRUCTURED} or {BATCH}, or there must be headers ce-id, ce-source and ce-type"
            raise BadOption("content-type", kind, fix)
        return [from_event(event, topic) for event in events]  # type: ignore[arg-type]  # made by CloudEvent
    except BadOption:
        raise
    except Exception as error:  # the SDK raises many classes for wrong events
        raise BadOption("event", kind or "binary mode", f"{FIX}: {text_of(error)}") from error


async def publish(topic: Topic[Any], headers: Mapping[str, str], body: bytes) -> list[Message[Any]]:
    """Publish the events of an HTTP request to a topic, and return the messages. An event that was published before,
    with the same source and id, is not published again. Raises as `from_http` and `telex.Topic.publish`.
    """
    found = from_http(headers, body, topic.id)
    return [
        await topic.publish(message.content, id=message.id, headers=message.headers, key=message.key)
        for message in found
    ]


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value)
