"""`ContentTypes`: the types to which content from outside of the process is decoded."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from telex.codec.content import STANDARD, Content, hold
from telex.process.supervision import is_end

logger: logging.Logger = logging.getLogger("telex")
MAX_UNKNOWN_NAMES = 1000
"""The number of type names without a class that are kept."""


class ContentTypes:
    """The types that handlers take, by name."""

    def __init__(self) -> None:
        self.known: dict[str, Content[Any]] = {}
        """The types by name, with the subclasses that were found."""
        self._taken: list[type[Any]] = []  # without subclasses
        self._unknown: set[str] = set()
        self._hints: dict[str, type[Any]] = {}  # for codecs only

    def know(self, cls: type[Any]) -> None:
        """Add a type of a handler: content from outside with its name is decoded to it."""
        known = self.known.get(cls.__name__)
        if known is None:
            self.known[cls.__name__] = Content(cls)
            self._taken.append(cls)
            self._unknown.clear()
        elif known.declared is not cls:
            text = "handlers take two types named %s: content from outside of this process is decoded to the first"
            logger.warning(text, cls.__name__)

    def decode(self, declared: Content[Any] | None, data: object, topic: str, type: str | None) -> object:
        """Decode plain data to the ``declared`` type, else to the type with this name. Data that does not fit stays
        plain.
        """
        content = declared
        if content is None and type is not None:
            content = self.find(type)
        if content is None:
            return data
        try:
            return content.decode(data, topic, type)
        except BaseException as error:  # a ContentError, or an exception of the type itself: the data does not fit
            if is_end(error) or isinstance(error, MemoryError):
                raise
            return data

    def hint(self, content: Content[Any]) -> None:
        """Add the content type of a handler or command that converts content itself: codecs decode to its class."""
        for cls in content.classes:
            self._hints.setdefault(cls.__name__, cls)

    def declared(self, declared: Content[Any] | None, name: str | None) -> type[Any] | None:
        """Return the ``declared`` type, else the type of this name, for a codec; None without one."""
        if declared is not None:
            return declared.declared
        found = None if name is None else self.find(name)
        return found.declared if found is not None else self._hints.get(name or "")

    def decodes(self, types: Iterable[str]) -> bool:
        """Return true when there is a type for any of these names."""
        return any(self.find(type) for type in types)

    def find(self, name: str) -> Content[Any] | None:
        """Return the type of this name: a type of a handler, a subclass of it, or one of Python's own; None without
        one.
        """
        if name in self.known or name in self._unknown or name in STANDARD:
            return self.known.get(name) or STANDARD.get(name)
        cls = next((found for taken in self._taken if (found := _subclass(taken, name)) is not None), None)
        if cls is not None:
            self.known[name] = Content(cls)
        elif len(self._unknown) < MAX_UNKNOWN_NAMES:
            self._unknown.add(name)
        return self.known.get(name)


def check_held(declared: Content[Any] | None, content: object, topic: str, type: str) -> None:
    """Raise `ContentError` unless content comes back equal when it is stored with ``type``."""
    if declared is None:
        hold(content, topic)
    else:
        declared.hold(declared.check(content, topic, type), topic, type)


def _subclass(cls: type[Any], name: str) -> type[Any] | None:
    """Return the subclass of this name that was defined last."""
    if cls in (object, type):
        return None  # all classes are subclasses of these
    for each in reversed(cls.__subclasses__()):
        found = each if each.__name__ == name else _subclass(each, name)
        if found is not None:
            return found
    return None
