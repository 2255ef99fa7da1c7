"""Values as JSON bytes, and the reason when a value has no JSON form.

msgspec encodes values; a pydantic model encodes itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec

from telex.codec.encoded import Encoded
from telex.codec.roundtrip import MAX_NESTING, NOT_FINITE, children, is_model, is_too_deep, obstacle
from telex.errors import ContentError, printable, text_of

TOO_DEEP = f"it is nested more than {MAX_NESTING} levels deep, or contains itself; publish flatter data"


def to_json(value: object) -> bytes:
    """Return the JSON bytes of a value. msgspec encodes the value; a pydantic model encodes itself.

    Raises `TypeError` or `ValueError` (the publisher's fault) for a value without a JSON form, such as NaN or infinity.
    """
    data = _encoder.encode(value)
    return finite(data, value) if b"null" in data else data


def from_json(data: bytes | str | msgspec.Raw) -> object:
    """Return JSON as plain data. Raises `ValueError` (the sender's fault) when ``data`` is not JSON."""
    return _decode(data)


def from_stored(data: bytes | str, topic: str) -> object:
    """Return stored JSON as plain data. Raises `ContentError` for any fault in it."""
    try:
        return msgspec.json.decode(data)
    except MemoryError:
        raise
    except RecursionError:
        raise ContentError(topic, f"it is nested more than {MAX_NESTING} levels deep", stored=True) from None
    except Exception as error:
        raise ContentError(topic, f"it is not JSON: {text_of(error)}", stored=True) from error


def plain_json(value: object, name: str) -> bytes:
    """Return the JSON of a value without a declared type; readers get plain data. Raises `ContentError`, with the path,
    for a value without a JSON form.
    """
    data = encoded(value, name)
    if is_too_deep(data):
        raise ContentError(name, TOO_DEEP)
    found = obstacle_in(value) if b"null" in data else None
    if found is not None:
        raise refusal(name, found, "return plain JSON data, or annotate the type")
    return data


def to_canonical(value: object) -> bytes:
    """Return canonical JSON: equal content has equal bytes in every process. Keys of dicts and members of sets are
    sorted. Raises as `to_json`.
    """
    try:
        data = _canonical.encode(value)
    except TypeError:  # the keys have several types, or members of a set cannot be compared
        data = _canonical.encode(_sorted(value))
    return finite(data, value) if b"null" in data else data


def size_of(content: object) -> int:
    """Return the number of bytes that content counts for: the length of bytes and text, the length of the JSON of other
    content.

    An object without a JSON form, which never leaves the process, counts for its shallow size in memory.
    """
    if isinstance(content, (bytes, bytearray)):
        return len(content)
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    try:
        return len(_encoder.encode(content))
    except (TypeError, ValueError, RecursionError):
        return sys.getsizeof(content)


def size_of_headers(headers: Mapping[str, str] | None) -> int:
    """Return the number of bytes that headers count for: their names and values."""
    if not headers:
        return 0
    return sum(size_of(name) + size_of(value) for name, value in headers.items())


# -- values without a JSON form


def proven(content: object) -> bytes | None:
    """Return the JSON of plain data that comes back equal, or None when the data does not come back equal."""
    try:
        data = _encoder.encode(content)
        if _decode(data) == content and (len(data) <= MAX_NESTING or not is_too_deep(data)):
            return data
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # the caller finds the problem and its path
        return None
    return None


def encoded(content: object, topic: str) -> bytes:
    """Return the JSON of content. Raises `ContentError`, with the path to the part without a JSON form."""
    try:
        return _encoder.encode(content)
    except MemoryError:
        raise
    except RecursionError:
        raise ContentError(topic, TOO_DEEP) from None
    except Exception as error:
        found = obstacle_in(content)
        path, problem = ("$", text_of(error)) if found is None else found
        raise ContentError(topic, f"it has no JSON form: {problem}", path) from error


def obstacle_in(content: object) -> tuple[str, str] | None:
    """Return the path to the first part without a JSON form, and the problem; None when there is none."""
    try:
        found = obstacle(content, _problem_of)
    except RecursionError:
        return "$", TOO_DEEP
    return None if found is None else (printable(found[0]), printable(found[1]))


def refusal(topic: str, found: tuple[str, str], fix: str) -> ContentError:
    """Return the error for content of ``topic`` that cannot be published. ``found`` is the place in the content
    (``$.author.name``) and the problem there; ``fix`` says what to publish instead.
    """
    path, problem = printable(found[0]), printable(found[1])
    return ContentError(topic, problem if problem == NOT_FINITE else f"{problem}; {fix}", path)


def _problem_of(value: object) -> str | None:
    try:
        data = _encoder.encode(value)
    except Exception as error:  # noqa: BLE001  # a model's own dump may raise anything
        return text_of(error)
    return NOT_FINITE if data == b"null" and value is not None else None


def _no_obstacle(value: object) -> None:
    """Return None: a part of plain data is refused only by the checks of `obstacle`."""


def finite(data: bytes, value: object) -> bytes:
    """Return ``data``, the JSON of ``value``. Raises `ValueError` when a number in the value is not finite."""
    if b"null" in data:  # msgspec writes NaN and infinity as null too
        found = obstacle(msgspec.to_builtins(value, str_keys=True, enc_hook=encode_foreign), _no_obstacle)
        if found is not None:
            raise ValueError(f"{found[1]} (at {found[0]})")
    return data


# -- types that msgspec does not support


def encode_foreign(value: object) -> object:
    """Return an object that msgspec does not support as plain data: a pydantic model, or `Encoded` bytes. Raises
    `TypeError` for others.
    """
    if is_model(type(value)):
        # by field name and without computed fields, so that a reader can build the model again
        return cast("Any", value).model_dump(mode="json", round_trip=True, warnings=False)
    if isinstance(value, Encoded):
        return bytes(value)
    raise TypeError(
        f"{type(value).__name__} has no JSON form: use a struct, a dataclass, a model, or dicts, lists and text"
    )


def _encode_canonical(value: object) -> object:
    """Encode an object as `encode_foreign` does, but keep the sets of a model as sets."""
    if is_model(type(value)):
        return cast("Any", value).model_dump(mode="python", round_trip=True, warnings=False)
    if "pydantic_core" in sys.modules:  # the value may be a field of a model, such as a URL
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        with suppress(PydanticSerializationError):
            return to_jsonable_python(value)
    return encode_foreign(value)


def _sorted(value: object) -> object:
    """Return the value with keys as text, and with sets as lists that are sorted by the JSON of their members."""
    if is_model(type(value)):
        value = _encode_canonical(value)
    if isinstance(value, (set, frozenset)):
        return [msgspec.Raw(part) for part in sorted(to_canonical(part) for part in value)]
    if isinstance(value, dict):
        return {next(iter(msgspec.to_builtins({key: 0}, str_keys=True))): _sorted(part) for key, part in value.items()}
    parts = children(value)
    if parts is None:
        return value
    if isinstance(value, (list, tuple)):
        return [_sorted(part) for _, part in parts]
    return {place.removeprefix("."): _sorted(part) for place, part in parts}


_encoder = msgspec.json.Encoder(enc_hook=encode_foreign)
_decode = msgspec.json.Decoder().decode
_canonical = msgspec.json.Encoder(enc_hook=_encode_canonical, order="sorted")
