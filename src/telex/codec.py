"""Content at the boundary: what may be published under a type, and content as JSON bytes.

Inside one process objects pass by reference. Only what comes from or goes to a disk, a network or a browser is
decoded and encoded, and only there a type is enforced field by field.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast, get_origin, is_typeddict

import msgspec

from telex.errors import BadOption, ContentError

T = TypeVar("T")


def to_json(value: object) -> bytes:
    """JSON bytes of content: what msgspec encodes, and pydantic models by their own dump.

    Raises `TypeError` (the publisher's fault) for an object that has no JSON form.
    """
    return _encoder.encode(value)


def to_canonical(value: object) -> bytes:
    """As `to_json`, with the keys of dicts sorted and no choice left: equal content has equal bytes."""
    try:
        return _canonical.encode(value)
    except TypeError:
        # Keys that are numbers, dates or the like can be sorted when they are text.
        plain = msgspec.to_builtins(value, str_keys=True, order="sorted", enc_hook=_encode_foreign)
        return _canonical.encode(plain)


def from_json(data: bytes | str) -> object:
    """Plain objects from JSON. Raises `ValueError` (the sender's fault) when it is not JSON."""
    return msgspec.json.decode(data)


def size_of(content: object) -> int:
    """Bytes that content counts for: its own length for bytes and text, its JSON for the rest.

    An object without a JSON form, which only ever travels by reference, counts for its shallow size in memory.
    """
    if isinstance(content, (bytes, bytearray)):
        return len(content)
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    try:
        return len(_encoder.encode(content))
    except (TypeError, ValueError, RecursionError):
        return sys.getsizeof(content)


class Content(Generic[T]):
    """The declared type of a topic's content: `check` for what a program publishes, `decode` for what comes from
    outside.

    ``declared`` may be a class, a msgspec struct, a dataclass, a TypedDict, a pydantic model or any type that msgspec
    knows (``list[int]``, ``int | str``). Raises `BadOption` when it is none of them.
    """

    __slots__ = ("_convert", "_instance", "declared")

    def __init__(self, declared: type[T]) -> None:
        self.declared: type[T] = declared
        self._convert: Callable[[object], Any]
        validate = getattr(declared, "model_validate", None)
        if callable(validate):
            self._convert = validate
        else:
            try:
                msgspec.json.Decoder(declared)
            except (TypeError, RuntimeError) as error:
                if not isinstance(declared, type):
                    raise BadOption("type", declared, f"give a class or a type that msgspec knows ({error})") from None
                self._convert = _refuse_all(declared)
            else:
                self._convert = lambda value: msgspec.convert(value, declared)
        # A class that is not a TypedDict can be tested with isinstance, and then content passes by reference. A plain
        # bool is refused where an int is declared, as msgspec does.
        plain = isinstance(declared, type) and get_origin(declared) is None and not is_typeddict(declared)
        self._instance: type | None = declared if plain else None

    @property
    def name(self) -> str:
        """The type's name as people write it."""
        return self.declared.__name__ if isinstance(self.declared, type) else str(self.declared)

    def check(self, content: object, topic: str) -> T:
        """Content that a program publishes: an instance passes as it is, plain data of the right shape is converted.

        Raises `ContentError` with the path to the field that does not fit.
        """
        instance = self._instance
        if (
            instance is not None
            and isinstance(content, instance)
            and not (instance is int and isinstance(content, bool))
        ):
            return cast("T", content)
        return self.decode(content, topic)

    def decode(self, data: object, topic: str) -> T:
        """Plain data from outside as the declared type. Raises `ContentError` with the path to the field."""
        try:
            return cast("T", self._convert(data))
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `")
            raise ContentError(
                topic, f"{problem} (expected as a whole: {self.name})", path.rstrip("`") or "$"
            ) from None
        except ValueError as error:
            problem, path = _pydantic_problem(error)
            raise ContentError(topic, f"{problem} (expected as a whole: {self.name})", path) from None

    def __repr__(self) -> str:
        return f"Content({self.name})"


def _refuse_all(declared: type) -> Callable[[object], Any]:
    """For a class that msgspec cannot build from plain data: instances alone are taken."""

    def refuse(value: object) -> Any:
        raise msgspec.ValidationError(f"Expected an instance of {declared.__name__}, got {type(value).__name__}")

    return refuse


def _pydantic_problem(error: ValueError) -> tuple[str, str]:
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return str(error), "$"
    first = errors()[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    return str(first["msg"]), "$" + path


def _encode_foreign(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(
        f"{type(value).__name__} has no JSON form: use a struct, a dataclass, a model, or dicts, lists and text"
    )


_encoder = msgspec.json.Encoder(enc_hook=_encode_foreign)
_canonical = msgspec.json.Encoder(enc_hook=_encode_foreign, order="sorted")
