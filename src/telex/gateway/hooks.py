"""Calls of the methods that an application overrides."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from telex.errors import Timeout
from telex.gateway.errors import UNAVAILABLE, Refused


class HookFailed(Exception):
    """The application's fault: a method of its `Authorizer` raised another exception than `Refused`. It is the
    ``__cause__``.
    """


async def ask(hook: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call ``hook`` and return its result, awaited if it is awaitable.

    `Refused`, `Timeout` and `UNAVAILABLE` are raised unchanged, any other exception as `HookFailed`.
    """
    try:
        answer = hook(*arguments, **named)
        return await answer if inspect.isawaitable(answer) else answer
    except (Refused, Timeout, *UNAVAILABLE):
        raise
    except Exception as error:
        name = getattr(hook, "__qualname__", repr(hook))
        raise HookFailed(f"{name} raised {type(error).__name__}") from error
