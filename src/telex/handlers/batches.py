"""Handlers of batches: `BatchSpec` has the bounds of a batch, and `BatchContext` settles its messages one by one."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, MutableSequence, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from telex.checks import whole
from telex.durations import Duration, seconds
from telex.engines.contract.groups import Action, Delivery
from telex.errors import BadHandler, BadOption, text_of
from telex.handlers.call import Invoke
from telex.handlers.signature import ArgumentKinds, Signature, calls_async, hints_of, name_of, parts_of, read_signature
from telex.message import Message

T = TypeVar("T")
MAX_BATCH = 10_000
"""The largest number of messages of a batch."""
_LISTS = (list, Sequence, MutableSequence)
_LIST_NAMES = ("list", "List", "Sequence", "MutableSequence")


class BatchSpec(msgspec.Struct, frozen=True):
    """The bounds of the batches of a handler."""

    size: int
    """The largest number of messages of a batch."""
    within: float
    """The seconds after which a batch with fewer messages is handled, from its first message on."""


class BatchContext(Generic[T]):
    """One batch of deliveries, passed to a handler's argument that is annotated ``telex.BatchContext``.

    Calling its methods is optional: messages that the handler has not settled are acknowledged when it returns, and
    retried when it raises. The first settlement of a message wins. Each method returns true when its settlement won,
    once the engine has stored it. Each raises `BadOption` for a message that is not of this batch, `EngineFailed`, and
    `Misuse` inside a transaction of the same task on SQLite. Do not use it after the handler has returned.
    """

    __slots__ = ("_by_place", "_settle", "group", "lease_lost", "messages")

    def __init__(
        self,
        group: str,
        found: Sequence[tuple[Message[T], Delivery]],
        settle: Callable[[Delivery, Action, float, str], Awaitable[bool]],
    ) -> None:
        self.group: str = group
        """The name of the group."""
        self.messages: list[Message[T]] = [message for message, _ in found]
        """The messages, in the order of the handler's list."""
        self.lease_lost: bool = False
        """True after the lease of a message was lost: another consumer may have the message. When all leases are lost,
        the call is cancelled.
        """
        self._settle = settle
        self._by_place = {_place(message): delivery for message, delivery in found}

    def attempt(self, message: Message[T]) -> int:
        """Return the number of this attempt of a message, from 1."""
        return self._delivery(message).attempt

    async def ack(self, message: Message[T]) -> bool:
        """Acknowledge a message, so that it is not delivered again. Return once the engine has stored this."""
        return await self._settle(self._delivery(message), "ack", 0.0, "")

    async def nack(self, message: Message[T], delay: Duration = 0.0) -> bool:
        """Redeliver a message after ``delay``; after the last attempt, make it a dead letter."""
        reason = "the handler asked for a redelivery"
        return await self._settle(self._delivery(message), "nack", seconds(delay, "delay"), reason)

    async def reject(self, message: Message[T], reason: str = "its handler rejected it") -> bool:
        """Make a message a dead letter without another attempt, and publish its copy to the dead-letter topic."""
        return await self._settle(self._delivery(message), "reject", 0.0, text_of(reason))

    def _delivery(self, message: Message[T]) -> Delivery:
        found = self._by_place.get(_place(message)) if isinstance(message, Message) else None
        if found is None:
            raise BadOption("message", message, "it must be a message of this batch, one of context.messages")
        return found

    def __repr__(self) -> str:
        return f"<BatchContext of {len(self.messages)} messages, group {self.group!r}>"


def _place(message: Message[Any]) -> tuple[str, int]:
    return message.topic, message.seq


class MessageList(list[Message[Any]]):
    """The content of the message that stands for a batch, with which the handler and its middleware are called."""

    __slots__ = ("context",)

    def __init__(self, context: BatchContext[Any]) -> None:
        super().__init__(context.messages)
        self.context: BatchContext[Any] = context


def message_of(context: BatchContext[Any], topic: str) -> Message[Any]:
    """Return the message that stands for a batch."""
    return Message.new(MessageList(context), topic=topic)


BATCH_SOURCES: Mapping[str, Callable[[Message[Any]], object]] = {
    "contents": lambda batch: [message.content for message in batch.content],
    "messages": lambda batch: list(batch.content),
    "batch": lambda batch: batch.content.context,
}
"""The functions that get the arguments of a handler from the message that stands for a batch."""


def of_contents(invoke: Invoke) -> Invoke:
    """Return a function of a batch that calls ``invoke`` with the list of the contents in place of the messages."""
    take = BATCH_SOURCES["contents"]
    return lambda batch: invoke(msgspec.structs.replace(batch, content=take(batch)))


def check_batch(batch: object, within: Duration) -> BatchSpec | None:
    """Return the checked options ``batch`` and ``within``; None without ``batch``. Raises `BadOption`."""
    wait = seconds(within, "within")
    if batch is None:
        if wait != 1.0:
            raise BadOption("within", within, "only a handler with batch= takes this option")
        return None
    fix = f"it must be from 1 to {MAX_BATCH}, the number of messages of a batch"
    return BatchSpec(whole(batch, "batch", fix, most=MAX_BATCH), wait)


def read_batch_signature(function: object, kinds: ArgumentKinds) -> Signature:
    """Return the signature of a handler of batches; its content is that of one message. Raises `BadHandler`."""
    name = name_of(function)
    signature = read_signature(function, _with_batch(kinds))
    for kind, fix in _REFUSED.items():
        if kind in signature.kinds:
            raise BadHandler(name, f"with batch= {fix}")
    if "batch" in signature.kinds and not (callable(function) and calls_async(function)):
        raise BadHandler(name, "the methods of a telex.BatchContext are awaited: make it `async def`")
    item, content = None, signature.content
    for hint in _contents(function, kinds) if callable(function) else ():
        item = _item_of(hint)
        if item is None:
            raise BadHandler(name, f"with batch= it gets a list: annotate list[{_shown(hint)}] or list[telex.Message]")
        content = kinds.content_of(item)
    kind = "messages" if item is not None and kinds.of(item) == "message" else "contents"
    if "content" not in signature.kinds:
        return msgspec.structs.replace(signature, content=content)
    found = tuple(kind if each == "content" else each for each in signature.kinds)
    return Signature(found, content, signature.result)


def _with_batch(kinds: ArgumentKinds) -> ArgumentKinds:
    foreign = {"CommandContext": "in a handler with batch= annotate telex.BatchContext"}
    return msgspec.structs.replace(kinds, by_class={**kinds.by_class, BatchContext: "batch"}, foreign=foreign)


_REFUSED = {
    "message": "it gets a list: annotate list[telex.Message]",
    "context": "it gets several messages: take a telex.BatchContext, whose methods settle one message each",
    "tx": "it cannot have a transaction, which acknowledges single messages: leave out tx= or batch=",
}


def _contents(function: Callable[..., object], kinds: ArgumentKinds) -> list[object]:
    """Return the annotation of the argument for the contents, if it has one."""
    hints = hints_of(function)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin, such as list.extend
        return []
    every = _with_batch(kinds)
    found = [hints[name] for name in parameters if name in hints]
    return [hint for hint in found if every.of(hint) == "content"][:1]


def _item_of(hint: object) -> object:
    """Return the type of the items of a list's annotation; `Any` for a list of anything, None for no list."""
    if hint is Any or hint is object:
        return Any
    (part,) = parts_of(hint) if not isinstance(hint, str) else (hint,)
    if isinstance(part, str):
        return _item_in(part)
    if (typing.get_origin(part) or part) not in _LISTS:
        return None
    return next(iter(typing.get_args(part)), Any)


def _item_in(text: str) -> object:
    """Return the item's type in the text of an annotation with a name that is unknown at run time."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None
    name = node.value if isinstance(node, ast.Subscript) else node
    called = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
    if called not in _LIST_NAMES:
        return None
    return ast.unparse(node.slice) if isinstance(node, ast.Subscript) else Any


def _shown(hint: object) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
