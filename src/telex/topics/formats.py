"""`TopicFormats`: the codec and the transforms of each topic of a hub."""

from __future__ import annotations

from typing import Any

from telex.codec.content import Content
from telex.codec.encoded import CONTENT_TYPE, Encoded
from telex.codec.formats import Format, Formats
from telex.errors import BadOption
from telex.message import Draft, Message
from telex.names import is_pattern
from telex.topics.types import check_held


class TopicFormats:
    """The formats of topics, by name: declared ones, and for other topics the default of the hub."""

    def __init__(self) -> None:
        self.known: Formats = Formats()
        """The codecs and transforms of the hub; set before the first topic is made."""
        self._declared: dict[str, Format | None] = {}  # also of released topics

    def of(self, name: str) -> Format | None:
        """Return the format of a topic; None is plain JSON."""
        return self._declared[name] if name in self._declared else self.known.format_for(name)

    def declare(self, name: str, content_type: str | None, content_encoding: str | None) -> Format | None:
        """Set the format of a topic; None leaves the default of the hub. Raises `BadOption`: for a pattern, an unknown
        name, or another format than the topic was declared with.
        """
        given = content_type if content_type is not None else content_encoding
        option = "content_type" if content_type is not None else "content_encoding"
        if is_pattern(name):
            fix = "a pattern is only read, and readers decode by the message; give it to one topic, or to telex.Hub"
            raise BadOption(option, given, fix)
        chosen = self.known.format(content_type, content_encoding)
        if name in self._declared and self._declared[name] != chosen:
            known = "application/json" if self._declared[name] is None else str(self._declared[name])
            raise BadOption(option, given, f"topic {name!r} is declared with {known} already; use one format for it")
        self._declared[name] = chosen
        return chosen

    def draft_of(self, message: Message[Any], declared: Content[Any] | None) -> Draft:
        """Return the draft of a message of another system, encoded as its topic here, or else as the message was.
        Raises `ContentError` unless its content comes back equal.
        """
        draft = Draft.of(message)
        if draft.encoded is not None:
            return draft
        format, origin = self.of(message.topic), message.headers.get(CONTENT_TYPE)
        if message.topic not in self._declared and origin is not None and self.known.has(origin):
            format = self.known.format(origin, None)
        if format is None:
            check_held(declared, message.content, message.topic, message.type)
            return draft
        return draft.with_encoded(format.encode(message.content, message.topic, declared, held=False))

    def decode(self, data: Encoded, topic: str, type: type[Any] | None) -> object:
        """Return the content of `Encoded` data, see `Formats.decode`."""
        return self.known.decode(data, topic, type)
