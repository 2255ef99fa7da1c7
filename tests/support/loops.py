"""The event loops of tests: asyncio's and uvloop's, which also count the callbacks that are given to them."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

QUIET_TURNS = 3
"""A timer that is due and a socket that is readable are noticed one turn later than a callback, and may do so twice."""
MAX_TURNS = 1000


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the class of loop of this name, "asyncio" or "uvloop", with an attribute ``scheduled``: the number of
    callbacks that `call_soon` and `call_soon_threadsafe` were given. Every step of a task is one.
    """
    if name != "uvloop":
        return _counting(asyncio.SelectorEventLoop)
    import uvloop

    return _counting(uvloop.Loop)


@functools.cache
def _counting(base: Callable[..., asyncio.AbstractEventLoop]) -> Callable[[], asyncio.AbstractEventLoop]:
    class CountingLoop(base):  # type: ignore[misc, valid-type]  # a class of loop
        scheduled = 0

        def call_soon(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
            self.scheduled += 1
            return super().call_soon(*args, **kwargs)  # type: ignore[no-any-return]

        def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
            self.scheduled += 1
            return super().call_soon_threadsafe(*args, **kwargs)  # type: ignore[no-any-return]

    return CountingLoop


async def idle() -> None:
    """Wait until the running loop has nothing to run: all its tasks wait for a timer, for the system or for a thread.

    The loop runs callbacks in the order in which it got them. A turn in which it gets none but the next step of this
    task has left it none to run. The work of other threads is not waited for: what they find is a callback when they
    find it. A test that needs the result of a thread (SQLite's writer and reader are threads) awaits that result.

    Raises AssertionError when the loop does not come to rest, because a task polls with ``asyncio.sleep(0)``.
    """
    loop: Any = asyncio.get_running_loop()
    quiet = 0
    for _ in range(MAX_TURNS):
        before = loop.scheduled
        await asyncio.sleep(0)
        quiet = quiet + 1 if loop.scheduled == before + 1 else 0
        if quiet == QUIET_TURNS:
            return
    raise AssertionError(f"the loop has run {MAX_TURNS} turns and still has callbacks to run")


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until ``condition()``, or what it returns if that can be awaited, is true. For the work of a thread, of a
    process or of another hub that no event announces. Raises TimeoutError after ``seconds``.
    """
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.001)
