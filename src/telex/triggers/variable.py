"""`Variable`: a value whose change is an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

import msgspec

from telex.codec.content import Content, from_stored, to_json
from telex.errors import BadOption, ContentError, Misuse, WouldBlock
from telex.message import Message, time_of
from telex.names import check_topic
from telex.topics.publisher import FAIR
from telex.topics.transaction import engine_of, publish_held
from telex.triggers.conditions.condition import Compare, Condition, Op
from telex.triggers.conditions.stream import APART, Rate

if TYPE_CHECKING:
    from telex.engines.contract import Record
    from telex.runtime import Runtime

T = TypeVar("T")
BUCKET = "$variables"
FUNCTION = "give a function of the value, such as lambda n: n + 1, or replace it by `set`"
logger: logging.Logger = logging.getLogger("telex.triggers")
Listener = Callable[[str, Any, float], None]
"""Told of a change, in this process alone: the variable's name, its value, and when."""


class Change(msgspec.Struct, Generic[T], frozen=True):
    """What a variable publishes: its name, its value, and the one before."""

    variable: str
    value: T
    before: T


class Variable(Generic[T]):
    """Made by ``hub.variable(name, initial)``. Each change is published to the topic of its name, as a `Change`;
    setting it to what it is publishes nothing. Comparing it makes a condition for ``hub.when``.

    On an engine that keeps messages it is shared: one value for all processes, kept, and changed by compare-and-set.
    """

    def __init__(self, runtime: Runtime, name: str, initial: T, type: type[T] | None) -> None:
        self.name: str = check_topic(name)
        """The name, which is also the topic of its changes."""
        self.initial: T = initial
        """The value that it begins with."""
        self._value: T = initial
        self.listeners: list[Listener] = []
        self.content: Content[T] = Content(_type_of(initial) if type is None else type)
        self.content.check(initial, name)
        self._runtime = runtime
        self._seq = 0  # of the change that `value` is from, on a shared engine
        self._changes = 0
        self._slow = asyncio.Lock()  # held while a change waits for subscribers

    @property
    def value(self) -> T:
        """What it is; on a shared engine, what this process has heard of last. Assigning to it raises `Misuse`."""
        return self._value

    if not TYPE_CHECKING:  # type checkers refuse it by themselves

        @value.setter
        def value(self, value: object) -> NoReturn:
            fix = "change it by `await v.set(...)`, or in memory by `v.set_nowait(...)`"
            raise Misuse(f"assign to the value of the variable {self.name!r}", fix)

    # -- changing

    async def set(self, value: T) -> T:
        """Give it a value; the value. Returns when the change is published. Raises what publishing raises;
        `ContentError` for a value of another type.

        A value that another program has stored, and that is not of the type that is declared here, is replaced: to
        those who hear of it the value before was the initial one.
        """
        return await self._update(lambda before: value, mends=True)

    async def add(self, amount: T) -> T:
        """Add to it; the new value. Raises as `set`, and `BadOption` for what cannot be added to its value."""
        return await self.update(self._plus(amount))

    async def update(self, function: Callable[[T], T]) -> T:
        """Change it by a function of its value; the new value. On a shared engine the function may be called several
        times, when others change it meanwhile. Raises what the function raises, and as `set`.
        """
        if not callable(function):
            raise BadOption("function", function, FUNCTION)
        return await self._update(function, mends=False)

    def _plus(self, amount: T) -> Callable[[T], T]:
        def plus(before: T) -> T:
            try:
                return before + amount  # type: ignore[operator,no-any-return]  # what T can do is its own affair
            except TypeError as error:
                raise BadOption("amount", amount, f"it is added to {before!r}, and {error}") from None

        return plus

    async def _update(self, function: Callable[[T], T], *, mends: bool) -> T:
        if self._runtime.engine.store is None:
            return await self._update_here(function)
        while (found := await self._update_shared(function, mends=mends)) is None:
            pass  # another was first: once more, with its value
        return found[0]

    def set_nowait(self, value: T) -> T:
        """As `set`, at once. Raises `WouldBlock` where that would wait: always, on a shared engine."""
        return self.update_nowait(lambda before: value)

    def add_nowait(self, amount: T) -> T:
        """As `add`, at once. Raises as `set_nowait`."""
        return self.update_nowait(self._plus(amount))

    def update_nowait(self, function: Callable[[T], T]) -> T:
        """As `update`, at once. Raises as `set_nowait`."""
        if not callable(function):
            raise BadOption("function", function, FUNCTION)
        if self._runtime.engine.store is not None:
            raise WouldBlock(f"changing {self.name!r} waits until the engine has the change; use `await`")
        if self._slow.locked():
            raise WouldBlock(f"another change of {self.name!r} waits for a subscriber")
        before = self._value
        value = self.content.check(function(before), self.name)
        if value != before:
            self._changed(value, self._runtime.topic(self.name).publish_nowait(Change(self.name, value, before)))
        return value

    async def _update_here(self, function: Callable[[T], T]) -> T:
        self._changes += 1
        if not self._changes % FAIR:
            await asyncio.sleep(0)  # so that a loop that counts lets others hear of it
        if not self._slow.locked():
            try:
                return self.update_nowait(function)
            except WouldBlock:
                pass  # a subscriber with overflow="block" has no room
        async with self._slow:
            before = self._value
            value = self.content.check(function(before), self.name)
            if value != before:
                self._changed(value, await self._runtime.topic(self.name).publish(Change(self.name, value, before)))
            return value

    def _changed(self, value: T, message: Message[Any]) -> None:
        self._value = value
        for listener in tuple(self.listeners):  # one that fires once goes
            listener(self.name, value, time_of(message))

    async def _update_shared(self, function: Callable[[T], T], *, mends: bool) -> tuple[T] | None:
        record = await self._record()
        try:
            before, strange = self._value_of(record), False
        except ContentError:
            if not mends:
                raise
            before, strange = self.initial, True  # one that those who hear of the change can read
        value = self.content.check(function(before), self.name)
        if value == before and not strange:
            return (value,)
        self.content.hold(value, self.name)
        revision = 0 if record is None else record.revision
        async with self._runtime.transaction() as tx:
            if await engine_of(tx).put(BUCKET, self.name, to_json(value), revision) is None:
                return None
            message = await publish_held(tx, self.name, Change(self.name, value, before))
        self._hear(value, message.seq)
        return (value,)

    # -- what others have done, on a shared engine

    async def stored(self) -> tuple[T, int]:
        """What a shared engine has, and the revision of that: 0 when it has nothing. Raises `ContentError` when that
        is of another type."""
        record = await self._record()
        return self._value_of(record), 0 if record is None else record.revision

    async def _record(self) -> Record | None:
        return await self._runtime.records("variables").get(BUCKET, self.name)

    def _value_of(self, record: Record | None) -> T:
        if record is None:
            return self.initial
        try:
            return self.content.decode(from_stored(record.value, self.name), self.name)
        except ContentError as error:
            mend = (
                "so it was stored, by a program that declares it otherwise: replace it by `set`, or declare that type"
            )
            raise ContentError(self.name, f"{error.problem}; {mend}", error.path) from None

    def read(self, content: object) -> Change[T]:
        """A change as it comes from the log, of this process or another. Raises `ContentError`."""
        try:
            found = content if isinstance(content, Change) else msgspec.convert(content, Change[Any])
        except msgspec.ValidationError as error:
            raise ContentError(self.name, f"{error} (here only changes of the variable are published)", "$") from None
        shape = self.content.check if isinstance(content, Change) else self.content.decode
        return Change(self.name, shape(found.value, self.name), shape(found.before, self.name))

    def _hear(self, value: T, seq: int) -> None:
        if seq > self._seq:
            self._value, self._seq = value, seq

    async def follow(self) -> None:
        """Keep `value` up to date with what others do, until the hub is closed."""
        while not self._runtime.closed:
            async with self._runtime.topic(self.name).subscribe(overflow="latest", buffer=1) as changes:
                self._seq = 0  # a topic that was removed and is made anew counts from the beginning
                try:
                    value, _ = await self.stored()
                    if not self._seq:
                        self._value = value
                except ContentError as error:
                    logger.error("variable %s has no value that can be read: %s", self.name, error)
                async for message in changes:
                    try:
                        self._hear(self.read(message.content).value, message.seq)
                    except ContentError as error:
                        logger.error("variable %s passes over message %s: %s", self.name, message.id, error)

    # -- conditions

    def __ge__(self, bound: T) -> Condition:
        return self._compared(">=", bound)

    def __gt__(self, bound: T) -> Condition:
        return self._compared(">", bound)

    def __le__(self, bound: T) -> Condition:
        return self._compared("<=", bound)

    def __lt__(self, bound: T) -> Condition:
        return self._compared("<", bound)

    def __eq__(self, bound: object) -> Condition:  # type: ignore[override]  # a condition, not an answer
        return self._compared("==", bound)

    def __ne__(self, bound: object) -> Condition:  # type: ignore[override]  # a condition, not an answer
        return self._compared("!=", bound)

    def _compared(self, op: Op, bound: object) -> Condition:
        if isinstance(bound, (Variable, Rate, Condition)):
            raise BadOption("bound", bound, f"{self.name!r} is compared with a value; {APART}")
        return Compare(self.name, op, bound)

    def __bool__(self) -> NoReturn:
        raise Misuse(f"use {self!r} as true or false", "look at its value, v.value, or compare it in hub.when")

    def _apart(self, *other: object) -> NoReturn:
        fix = "put comparisons in parentheses, (v > 1) & (w > 1); to read it, v.value; to change it, await v.add(1)"
        raise Misuse(f"calculate with {self!r}", fix)

    if not TYPE_CHECKING:  # type checkers refuse these by themselves
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _apart
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __abs__ = _apart
        __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _apart
        __iadd__ = __isub__ = __int__ = __float__ = __len__ = __getitem__ = __setitem__ = __delitem__ = _apart

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r}: {self.value!r}>"


def _type_of(initial: Any) -> type[Any]:
    """To what a variable is held that has this value at first: nothing says what comes instead of None."""
    return object if initial is None else cast("type[Any]", initial.__class__)
