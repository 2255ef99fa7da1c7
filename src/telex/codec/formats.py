"""Codecs and transforms: how a topic's content becomes bytes, and how readers decode them.

A codec encodes content as bytes of a content type. Transforms change these bytes before they are stored: they compress
or encrypt. A message carries the names of both, so that a reader decodes it by what the message says.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from telex.codec.content import BYTES as BINARY
from telex.codec.content import Content, reader_of
from telex.codec.encoded import BYTES, JSON, Encoded
from telex.codec.encoding import TOO_DEEP, encode_foreign, refusal, to_json
from telex.codec.roundtrip import difference
from telex.errors import BadOption, ContentError, reason_of

logger: logging.Logger = logging.getLogger("telex")
MSGPACK = "application/msgpack"
MAX_LOGGED = 100
"""The number of unknown content types and transforms that are logged."""
_TOKEN = re.compile(r"[a-z0-9!#$&^_.+-]+")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
EXAMPLE = "a content type such as application/x-protobuf"


class Codec(Protocol):
    """A codec of one content type, for ``telex.Hub(codecs=[...])``. Both methods are called in the event loop."""

    @property
    def content_type(self) -> str:
        """The content type that messages name, such as ``application/x-protobuf``."""

    def encode(self, content: Any) -> bytes:
        """Return content as bytes. Any exception refuses the content: the publisher gets a `ContentError`."""

    def decode(self, data: bytes, type: type[Any] | None) -> object:
        """Return the content: an object of ``type``, or plain data, which telex converts to it. ``type`` is the type
        that the topic or a handler declares, or None. Any exception makes the message unreadable.
        """


class Transform(Protocol):
    """A reversible change of encoded content, for ``telex.Hub(transforms=[...])``: compression or encryption."""

    @property
    def content_encoding(self) -> str:
        """The name of the transform, such as ``zlib``."""

    @property
    def key_id(self) -> str | None:
        """The id of the key for new messages, which they carry; None for a transform without keys."""

    def encode(self, data: bytes) -> bytes:
        """Return changed bytes, with the key `key_id`."""

    def decode(self, data: bytes, key_id: str | None) -> bytes:
        """Return the bytes that `encode` changed, with the key ``key_id`` of the message. Any exception makes the
        message unreadable, also the `KeyError` of an unknown key.
        """


class MessagePack:
    """The codec of ``application/msgpack``. Every hub has it."""

    content_type: str = MSGPACK
    """The content type of its messages."""

    def encode(self, content: Any) -> bytes:
        """Return MessagePack. Keys of dicts may be of any type that msgspec supports."""
        return msgspec.msgpack.encode(content, enc_hook=encode_foreign)

    def decode(self, data: bytes, type: type[Any] | None) -> object:
        """Return plain data."""
        return msgspec.msgpack.decode(data)


class Json:
    """The codec of ``application/json``, for JSON that is transformed."""

    content_type: str = JSON
    """The content type of its messages."""

    def encode(self, content: Any) -> bytes:
        """Return JSON."""
        return to_json(content)

    def decode(self, data: bytes, type: type[Any] | None) -> object:
        """Return plain data."""
        return msgspec.json.decode(data)


class Binary:
    """The codec of ``application/octet-stream``: content that is bytes already."""

    content_type: str = BYTES
    """The content type of its messages."""

    def encode(self, content: Any) -> bytes:
        """Return the bytes."""
        return bytes(content)

    def decode(self, data: bytes, type: type[Any] | None) -> object:
        """Return the bytes."""
        return data


class Format:
    """The codec of a topic, and the transforms that are applied to its bytes in this order."""

    def __init__(self, codec: Codec, transforms: Sequence[Transform]) -> None:
        self.codec: Codec = codec
        self.transforms: tuple[Transform, ...] = tuple(transforms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and (self.codec, self.transforms) == (other.codec, other.transforms)

    def __hash__(self) -> int:
        return hash((self.codec.content_type, len(self.transforms)))

    def __str__(self) -> str:
        return ", ".join([self.codec.content_type, *(each.content_encoding for each in self.transforms)])

    def describe(self, content: object) -> Encoded:
        """Return an empty `Encoded` for content that is not stored: only its content type is known."""
        return content if isinstance(content, Encoded) else Encoded(b"", self._codec_for(content).content_type)

    def encode(
        self, content: object, topic: str, declared: Content[Any] | None, *, held: bool, data: bytes | None = None
    ) -> Encoded:
        """Return the encoded and transformed content of a message of ``topic``, whose type is ``declared``. Content
        that is `Encoded` stays as it is. ``data`` is the JSON of the content, if known.

        Raises `ContentError`: the codec refuses the content, or it would not come back equal. ``held``: it is certain
        that it comes back equal.
        """
        if isinstance(content, Encoded):
            return content
        codec = self._codec_for(content)
        if data is None or codec.content_type != JSON:
            data = _called(codec.encode, content, topic, f"the codec of {codec.content_type} refuses it")
            if not held:
                _prove(codec, data, content, topic, declared)
        names = []
        for transform in self.transforms:
            key = transform.key_id
            data = _called(transform.encode, data, topic, f"the transform {transform.content_encoding!r} refuses it")
            names.append(transform.content_encoding if key is None else f"{transform.content_encoding}; key={key}")
        return Encoded(data, codec.content_type, ", ".join(names))

    def _codec_for(self, content: object) -> Codec:
        return Binary() if self.codec.content_type == JSON and isinstance(content, BINARY) else self.codec


PLAIN: Format = Format(Json(), ())
"""JSON, for content that is `Encoded` already on a topic without a format."""


class Formats:
    """The codecs and transforms of a hub, and its default for topics. Raises `BadOption`."""

    def __init__(
        self,
        codecs: Iterable[Codec] = (),
        transforms: Iterable[Transform] = (),
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> None:
        self._codecs: dict[str, Codec] = {each.content_type: each for each in (Json(), Binary(), MessagePack())}
        for option, given in (("codecs", codecs), ("transforms", transforms)):
            if not isinstance(given, Iterable):
                raise BadOption(option, given, f"it must be a list of {option}")
        named = _by_name(codecs, "codecs", "content_type", _MEDIA_TYPE, EXAMPLE)
        for kind in (JSON, BYTES):
            if kind in named:
                fix = (
                    "telex encodes this content type itself; it must be another one, such as application/vnd.shop+json"
                )
                raise BadOption("codecs", named[kind], fix)
        self._codecs |= named
        self._transforms: dict[str, Transform] = _by_name(
            transforms, "transforms", "content_encoding", _TOKEN, "a name such as zlib"
        )
        self.default: Format | None = None
        """The format of topics without one of their own; None is JSON."""
        self.default = self.format(content_type, content_encoding)
        self._logged: set[str] = set()
        self.keeps_encoded: Literal["none", "unknown", "all"] = "none"
        """The content that is read as `Encoded`, so that it can be copied: ``unknown`` is content whose codec or
        transform this hub lacks. With ``none`` that content is unreadable.
        """

    def format(self, content_type: str | None, content_encoding: str | None) -> Format | None:
        """Return the format for a topic's options, where None stands for the default. Return None for plain JSON."""
        codec, transforms = (
            (JSON, ()) if self.default is None else (self.default.codec.content_type, self.default.transforms)
        )
        chosen = self._codec(codec if content_type is None else content_type)
        if content_encoding is not None:
            names = [name.strip() for name in str(content_encoding).split(",") if name.strip() not in ("", "identity")]
            transforms = tuple(self._transform(name) for name in names)
        return None if chosen.content_type == JSON and not transforms else Format(chosen, transforms)

    def has(self, content_type: str) -> bool:
        """Return true when there is a codec of this content type."""
        return content_type in self._codecs

    def format_for(self, topic: str) -> Format | None:
        """Return the default format of a topic. Content of telex's own topics is JSON, except arguments of commands."""
        default = self.default
        if (
            default is None
            or not topic.startswith("$")
            or (topic.startswith("$command:") and topic.endswith(":request"))
        ):
            return default
        return Format(Json(), default.transforms) if default.transforms else None

    def _codec(self, name: str) -> Codec:
        codec = self._codecs.get(name) if isinstance(name, str) else None
        if codec is None:
            fix = f"it must be one of {', '.join(self._codecs)}; register another codec: telex.Hub(codecs=[...])"
            raise BadOption("content_type", name, fix)
        return codec

    def _transform(self, name: str) -> Transform:
        transform = self._transforms.get(name)
        if transform is None:
            known = ", ".join(self._transforms) or "empty"
            fix = f"its names must be transforms of the hub ({known}); register one: telex.Hub(transforms=[...])"
            raise BadOption("content_encoding", name, fix)
        return transform

    def decode(self, data: Encoded, topic: str, type: type[Any] | None) -> object:
        """Return the content of `Encoded` data: an object of ``type``, or plain data. Raises `ContentError`, which says
        what to register.
        """
        if self.keeps_encoded == "all":
            return data
        steps = [_parsed(step) for step in data.content_encoding.split(",") if step]
        codec = self._codecs.get(data.content_type)
        lacking = next((name for name, _ in steps if name not in self._transforms), None)
        if lacking is None and codec is not None:
            return self._decoded(data, codec, steps, topic, type)
        if self.keeps_encoded == "unknown":
            return data
        if lacking is not None:
            problem = f"its content encoding is {lacking!r}: register its transform, telex.Hub(transforms=[...])"
        else:
            problem = f"its content type is {data.content_type!r}: register its codec, telex.Hub(codecs=[...])"
        error = ContentError(topic, problem, stored=True)
        if problem not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(problem)
            logger.error("%s; this is logged once", error)
        raise error

    def bytes_of(self, content: object, content_type: str) -> bytes | None:
        """Return content without a JSON form as its codec encodes it, without transforms; None without a codec."""
        codec = self._codecs.get(content_type)
        return None if codec is None else _called(codec.encode, content, content_type, "its codec refuses it")

    def _decoded(
        self, data: bytes, codec: Codec, steps: Sequence[tuple[str, str | None]], topic: str, type: type[Any] | None
    ) -> object:
        name = ""
        try:
            for name, key in reversed(steps):
                data = self._transforms[name].decode(data, key)
            name = codec.content_type
            return codec.decode(bytes(data), type)
        except MemoryError:
            raise
        except Exception as error:  # a codec of the program may raise anything
            raise ContentError(topic, f"{name!r} cannot decode it: {reason_of(error)}", stored=True) from error


def _name_of(given: object, option: str, member: str, form: re.Pattern[str], example: str) -> str:
    """Return the name of a codec or transform. Raises `BadOption`."""
    name = getattr(given, member, None)
    if not all(callable(getattr(given, method, None)) for method in ("encode", "decode")):
        raise BadOption(option, given, f"each must have {member}, encode and decode")
    if not isinstance(name, str) or form.fullmatch(name) is None:
        raise BadOption(option, given, f"its {member} must be {example}, in small letters")
    return name


def _by_name(given: Iterable[Any], option: str, member: str, form: re.Pattern[str], example: str) -> dict[str, Any]:
    """Return codecs or transforms by their names. Raises `BadOption`."""
    found: dict[str, Any] = {}
    for each in given:
        name = _name_of(each, option, member, form, example)
        if name in found:
            raise BadOption(option, each, f"another one has the {member} {name!r} too; it must be one for each")
        found[name] = each
    return found


def _parsed(step: str) -> tuple[str, str | None]:
    """Return the name of a transform and the id of its key, from ``jwe; key=2026-11``."""
    name, _, key = step.partition(";")
    return name.strip(), key.strip().removeprefix("key=") or None


def _called(encode: Callable[[Any], bytes], content: object, topic: str, problem: str) -> bytes:
    try:
        data = encode(content)
    except MemoryError:
        raise
    except RecursionError:
        raise ContentError(topic, TOO_DEEP) from None
    except Exception as error:
        raise ContentError(topic, f"{problem}: {reason_of(error)}") from error
    if not isinstance(data, bytes):
        raise ContentError(topic, f"{problem}: it returns {type(data).__name__}; it must return bytes")
    return data


def _prove(codec: Codec, data: bytes, content: object, topic: str, declared: Content[Any] | None) -> None:
    """Raise `ContentError` unless a reader gets equal content."""
    cls = type(content)
    try:
        back = reader_of(declared, content)(codec.decode(data, cls if declared is None else declared.declared))
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(topic, f"a reader cannot decode it: {reason_of(error)}") from error
    found = difference(content, back)
    if found is not None:
        raise refusal(topic, found, "publish other content, or declare the topic's type: hub.topic(name, type)")
