"""`after_limit`: a function of a command's invocation that waits for the limit of the command first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telex.commands.invocation import Invocation
from telex.commands.plan import LEVELS
from telex.handlers.call import is_pending
from telex.limits.gate import Gate
from telex.limits.limit import LimitSpec, key_of
from telex.limits.passage import pass_gate
from telex.once.leases import KeyCounts


def after_limit(call: Callable[..., Any], limit: LimitSpec, gate: Gate[Any], counts: KeyCounts) -> Callable[..., Any]:
    """Return ``call``, whose first argument is the invocation, with a wait before. A command that was begun before has
    no deadline. ``counts`` counts the call when it begins.
    """

    async def limited(invocation: Invocation, *rest: Any) -> Any:
        counts.executed -= 1
        key = key_of(limit, invocation.content, invocation.key)
        level = len(LEVELS) - LEVELS.index(invocation.priority)
        until = None if invocation.redelivered else invocation.until
        invocation.limited = True
        try:
            async with pass_gate(gate, key, level, until):
                invocation.limited = False
                counts.executed += 1
                result = call(invocation, *rest)
                return await result if is_pending(result) else result
        finally:
            invocation.limited = False

    return limited
