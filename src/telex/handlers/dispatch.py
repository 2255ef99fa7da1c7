"""`TypeDispatcher`: finds the typed handlers of a pattern by the class of the content."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from telex.errors import reason_of

if TYPE_CHECKING:
    from telex.handlers.spec import HandlerSpec

logger: logging.Logger = logging.getLogger("telex.handlers")


class TypedHandler(Protocol):
    """A handler with types, while its hub is open."""

    @property
    def spec(self) -> HandlerSpec:
        """The handler as it was declared."""


H = TypeVar("H", bound=TypedHandler)


class TypeDispatcher(Generic[H]):
    """The typed handlers of one pattern, by the class of the content (`functools.singledispatch`)."""

    def __init__(self) -> None:
        self.unhandled = 0
        self.handlers: list[H] = []
        self._by_class: dict[type[Any], Collection[H]] = {}
        self._dispatch = singledispatch(_nobody)

    def add(self, handler: H) -> None:
        """Add a handler."""
        self.handlers.append(handler)
        for cls in handler.spec.types:
            self._dispatch.register(cls, _Takers([*_takers(self._dispatch.registry.get(cls)), handler]))
        self._by_class.clear()

    def takers(self, cls: type[Any]) -> Collection[H]:
        """Return the handlers with the most specific type for content of class ``cls``."""
        found = self._by_class.get(cls)
        if found is None:
            try:
                best = self._dispatch.dispatch(cls)
            except Exception as error:  # noqa: BLE001  # two abstract classes conflict, or the class's own code raised
                registry = self._dispatch.registry
                best = next((registry[base] for base in cls.__mro__ if base in registry), _nobody)
                text = "no handler of an abstract class takes %s: %s; declare one for %s itself"
                logger.error(text, cls.__name__, reason_of(error), cls.__name__)
            self._by_class[cls] = found = _takers(best)
        return found


class _Takers:
    """The handlers of one class, registered as an implementation with `functools.singledispatch`."""

    def __init__(self, handlers: Collection[Any]) -> None:
        self.handlers = handlers

    def __call__(self) -> None:
        """Do nothing: an implementation has to be callable, and is never called."""


def _takers(implementation: object) -> Collection[Any]:
    return implementation.handlers if isinstance(implementation, _Takers) else ()


def _nobody(content: object) -> None:
    """Stand for no handler."""
