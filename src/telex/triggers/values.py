"""`VariableValue`: the value of a variable, in this process (`LocalValue`) or shared by all (`EngineValue`)."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from telex.codec.content import Content, from_stored, to_json
from telex.errors import ContentError, WouldBlock
from telex.message import Lost, Message, time_of
from telex.names import check_topic
from telex.topics.publisher import FAIR
from telex.topics.transaction import engine_of, publish_held

if TYPE_CHECKING:
    from telex.engines.contract import Record
    from telex.runtime import Runtime

T = TypeVar("T")
BUCKET = "$variables"
logger: logging.Logger = logging.getLogger("telex.triggers")
Listener = Callable[[str, Any, float], None]
"""A callback in this process with a variable's name, its new value, and the time of the change."""


class Change(msgspec.Struct, Generic[T], frozen=True):
    """The content of a variable's message: its name, the new value, and the old value."""

    variable: str
    value: T
    before: T


class VariableValue(ABC, Generic[T]):
    """The value of one variable of a hub."""

    def __init__(self, runtime: Runtime, name: str, initial: T, type: type[T] | None) -> None:
        self.name: str = check_topic(name)
        self.initial: T = initial
        self.value: T = initial
        self.listeners: list[Listener] = []
        self.content: Content[T] = Content(_type_of(initial) if type is None else type)
        self.content.check(initial, name)
        self.runtime: Runtime = runtime

    @abstractmethod
    async def update(self, function: Callable[[T], T], *, replaces: bool) -> T:
        """Change the value, and return the new value. With ``replaces``, the result does not depend on the old
        value.
        """

    @abstractmethod
    def update_nowait(self, function: Callable[[T], T]) -> T:
        """Change the value at once, and return the new value. Raises `WouldBlock` when the change would have to
        wait.
        """

    async def stored(self) -> T:
        """Return the value that the engine stores. Raises `ContentError` when it is of another type."""
        return self.value

    def read(self, content: object) -> Change[T]:
        """Return the content of a variable's message as a `Change`. Raises `ContentError`."""
        try:
            found = content if isinstance(content, Change) else msgspec.convert(content, Change[Any])
        except msgspec.ValidationError as error:
            raise ContentError(self.name, f"{error} (here only changes of the variable are published)", "$") from None
        shape = self.content.check if isinstance(content, Change) else self.content.decode
        return Change(self.name, shape(found.value, self.name), shape(found.before, self.name))


class LocalValue(VariableValue[T]):
    """The value of a variable in this process alone."""

    def __init__(self, runtime: Runtime, name: str, initial: T, type: type[T] | None) -> None:
        super().__init__(runtime, name, initial, type)
        self._changes = 0
        self._slow = asyncio.Lock()  # locked while a change waits for subscribers

    async def update(self, function: Callable[[T], T], *, replaces: bool) -> T:
        """Change the value, and return the new value."""
        self._changes += 1
        if not self._changes % FAIR:
            await asyncio.sleep(0)  # other tasks get their turn while a loop counts
        if not self._slow.locked():
            try:
                return self.update_nowait(function)
            except WouldBlock:
                pass  # a subscriber with overflow="block" has no room
        async with self._slow:
            before = self.value
            value = self.content.check(function(before), self.name)
            if value != before:
                self._changed(value, await self.runtime.topic(self.name).publish(Change(self.name, value, before)))
            return value

    def update_nowait(self, function: Callable[[T], T]) -> T:
        """Change the value at once, and return the new value."""
        if self._slow.locked():
            raise WouldBlock(f"another change of {self.name!r} waits for a subscriber")
        before = self.value
        value = self.content.check(function(before), self.name)
        if value != before:
            self._changed(value, self.runtime.topic(self.name).publish_nowait(Change(self.name, value, before)))
        return value

    def _changed(self, value: T, message: Message[Any]) -> None:
        self.value: T = value
        for listener in tuple(self.listeners):  # a trigger that fires once removes its listener
            listener(self.name, value, time_of(message))


class EngineValue(VariableValue[T]):
    """The value of a variable that all processes share: a record of the engine, changed by compare-and-set. `value` is
    the value of the last change that this process has read.
    """

    _seq: int = 0  # of the change from which `value` is

    async def update(self, function: Callable[[T], T], *, replaces: bool) -> T:
        """Change the value, and return the new value. The function is called again when another process has changed the
        value.
        """
        while (found := await self._try_update(function, replaces=replaces)) is None:
            pass
        return found[0]

    def update_nowait(self, function: Callable[[T], T]) -> T:
        """Raise `WouldBlock`."""
        raise WouldBlock(f"changing {self.name!r} waits until the engine has the change; use `await`")

    async def stored(self) -> T:
        """Return the value that the engine has. Raises `ContentError` when it is of another type."""
        return self._decode(await self._record())

    async def follow(self) -> None:
        """Keep `value` up to date with the changes of other processes, until the hub is closed."""
        topic = self.runtime.topic(self.name)
        async with topic.subscribe(overflow="latest", buffer=1, report_lost=True) as changes:
            self._seq = 0
            try:
                value = await self.stored()
                if not self._seq:
                    self.value = value
            except ContentError as error:
                logger.error("variable %s has no value that can be read: %s", self.name, error)
            async for message in changes:
                if isinstance(message, Lost):
                    if message.reason == "epoch":
                        self._seq = 0  # the topic was removed, and its numbers begin again
                    continue
                try:
                    self.hear(self.read(message.content).value, message.seq)
                except ContentError as error:
                    logger.error("variable %s passes over message %s: %s", self.name, message.id, error)

    def hear(self, value: T, seq: int) -> None:
        if seq > self._seq:
            self.value: T = value
            self._seq = seq

    async def _try_update(self, function: Callable[[T], T], *, replaces: bool) -> tuple[T] | None:
        record = await self._record()
        try:
            before, unreadable = self._decode(record), False
        except ContentError:
            if not replaces:
                raise
            before, unreadable = self.initial, True
        value = self.content.check(function(before), self.name)
        if value == before and not unreadable:
            return (value,)
        self.content.hold(value, self.name)
        revision = 0 if record is None else record.revision
        async with self.runtime.transaction() as tx:
            if await engine_of(tx).put(BUCKET, self.name, to_json(value), revision) is None:
                return None
            message = await publish_held(tx, self.name, Change(self.name, value, before))
        self.hear(value, message.seq)
        return (value,)

    async def _record(self) -> Record | None:
        return await self.runtime.records("variables").get(BUCKET, self.name)

    def _decode(self, record: Record | None) -> T:
        if record is None:
            return self.initial
        try:
            return self.content.decode(from_stored(record.value, self.name), self.name)
        except ContentError as error:
            fix = "a program with another declaration has stored this value: replace it by `set`, or declare its type"
            raise ContentError(self.name, f"{error.problem}; {fix}", error.path, stored=True) from None


def _type_of(initial: Any) -> type[Any]:
    """Return the type of a variable with this initial value: any type for None."""
    return object if initial is None else cast("type[Any]", initial.__class__)
