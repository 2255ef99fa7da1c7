"""`StreamingServer`: serves a command whose function yields. Each part is a message of the topic of its stream.

The topic of a stream is ``$stream:<command>:<id>``. The header `PART` of a message is "part", and "end" for the last
message, whose content is None or the error. The header `ATTEMPT` counts the attempts: when a worker dies, the next one
begins the stream again. The topic is removed `KEEP_SECONDS` after its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from telex.codec.content import Content
from telex.commands.invocation import Invocation
from telex.commands.outcome import Outcome
from telex.commands.server import CommandServer
from telex.commands.spec import Command
from telex.errors import TelexError
from telex.handlers.call import is_pending
from telex.log.log import Retention
from telex.names import is_pattern
from telex.process.tasks import start_task
from telex.runtime import Runtime
from telex.topics.topic import publisher_of

logger: logging.Logger = logging.getLogger("telex.commands")
PART, ATTEMPT = "telex-part", "telex-attempt"
"""Headers of the messages of a stream."""
KEEP_SECONDS = 3600.0
"""The time for which a stream is kept after its end, for readers that come back."""
KEPT = Retention(100_000, 24 * 3600.0, None)
"""The retention of streams."""
MAX_STORING = 64
"""The largest number of parts of one stream that are being stored; after that the function waits at its yield."""
MAX_REMOVED = 16
"""The largest number of old streams that are removed at the end of another one."""


def stream_topic(command: str, id: str) -> str:
    """Return the topic with the parts of a command."""
    return f"$stream:{command}:{id}"


def command_of(topic: str) -> tuple[str, str] | None:
    """Return the name and the id of the command of a stream; None for another topic, and for a pattern."""
    kind, _, rest = topic.partition(":")
    name, _, id = rest.rpartition(":")
    return (name, id) if kind == "$stream" and name and not is_pattern(topic) else None


class StreamingServer(CommandServer):
    """The server of a command that yields: it publishes the parts, and its result is their number."""

    def __init__(self, command: Command, runtime: Runtime) -> None:
        super().__init__(msgspec.structs.replace(command, gives=None), runtime)
        self._runtime = runtime
        self._generate, self._invoke = self._invoke, self._publish
        self._parts: Content[Any] | None = command.gives
        self._ended: deque[tuple[float, str]] | None = None  # streams to remove, the oldest first

    async def carry_out(self, invocation: Invocation) -> Outcome[Any]:
        """Publish the parts, and the end with its error. Return the outcome."""
        outcome = await super().carry_out(invocation)
        await self.finish(invocation, outcome)
        return outcome

    async def _publish(self, invocation: Invocation) -> int:
        topic = stream_topic(self.command.name, invocation.id)
        publisher = publisher_of(self._runtime.topic(topic))
        headers = {PART: "part", ATTEMPT: str(invocation.attempt)}
        made: Any = self._generate(invocation)
        generator: AsyncGenerator[object, None] = await made if is_pending(made) else made
        count = 0
        storing: deque[asyncio.Task[Any]] = deque()  # in order: a store writes many parts at once
        try:
            async with aclosing(generator):
                async for part in generator:
                    checked = part if self._parts is None else self._parts.check(part, self.command.name)
                    # Encoded here: the function may change the part later, and no part is stored after a refused one.
                    draft = publisher.draft(checked, None, headers)
                    storing.append(start_task(publisher.put_draft(draft), name="telex part"))
                    count += 1
                    while storing and (storing[0].done() or len(storing) >= MAX_STORING):
                        await storing.popleft()
        finally:
            results = await asyncio.gather(*storing, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return count

    async def finish(self, invocation: Invocation, outcome: Outcome[Any]) -> None:
        topic, error = stream_topic(self.command.name, invocation.id), outcome.error
        content = None if error is None else {"type": error.type, "code": error.code, "message": error.message}
        headers = {PART: "end", ATTEMPT: str(invocation.attempt)}
        await publisher_of(self._runtime.topic(topic)).put(content, None, headers, None, None)
        try:
            await self._remove_old(topic, self._runtime.engine.now())
        except TelexError as error:  # this stream has ended all the same
            logger.warning("old streams of command %s are not removed: %s", self.command.name, error)

    async def _remove_old(self, ended: str, now: float) -> None:
        """Remove streams whose time is over. Processes that were killed have left theirs: they are found once."""
        if self._ended is None:
            names = await self._runtime.topics.names(stream_topic(self.command.name, "*"))
            self._ended = deque((now, name) for name in names if name != ended)
        self._ended.append((now, ended))
        for _ in range(MAX_REMOVED):
            if now - self._ended[0][0] < KEEP_SECONDS:
                break
            _, name = self._ended.popleft()
            last = [message async for message in self._runtime.topic(name).history(start=1)]
            if last and last[0].headers.get(PART) != "end":
                self._ended.append((now, name))  # another process may be at it, or has died; its parts expire
            else:
                await self._runtime.topics.remove(name)
