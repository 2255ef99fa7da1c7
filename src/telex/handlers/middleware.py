"""Middleware: functions around handlers.

A middleware is a function of the next step that returns a step; a step is an async function of the message. Middleware
is applied once, when the handler is bound, outermost first.

```python
def logged(next: telex.middleware.Next) -> telex.middleware.Next:
    async def step(message: telex.Message) -> object:
        print("begins", message.id)
        return await next(message)

    return step
```
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any

from telex.checks import function, number, whole
from telex.durations import Duration, seconds
from telex.errors import BadOption, Nack, Reject, Timeout
from telex.handlers.call import result_of
from telex.handlers.context import Retry, current
from telex.message import Message

Next = Callable[[Message[Any]], Awaitable[object]]
"""The next step: an async function of the message that returns the result of the handler."""
Middleware = Callable[[Next], Next]
"""A function of the next step that returns the step around it."""


def check_middleware(middleware: Sequence[Middleware]) -> tuple[Middleware, ...]:
    """Return middleware as a tuple. Raises `BadOption`."""
    if callable(middleware) or not isinstance(middleware, Sequence) or not all(map(callable, middleware)):
        raise BadOption("middleware", middleware, "it must be a list of functions of the next step, outermost first")
    return tuple(middleware)


def wrap(invoke: Callable[[Message[Any]], Any], middleware: Sequence[Middleware]) -> Next:
    """Return a bound function with ``middleware`` around it, as one step."""
    step: Next = partial(result_of, invoke)
    for outer in reversed(middleware):
        step = outer(step)
        if not callable(step):
            raise BadOption("middleware", outer, "it must return an async function of the message")
    return step


def retry(attempts: int = 3, first: Duration = 0.1, factor: float = 2.0, most: Duration = 10.0) -> Middleware:
    """Call the handler again in this process when it raises, at most ``attempts`` times in all.

    The last error is raised. `Nack` and `Reject` are raised at once. Use it for short faults; the `Retry` of a group
    also survives the end of the process. Raises `BadOption`.
    """
    plan = Retry(attempts, first, factor, most, jitter=0.0)

    def middleware(next: Next) -> Next:
        async def step(message: Message[Any]) -> object:
            for attempt in range(1, plan.attempts):
                try:
                    return await next(message)
                except (Nack, Reject):
                    raise
                except Exception:  # noqa: BLE001  # the last attempt is below, and may raise
                    await asyncio.sleep(plan.delay(attempt, 0.5))
            return await next(message)

        return step

    return middleware


def timeout(limit: Duration) -> Middleware:
    """Cancel a call of the handler that takes longer than ``limit``, and raise `Timeout`. Raises `BadOption`."""
    allowed = seconds(limit, "limit")

    def middleware(next: Next) -> Next:
        async def step(message: Message[Any]) -> object:
            try:
                async with asyncio.timeout(allowed) as clock:
                    return await next(message)
            except TimeoutError:
                if not clock.expired():
                    raise
                raise Timeout(f"handling message {message.id} of {message.topic!r}", allowed) from None

        return step

    return middleware


def deduplicate(
    key: Callable[[Message[Any]], Hashable] = lambda message: message.id,
    *,
    keep: Duration | None = None,
    most: int = 10_000,
) -> Middleware:
    """Handle messages with the same ``key`` once, in this process.

    The last ``most`` keys are kept, for ``keep`` (None: no bound). A message whose call raised, or that was nacked, was
    not handled, and may come again. A message whose key is being handled waits for that call. Raises `BadOption`.
    """
    whole(most, "most", "it must be at least 1, the number of keys to remember")
    function(key, "key", "it must be a function of the message, such as lambda message: message.id")
    kept = float("inf") if keep is None else seconds(keep, "keep")

    def middleware(next: Next) -> Next:
        known: OrderedDict[Hashable, float] = OrderedDict()  # the times until which keys are kept, in this order
        running: dict[Hashable, asyncio.Future[None]] = {}

        async def step(message: Message[Any]) -> object:
            of, loop = key(message), asyncio.get_running_loop()
            while known.get(of, -1.0) <= loop.time():
                first = running.get(of)
                if first is None:
                    break
                await asyncio.wait({first})
            else:
                return None
            running[of] = ended = loop.create_future()
            try:
                result = await next(message)
            finally:
                del running[of]
                ended.set_result(None)
            context = current.get()
            if context is None or context.settled in (None, "ack"):
                known[of] = loop.time() + kept
                known.move_to_end(of)
                while known and (len(known) > most or known[_first(known)] <= loop.time()):
                    known.popitem(last=False)
            return result

        return step

    return middleware


def _first(known: OrderedDict[Hashable, float]) -> Hashable:
    return next(iter(known))


def rate_limit(calls: float, per: Duration = 1.0, *, burst: int = 1) -> Middleware:
    """Begin at most ``calls`` calls of the handler in ``per``, and ``burst`` of them at once; further calls wait.

    This is the leaky bucket as a meter (ITU-T I.371, the generic cell rate algorithm). Raises `BadOption`.
    """
    length = seconds(per, "per")
    if not length:
        raise BadOption("per", per, "it must be more than 0, the time in which the calls may begin")
    number(calls, "calls", "it must be more than 0, the number of calls that may begin in per", math.ulp(0.0))
    whole(burst, "burst", "it must be at least 1, the number of calls that may begin at once")
    each = length / calls

    def middleware(next: Next) -> Next:
        free = float("-inf")  # the time at which the bucket would be empty

        async def step(message: Message[Any]) -> object:
            nonlocal free
            now = asyncio.get_running_loop().time()
            free = max(free, now) + each
            wait = free - each * burst - now
            if wait > 0:
                await asyncio.sleep(wait)
            return await next(message)

        return step

    return middleware
