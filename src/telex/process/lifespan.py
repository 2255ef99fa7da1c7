"""`lifespan_of`: the ``lifespan=`` of a hub, as a function that returns a context manager."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from telex.errors import BadOption


def lifespan_of(given: Any) -> Callable[[Any], AbstractAsyncContextManager[object]]:
    """Return a lifespan as a function of the hub that returns a context manager. An async generator function becomes
    one. Raises `BadOption`.
    """
    if not callable(given) or inspect.iscoroutinefunction(given) or inspect.isgeneratorfunction(given):
        raise BadOption(
            "lifespan",
            given,
            "it must be a function of the hub that yields once while the hub is open, `async def` and decorated with "
            "contextlib.asynccontextmanager",
        )
    if inspect.isasyncgenfunction(given):
        return asynccontextmanager(given)
    return given  # type: ignore[no-any-return]  # a function that returns a context manager
