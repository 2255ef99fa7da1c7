"""`Switch`: which of the typed handlers of a pattern takes content of which class."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from telex.handlers import Declaration

logger: logging.Logger = logging.getLogger("telex.handlers")


class Taker(Protocol):
    """What serves one handler."""

    @property
    def declaration(self) -> Declaration:
        """The handler."""


W = TypeVar("W", bound=Taker)


class Switch(Generic[W]):
    """The typed handlers of one pattern: which of them takes content of which class, as `functools.singledispatch`
    finds it.
    """

    def __init__(self) -> None:
        self.unhandled = 0
        self.workers: list[W] = []
        self._found: dict[type[Any], Collection[W]] = {}
        self._dispatch = singledispatch(_nobody)

    def add(self, worker: W) -> None:
        """Another handler with types."""
        self.workers.append(worker)
        for cls in worker.declaration.types:
            self._dispatch.register(cls, _Takers([*self._takers(cls), worker]))
        self._found.clear()

    def _takers(self, cls: type[Any]) -> Collection[W]:
        found = self._dispatch.registry.get(cls)
        return found.workers if isinstance(found, _Takers) else ()

    def takers(self, cls: type[Any]) -> Collection[W]:
        """Those with the most specific type for content of class ``cls``."""
        found = self._found.get(cls)
        if found is None:
            try:
                best = self._dispatch.dispatch(cls)
            except RuntimeError as error:  # two abstract classes, and neither is the more specific one
                best = _nobody
                logger.error("no handler takes %s: %s; declare one for %s itself", cls.__name__, error, cls.__name__)
            self._found[cls] = found = best.workers if isinstance(best, _Takers) else ()
        return found


class _Takers:
    """What a switch registers for a class."""

    def __init__(self, workers: Collection[Any]) -> None:
        self.workers = workers

    def __call__(self) -> None:
        """singledispatch registers callables."""


def _nobody(content: object) -> None:
    """What a switch finds for content that no handler takes."""
