"""Content at the boundary of a process: which content a topic accepts, and content as JSON bytes.

Inside one process objects pass by reference. Content is encoded and decoded only for a disk, a network or a browser.
Only there each field is checked against the declared type. `hold` proves that content survives this: it encodes the
content, decodes it as a reader does, and compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from types import MappingProxyType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, is_typeddict
from uuid import UUID

import msgspec

from telex.codec.encoding import (
    TOO_DEEP,
    encoded,
    finite,
    from_json,
    from_stored,
    obstacle_in,
    plain_json,
    proven,
    refusal,
    size_of,
    size_of_headers,
    to_canonical,
    to_json,
)
from telex.codec.roundtrip import MAX_NESTING, difference, is_model, is_record, is_too_deep
from telex.errors import BadOption, ContentError, printable, reason_of, text_of

__all__ = [
    "BYTES",
    "STANDARD",
    "Content",
    "finite",
    "from_json",
    "from_stored",
    "hold",
    "plain_json",
    "size_of",
    "size_of_headers",
    "to_canonical",
    "to_json",
]
T = TypeVar("T")
Decode = Callable[[object], Any]
type_of = type
"""The builtin ``type``, for methods that have an argument of the same name."""
BYTES = (bytes, bytearray, memoryview)
"""Classes whose instances are stored as bytes, not as JSON."""
UNTYPED = "publish plain JSON data (text as keys), or declare the topic's type: hub.topic(name, type)"


def hold(content: object, topic: str) -> bytes | None:
    """Check that content of a topic without a declared type comes back equal after it was stored.

    Plain JSON data comes back as plain data, and a value of a class in `STANDARD` as that class. A record (a struct,
    dataclass, model, attrs class or named tuple) comes back as its own class where a reader declares that class.
    Returns the JSON that was decoded for the comparison, or None when no comparison was needed. Raises `ContentError`,
    with the path, for other content.
    """
    cls = type(content)
    if cls is dict or cls is list:
        return proven(content) or _prove(content, _plain, topic, UNTYPED)
    if cls in _AS_THEY_ARE or isinstance(content, BYTES) or (cls is str and content.isascii()):  # type: ignore[attr-defined]
        return None
    if is_record(cls):
        return _prove(content, partial(_convert, cls), topic, RECORD)
    if cls.__name__ in STANDARD and STANDARD[cls.__name__].declared is cls:
        return _prove(content, partial(_convert, cls), topic, UNTYPED)
    return _prove(content, _plain, topic, UNTYPED)


RECORD = "give its fields types that JSON carries, or declare the topic's type: hub.topic(name, type)"


def reader_of(declared: Content[Any] | None, content: object) -> Decode:
    """Return the function by which a reader makes such content of the data that a codec has decoded."""
    if declared is not None and declared.declared not in _ANYTHING:
        return partial(declared.decode, topic="", type=type(content).__name__)
    cls = type(content)
    standard = STANDARD.get(cls.__name__)
    if is_record(cls) or (standard is not None and standard.declared is cls):
        return partial(_convert, cls)
    return _plain


class Content(Generic[T]):
    """The declared type of a topic's content. `check` converts published content, `hold` checks content that is stored,
    and `decode` converts data from outside.

    ``declared`` may be a class, a msgspec struct, a dataclass, a TypedDict, a pydantic model or any type that msgspec
    supports (``list[int]``, ``int | str``), or a union with models that pydantic supports. Raises `BadOption` for any
    other type.
    """

    __slots__ = ("_build", "_decode", "_expected", "_scalar", "classes", "declared", "name")

    def __init__(self, declared: type[T]) -> None:
        self.declared: type[T] = declared
        self._decode: Decode = _decoder_of(declared, _decode_foreign)
        self._build: Decode = _decoder_of(declared, _build_foreign)
        # A class that is not a TypedDict can be tested with isinstance, and its instances pass by reference. A plain
        # bool is refused where an int is declared, as msgspec does.
        self.classes: tuple[type, ...] = tuple(_classes(declared))
        """The classes whose instances have the declared type."""
        self.name: str = declared.__name__ if isinstance(declared, type) else str(declared)
        """The type's name for error messages."""
        self._expected = f" (expected as a whole: {self.name})"
        # An object of exactly this class needs no conversion.
        self._scalar: type | None = declared if declared in _SCALARS else None

    def check(self, content: object, topic: str, type: str | None = None) -> T:
        """Return published content as the declared type: an instance unchanged, plain data converted, to the subclass
        named ``type`` if there is one.

        Raises `ContentError` with the path to the field that does not fit.
        """
        if type_of(content) is self._scalar:
            return content  # type: ignore[return-value]
        if isinstance(content, self.classes) and (not isinstance(content, bool) or int not in self.classes):
            return content  # type: ignore[return-value]
        found = self._subclass(type)
        build = self._build if found is None else partial(_build_from, found)
        return _decoded(content, build, topic, self._expected)  # type: ignore[no-any-return]

    def hold(self, content: T, topic: str, type: str | None = None) -> bytes | None:
        """Check that content comes back equal, and of this type, after it was stored. ``type`` is the type name that is
        stored with the content, or None. Returns the JSON that was decoded for the comparison, or None when no
        comparison was needed. Raises `ContentError` with the path to the difference.
        """
        if type_of(content) is self._scalar:
            data = proven(content)
            if data is not None:
                return data
        if self.declared in _ANYTHING:
            return hold(content, topic)
        if isinstance(content, BYTES):
            return None
        found, cls = self._subclass(type), type_of(content)
        if found is not None and found is not cls and cls.__name__ == type:
            where = f"{found.__module__}.{found.__qualname__}"
            problem = f"a reader would decode it as {where}, which is also named {type}"
            raise ContentError(topic, f"{problem}; rename one of the two, or declare the topic's type as {type}")
        return _prove(content, self._decode_as(type), topic, f"its type does not carry it{self._expected}")

    def decode(self, data: object, topic: str, type: str | None = None) -> T:
        """Return plain data from outside as the declared type, or as its subclass named ``type``. Raises `ContentError`
        with the path to the field, whatever exception the type raises.
        """
        if type_of(data) is self._scalar and (type is None or type == self.name):
            return data  # type: ignore[return-value]
        return _decoded(data, self._decode_as(type), topic, self._expected)  # type: ignore[no-any-return]

    def _decode_as(self, name: str | None) -> Decode:
        found = self._subclass(name)
        return self._decode if found is None else partial(_convert, found)

    def _subclass(self, name: str | None) -> type[Any] | None:
        """Return the subclass of this name that was defined last. ``slots=True`` defines a dataclass twice; the program
        uses the second class.
        """
        if name is None or any(cls is object or cls.__name__ == name for cls in self.classes):
            return None
        below = (cls for declared in self.classes for cls in _subclasses(declared))
        return next((cls for cls in below if cls.__name__ == name and (is_record(cls) or issubclass(cls, Enum))), None)

    def __repr__(self) -> str:
        return f"Content({self.name})"


def _classes(declared: Any) -> Iterator[type[Any]]:
    """Yield the classes whose instances have the declared type: for a union, the classes of its members."""
    if get_origin(declared) in (Union, UnionType):
        for part in get_args(declared):
            yield from _classes(part)
    elif isinstance(declared, type) and get_origin(declared) is None and not is_typeddict(declared):
        yield declared


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for each in reversed(type.__subclasses__(cls)):
        yield each
        yield from _subclasses(each)


# -- proving that content comes back


def _prove(content: object, decode: Decode, topic: str, fix: str) -> bytes:
    """Return the JSON of content that comes back equal. Raises `ContentError`."""
    data = encoded(content, topic)
    if is_too_deep(data):
        raise ContentError(topic, TOO_DEEP)
    plain = from_json(data)
    if decode is _plain:
        if plain == content:
            return data
        back = plain
    else:
        try:
            back = _decoded(plain, decode, topic, "")
        except ContentError as error:
            raise refusal(topic, obstacle_in(content) or (error.path, error.problem), fix) from error.__cause__
    found = difference(content, back)
    if found is not None:
        raise refusal(topic, found, fix)
    return data


# -- decoding


def _decoder_of(declared: Any, hook: Callable[[Any, object], Any]) -> Decode:
    """Return the decoder of a declared type. ``hook`` builds objects that msgspec cannot build. Raises `BadOption`."""
    try:
        msgspec.json.Decoder(declared, dec_hook=hook)
    except (TypeError, RuntimeError) as error:
        if _holds_model(declared):
            return _decoder_of_pydantic(declared, error, from_outside=hook is _decode_foreign)
        if not isinstance(declared, type):
            raise BadOption("type", declared, f"give a class or a type that msgspec knows ({error})") from None
        return partial(_decode_foreign, declared)
    return partial(_convert, declared) if hook is _decode_foreign else partial(_build_from, declared)


def _convert(declared: Any, data: object) -> Any:
    """Convert plain data to the declared type."""
    return msgspec.convert(data, declared, str_keys=True, dec_hook=_decode_foreign)


def _build_from(declared: Any, data: object) -> Any:
    """Convert data of this process, which may contain objects, to the declared type."""
    return msgspec.convert(data, declared, str_keys=True, dec_hook=_build_foreign)


def _decoder_of_pydantic(declared: Any, error: Exception, *, from_outside: bool) -> Decode:
    """Return the decoder of a union that contains a pydantic model: msgspec cannot choose the member of such a
    union.
    """
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        adapter = TypeAdapter(declared)
    except PydanticUserError:
        raise BadOption("type", declared, f"give a class or a type that msgspec knows ({error})") from None

    def decode(data: object) -> Any:
        return adapter.validate_json(to_json(data), by_alias=True, by_name=True)

    def build(data: object) -> Any:
        return _either(lambda: adapter.validate_python(data, by_alias=True, by_name=True), lambda: decode(data))

    return decode if from_outside else build


def _decode_foreign(declared: Any, data: object) -> Any:
    """Build an object of a class that msgspec does not support: a pydantic model from plain data. For any other class
    only an instance is accepted.
    """
    cls = _class_of(declared, data)
    return data if cls is None else cls.model_validate_json(to_json(data), by_alias=True, by_name=True)


def _build_foreign(declared: Any, data: object) -> Any:
    """Build an object as `_decode_foreign` does, from data of this process, which may contain objects without a JSON
    form.
    """
    cls = _class_of(declared, data)
    if cls is None:
        return data
    return _either(
        lambda: cls.model_validate(data, by_alias=True, by_name=True), lambda: _decode_foreign(declared, data)
    )


def _class_of(declared: Any, data: object) -> Any:
    """Return the model class for ``data``, or None when ``data`` is an instance."""
    cls = get_origin(declared) or declared
    if isinstance(data, cls):
        return None
    if not is_model(cls):
        raise msgspec.ValidationError(f"Expected an instance of {cls.__name__}, got {type(data).__name__}")
    return cls


def _either(build: Callable[[], Any], decode: Callable[[], Any]) -> Any:
    """Build a model from objects of this process; when that fails, from their JSON, which strict models accept
    differently.
    """
    try:
        return build()
    except ValueError as error:
        try:
            return decode()
        except TypeError:  # the objects have no JSON form
            raise error from None


def _holds_model(declared: Any) -> bool:
    return is_model(declared) or any(_holds_model(part) for part in get_args(declared))


def _plain(data: object) -> object:
    return data


def _decoded(data: object, decode: Decode, topic: str, expected: str) -> Any:
    try:
        return decode(data)
    except MemoryError:
        raise
    except RecursionError:
        raise ContentError(topic, f"it is nested more than {MAX_NESTING} levels deep{expected}") from None
    except ValueError as error:  # a type refuses a value with this error
        problem, path = _problem(error)
        raise ContentError(topic, f"{problem}{expected}", path) from None
    except Exception as error:  # any other exception refuses the value too
        raise ContentError(topic, f"its type raises {reason_of(error)}{expected}") from error


def _problem(error: ValueError) -> tuple[str, str]:
    """Return the text of a decoding error, and the path to the value."""
    errors = getattr(error, "errors", None)
    if callable(errors):  # an error of pydantic
        first = errors()[0]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        return printable(str(first["msg"])), printable("$" + path)
    text = text_of(error)
    if not isinstance(error, msgspec.ValidationError):
        return text, "$"
    problem, found, path = text.rpartition(" - at `")
    problem, path = (problem, path.rstrip("`")) if found else (text, "$")
    if path.startswith("key` in `"):
        problem, path = f"a key: {problem}", path.removeprefix("key` in `")
    inner = error.__cause__
    if isinstance(inner, ValueError):  # a model inside the content
        problem, within = _problem(inner)
        path += within.removeprefix("$")
    return problem, path


_AS_THEY_ARE = frozenset({int, bool, type(None)})
_ANYTHING = (object, Any)
_SCALARS = (int, str, bool, float)
_STANDARD = (tuple, set, frozenset, datetime, date, time, timedelta, Decimal, UUID, bytearray)
STANDARD: Mapping[str, Content[Any]] = MappingProxyType({cls.__name__: Content(cls) for cls in _STANDARD})
"""The standard classes, by name, that content of a topic without a type keeps."""
