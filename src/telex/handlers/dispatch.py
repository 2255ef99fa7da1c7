"""`TypeDispatcher`: which of the typed handlers of a pattern takes content of which class."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from telex.errors import reason_of

if TYPE_CHECKING:
    from telex.handlers.spec import HandlerSpec

logger: logging.Logger = logging.getLogger("telex.handlers")


class Taker(Protocol):
    """What serves one handler."""

    @property
    def spec(self) -> HandlerSpec:
        """The handler."""


W = TypeVar("W", bound=Taker)


class TypeDispatcher(Generic[W]):
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
        for cls in worker.spec.types:
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
            except Exception as error:  # noqa: BLE001  # two abstract classes, neither the more specific; or a class's own code
                registry = self._dispatch.registry
                best = next((registry[base] for base in cls.__mro__ if base in registry), _nobody)
                text = "no handler of an abstract class takes %s: %s; declare one for %s itself"
                logger.error(text, cls.__name__, reason_of(error), cls.__name__)
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
