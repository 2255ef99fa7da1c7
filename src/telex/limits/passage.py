"""`pass_gate`: waits for a limit inside of a call, which begins its work when it may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from telex.limits.gate import Gate, Waiting


class Unbegun(Exception):
    """A call that has waited for its limit, and does not begin."""


class Late(Unbegun):
    """The deadline has passed."""


class Released(Unbegun):
    """The call has to leave, because too many calls wait or the hub closes. It may come again after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it waits for its limit, and comes again in {seconds:g} s")
        self.seconds: float = seconds


class Passage:
    """One call that waits: an `Entrant` of a gate."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begun: bool = False
        """True when its turn has come, also when it was cancelled in the same turn of the loop."""

    def start(self, item: Any, key: str) -> None:
        """Let the call begin."""
        self.begun = True
        if not self.future.done():
            self.future.set_result(None)

    def spill(self, item: Any, seconds: float) -> None:
        """Let the call leave."""
        if not self.future.done():
            self.future.set_exception(Released(seconds))


@asynccontextmanager
async def pass_gate(gate: Gate[Any], key: str, level: int = 0, until: float | None = None) -> AsyncIterator[None]:
    """Wait for the limit of ``key``, at most until the time ``until`` of the loop's clock. The call is the block.
    Raises `Late`, `Released`. Cancelled while it waits, it takes nothing of the limit.
    """
    loop, passage = asyncio.get_running_loop(), Passage()
    waiting = Waiting(passage, None)
    gate.add(key, waiting, level)
    gate.notify()
    try:
        async with asyncio.timeout_at(until) as clock:
            await passage.future
    except BaseException as error:
        if passage.begun:
            gate.ended(key)
        else:
            gate.remove(key, waiting)
        if isinstance(error, TimeoutError) and clock.expired():
            raise Late from None
        raise
    began = loop.time()
    try:
        yield
    finally:
        gate.ended(key, seconds=loop.time() - began)
