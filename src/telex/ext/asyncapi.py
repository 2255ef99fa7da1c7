"""AsyncAPI 3.1: a document of the topics, handlers and commands that a hub declares, and a page of it.

`document` returns the document as plain data, and `page` returns it as one HTML page. Neither needs an open hub.
"""

from __future__ import annotations

import inspect
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from telex.codec.content import Content
from telex.codec.encoded import BYTES, JSON
from telex.codec.roundtrip import is_model
from telex.commands.spec import Command
from telex.errors import BadOption
from telex.handlers.spec import HandlerSpec
from telex.hub import Hub, runtime_of
from telex.names import is_pattern
from telex.topics.topic import publisher_of

Data = dict[str, Any]
VERSION = "3.1.0"
"""The version of AsyncAPI."""
_SCHEMAS = "#/components/schemas/"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def document(hub: Hub, *, title: str = "telex", version: str = "1.0.0") -> Data:
    """Return the AsyncAPI document of a hub: its typed topics (``send``), handlers (``receive``) and commands
    (``receive`` with a reply). ``title`` and ``version`` are those of the program.

    The server is the hub's URL without user, password and options. Groups are the extension ``x-telex-group``. Raises
    `BadOption`.
    """
    for option, value in (("title", title), ("version", version)):
        if not isinstance(value, str) or not value:
            raise BadOption(option, value, "it must be text that is not empty")
    return _Writer(hub).document(title, version)


class _Names:
    """Keys of a document, which may have letters, digits, ``_`` and ``-`` only. Each name gets one key."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._taken: set[str] = set()

    def key(self, name: str) -> str:
        """Return the key of a name."""
        if name not in self._keys:
            base = _UNSAFE.sub("_", name).strip("_") or "all"
            key, number = base, 1
            while key in self._taken:
                number += 1
                key = f"{base}_{number}"
            self._keys[name] = key
            self._taken.add(key)
        return self._keys[name]


class _Writer:
    """Writes the document of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._runtime = runtime_of(hub)
        self._schemas = _Schemas()
        self._channels: dict[str, Data] = {}
        self._operations: dict[str, Data] = {}
        self._keys, self._operation_keys = _Names(), _Names()

    def document(self, title: str, version: str) -> Data:
        for topic in self._runtime.topics.all():
            if topic.type is not None and not is_pattern(topic.id) and not topic.id.startswith("$"):
                self._send(topic.id, [topic.type])
        for spec in self._hub.declarations:
            if not any(pattern.startswith("$") for pattern in spec.patterns):
                self._receive(spec)
        for command in self._hub.declared_commands:
            self._command(command)
        written: Data = {"asyncapi": VERSION, "info": {"title": title, "version": version}}
        written["defaultContentType"] = JSON
        written["servers"] = {"engine": _server(self._hub.url)}
        written["channels"] = self._channels
        written["operations"] = self._operations
        written["components"] = {"schemas": self._schemas.components}
        return written

    def _send(self, topic: str, types: Sequence[Any]) -> None:
        channel, messages = self._channel(topic, types)
        self._operation(f"send {topic}", {"action": "send", "channel": channel, "messages": messages})

    def _receive(self, spec: HandlerSpec) -> None:
        takes = spec.content(self._runtime) or spec.takes
        types = spec.types or (() if takes is None else (takes.declared,))
        for pattern in spec.patterns:
            channel, messages = self._channel(pattern, types)
            operation: Data = {"action": "receive", "channel": channel, "messages": messages}
            operation |= _described(spec.name, spec.function)
            operation["x-telex-concurrency"] = spec.concurrency
            if spec.group is not None:
                group = spec.group
                about: Data = {"name": group.name, "attempts": group.retry.attempts, "leaseSeconds": group.lease}
                operation["x-telex-group"] = about | {"deadLetter": group.dead_letter or f"dead:{group.name}"}
            self._operation(f"receive {pattern} {spec.name}", operation)

    def _command(self, command: Command) -> None:
        name, prefix = command.name, f"$command:{command.name}"
        channel, messages = self._channel(f"{prefix}:request", _types(command.takes))
        outcome = self._schemas.outcome(command)
        reply, replies = self._channel(f"{prefix}:reply", (), outcome, address=None)
        operation: Data = {"action": "receive", "channel": channel, "messages": messages}
        operation |= _described(name, command.function)
        address = {"location": "$message.header#/telex-inbox", "description": "The reply inbox of the sender."}
        operation["reply"] = {"address": address, "channel": reply, "messages": replies}
        if command.once is not None:
            operation["x-telex-once"] = True
        self._operation(f"command {name}", operation)
        followed, outcomes = self._channel(f"{prefix}:outcome", (), outcome)
        sent = {"action": "send", "channel": followed, "messages": outcomes, "title": f"outcomes of {name}"}
        self._operation(f"outcome {name}", sent)
        if command.streams:
            stream, parts = self._channel(f"$stream:{name}:*", _types(command.gives))
            sent = {"action": "send", "channel": stream, "messages": parts, "title": f"parts of {name}"}
            self._operation(f"stream {name}", sent)

    def _operation(self, name: str, operation: Data) -> None:
        self._operations[self._operation_keys.key(name)] = operation

    def _channel(
        self, name: str, types: Sequence[Any], payload: Data | None = None, *, address: str | None = ""
    ) -> tuple[Data, list[Data]]:
        """Add messages to the channel of a topic or pattern. Return references to the channel and the messages."""
        key = self._keys.key(name)
        channel = self._channels.get(key)
        if channel is None:
            path, parameters = _address(name)
            channel = self._channels[key] = {"address": None if address is None else path, "messages": {}}
            if parameters:
                channel["parameters"] = parameters
        kind = self._content_type(name)
        found: Mapping[str, Data] = (
            {"Outcome": {"payload": payload, "contentType": JSON}}
            if payload is not None
            else {_name(each): self._message(each, kind) for each in types} or {"any": {"payload": {}}}
        )
        known: dict[str, Data] = channel["messages"]
        keys = [_UNSAFE.sub("_", each) for each in found]
        known.update({k: {"name": each} | found[each] for k, each in zip(keys, found, strict=True)})
        return {"$ref": f"#/channels/{key}"}, [{"$ref": f"#/channels/{key}/messages/{k}"} for k in keys]

    def _message(self, type: Any, kind: str) -> Data:
        binary = isinstance(type, builtin_type) and issubclass(type, (bytes, bytearray))
        return {"payload": self._schemas.of(type), "contentType": BYTES if binary and kind == JSON else kind}

    def _content_type(self, name: str) -> str:
        if is_pattern(name):
            return JSON
        format = publisher_of(self._runtime.topic(name)).format
        return JSON if format is None else format.codec.content_type


builtin_type = type
"""The builtin ``type``, for methods that have an argument of the same name."""


class _Schemas:
    """JSON Schemas of types; those of classes are components that others refer to."""

    def __init__(self) -> None:
        self.components: dict[str, Data] = {}

    def of(self, declared: Any) -> Data:
        """Return the schema of a type; an empty one, which allows all, for a type without a schema."""
        try:
            (schema,), components = msgspec.json.schema_components(
                (declared,), schema_hook=self._hook, ref_template=f"{_SCHEMAS}{{name}}"
            )
        except (TypeError, RuntimeError):
            return self._by_pydantic(declared)
        return self._add(schema, components)

    def outcome(self, command: Command) -> Data:
        """Return the schema of the outcome of a command."""
        gives = command.gives
        result: Data = {"type": "integer"} if command.streams else {} if gives is None else self.of(gives.declared)
        failure = {
            "type": ["object", "null"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
        text = {"type": "string"}
        properties: Data = {"command": text, "id": text, "key": {"type": ["string", "null"]}, "result": result}
        properties |= {"error": failure, "attempt": {"type": "integer"}, "replayed": {"type": "boolean"}}
        return {"type": "object", "title": f"Outcome of {command.name}", "properties": properties}

    def _hook(self, cls: type) -> Data:
        if is_model(cls):
            return self._by_pydantic(cls)
        return {"title": cls.__name__}

    def _by_pydantic(self, declared: Any) -> Data:
        try:
            from pydantic import TypeAdapter

            schema = TypeAdapter(declared).json_schema(ref_template=f"{_SCHEMAS}{{model}}")
        except Exception:  # noqa: BLE001  # a type without a schema: everything is allowed
            return {"title": _name(declared)}
        return self._add(schema, schema.pop("$defs", {}))

    def _add(self, schema: Data, components: Mapping[str, Data]) -> Data:
        """Add components, and rename those whose name another class has."""
        renamed: dict[str, str] = {}
        for name, component in _without_discriminators(components).items():
            key, number = name, 1
            while key in self.components and self.components[key] != component:
                number += 1
                key = f"{name}_{number}"
            renamed[f"{_SCHEMAS}{name}"] = f"{_SCHEMAS}{key}"
            self.components[key] = component
        if any(old != new for old, new in renamed.items()):
            for new in renamed.values():
                key = new.removeprefix(_SCHEMAS)
                self.components[key] = _renamed(self.components[key], renamed)
        return _renamed(_without_discriminators(schema), renamed)  # type: ignore[no-any-return]  # a dict stays a dict


def _renamed(data: Any, names: Mapping[str, str]) -> Any:
    if isinstance(data, dict):
        return {
            key: names.get(value, value) if key == "$ref" else _renamed(value, names) for key, value in data.items()
        }
    return [_renamed(each, names) for each in data] if isinstance(data, list) else data


def _without_discriminators(data: Any) -> Any:
    """Return schemas without the ``discriminator`` objects of OpenAPI, which AsyncAPI does not allow. The tag of each
    member of a union is a constant in its own schema.
    """
    if isinstance(data, dict):
        return {
            key: _without_discriminators(value)
            for key, value in data.items()
            if key != "discriminator" or not isinstance(value, dict) or "propertyName" not in value
        }
    return [_without_discriminators(each) for each in data] if isinstance(data, list) else data


def _types(content: Content[Any] | None) -> tuple[Any, ...]:
    return () if content is None else (content.declared,)


def _name(declared: Any) -> str:
    """Return the name of a type as a program writes it, without modules and annotations."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        return _name(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_name, arguments))
    if origin is None or not arguments:
        return declared.__name__ if isinstance(declared, type) else str(declared).removeprefix("typing.")
    return f"{_name(origin)}[{', '.join(map(_name, arguments))}]"


def _described(title: str, function: object) -> Data:
    text = inspect.getdoc(function)
    return {"title": title} | ({"description": text} if text else {})


def _address(name: str) -> tuple[str, Data]:
    """Return the address of a topic or pattern, with a parameter in place of each wildcard."""
    tokens, parameters = [], Data()
    for number, token in enumerate(name.split(":"), 1):
        if token not in ("*", ">"):
            tokens.append(token)
            continue
        parameter = "rest" if token == ">" else f"part{number}"
        parameters[parameter] = {"description": "One or more tokens." if token == ">" else "One token."}
        tokens.append(f"{{{parameter}}}")
    return ":".join(tokens), parameters


def _server(url: str) -> Data:
    """Return the server of a URL, without user, password and options."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a password with a mark that no URL has
        return {"host": "localhost", "protocol": url.partition(":")[0]}
    host = parts.hostname or "localhost"
    server: Data = {"host": f"{host}:{port}" if port else host, "protocol": parts.scheme or "telex"}
    if parts.path.strip("/"):
        server["pathname"] = parts.path
    return server


# -- the page

_STYLE = """:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:2rem auto;
padding:0 1rem}pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:.4rem}code{font-size:.9em}
section{border-top:1px solid #8886;margin-top:1.5rem}dt{font-weight:600}"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page: its own style, and nothing from elsewhere."""


def page(written: Mapping[str, Any]) -> str:
    """Return a document as an HTML page that loads nothing, to send with the header of `POLICY`."""
    info = written["info"]
    title = escape(f"{info['title']} {info['version']}")
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>']
    parts.append(f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><main><h1>{title}</h1>')
    server = written["servers"]["engine"]
    parts.append(f"<p>Server: <code>{escape(server['protocol'])}://{escape(server['host'])}</code></p>")
    parts.append("<h2>Operations</h2>")
    for key, operation in written["operations"].items():
        parts += _operation_lines(key, operation, written["channels"])
    parts.append("<h2>Schemas</h2>")
    schemas = written["components"]["schemas"].items()
    parts += [f"<section><h3>{escape(name)}</h3>{_code(schema)}</section>" for name, schema in schemas]
    parts.append(
        f"<h2>Document</h2><details><summary>AsyncAPI {VERSION}</summary>{_code(written)}</details></main></html>"
    )
    return "\n".join(parts)


def _operation_lines(key: str, operation: Mapping[str, Any], channels: Mapping[str, Any]) -> Iterable[str]:
    channel = channels[operation["channel"]["$ref"].rpartition("/")[2]]
    yield f'<section id="{escape(key)}"><h3>{escape(operation.get("title", key))}</h3>'
    yield f"<p>{escape(operation['action'])} <code>{escape(str(channel['address']))}</code></p>"
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    yield "<dl>"
    for name, value in operation.items():
        if name.startswith("x-telex-"):
            yield f"<dt>{escape(name.removeprefix('x-telex-'))}</dt><dd>{_code(value)}</dd>"
    for reference in [*operation["messages"], *operation.get("reply", {}).get("messages", ())]:
        _, _, of, _, message = reference["$ref"].split("/")
        yield f"<dt>message {escape(message)}</dt><dd>{_code(channels[of]['messages'][message])}</dd>"
    yield "</dl></section>"


def _code(data: object) -> str:
    # In the order of the tab key, so that a keyboard scrolls it.
    return f"<pre tabindex=0><code>{escape(msgspec.json.format(msgspec.json.encode(data)).decode())}</code></pre>"
