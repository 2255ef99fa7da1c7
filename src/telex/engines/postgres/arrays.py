"""Arrays of parameters in PostgreSQL's binary form, encoded with little work for each element."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, pack
from typing import Any

from psycopg import AsyncConnection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = Struct("!iiIii").pack
_LENGTH = Struct("!i").pack
_NULL = _LENGTH(-1)


class PackedArray:
    """An encoded array. Each type of element has a subclass."""

    __slots__ = ("data",)
    oid: int = 0
    element: int = 0

    def __init__(self, data: bytes) -> None:
        self.data: bytes = data


class TextArray(PackedArray):
    """``text[]``"""

    __slots__ = ()
    oid = 1009
    element = 25

    @classmethod
    def of(cls, items: Sequence[str | None]) -> TextArray | None:
        """Return the encoded array; None when every element is None."""
        if not any(item is not None for item in items):
            return None
        return cls(_variable(cls.element, [None if item is None else item.encode() for item in items]))


class BytesArray(PackedArray):
    """``bytea[]``"""

    __slots__ = ()
    oid = 1001
    element = 17

    @classmethod
    def of(cls, items: Sequence[bytes | None]) -> BytesArray | None:
        """Return the encoded array; None when every element is None."""
        return cls(_variable(cls.element, items)) if any(item is not None for item in items) else None


class BigintArray(PackedArray):
    """``bigint[]``"""

    __slots__ = ()
    oid = 1016
    element = 20

    @classmethod
    def of(cls, items: Sequence[int]) -> BigintArray:
        """Return the encoded array."""
        body = [each for item in items for each in (8, item)]
        return cls(_head(cls.element, len(items), 0) + pack(f"!{'iq' * len(items)}", *body))


class FloatArray(PackedArray):
    """``float8[]``"""

    __slots__ = ()
    oid = 1022
    element = 701

    @classmethod
    def of(cls, items: Sequence[float]) -> FloatArray:
        """Return the encoded array."""
        body = [each for item in items for each in (8, item)]
        return cls(_head(cls.element, len(items), 0) + pack(f"!{'id' * len(items)}", *body))


def _head(element: int, count: int, nulls: int) -> bytes:
    return _HEADER(1, nulls, element, count, 1) if count else pack("!iiI", 0, 0, element)


def _variable(element: int, items: Sequence[bytes | None]) -> bytes:
    parts = [_head(element, len(items), 1)]
    for item in items:
        parts.append(_NULL if item is None else _LENGTH(len(item)))
        if item:
            parts.append(item)
    return b"".join(parts)


def register(connection: AsyncConnection[Any]) -> None:
    """Let a connection accept these types as parameters."""
    for cls in (TextArray, BytesArray, BigintArray, FloatArray):
        dumper = type(f"{cls.__name__}Dumper", (_PackedDumper,), {"oid": cls.oid})
        connection.adapters.register_dumper(cls, dumper)


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        """Return the bytes, which are encoded already."""
        data: bytes = obj.data
        return data
