"""`Instrument`: the protocol of tracing and of metrics, which a hub is given as ``observe=``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from telex.errors import BadOption
from telex.message import Message
from telex.observe.headers import Sending

Invoke = Callable[[Any], Any]
"""A bound handler. Its result is awaitable if the function is async."""


class Processing(msgspec.Struct, frozen=True):
    """A bound handler or command, as an `Instrument` sees it. ``headers`` and ``message`` read the argument of a call:
    the headers of its message, or None, and the message. ``batch`` reads the messages of a handler of batches; it is
    None for other handlers.
    """

    name: str
    patterns: tuple[str, ...]
    group: str | None
    headers: Callable[[Any], Mapping[str, str] | None]
    message: Callable[[Any], Message[Any]]
    batch: Callable[[Any], Sequence[Message[Any]]] | None = None

    @property
    def internal(self) -> bool:
        """True for a topic of telex that no program publishes to."""
        return self.patterns[0].startswith("$") and not (self.is_command or self.patterns[0].startswith("$trigger:"))

    @property
    def is_command(self) -> bool:
        """True for a command: its call returns a `telex.Outcome` and raises no error of the command. None is returned
        for a command that another process has carried out.
        """
        return self.patterns[0].startswith("$command:") and self.patterns[0].endswith(":request")


def itself(message: Message[Any]) -> Message[Any]:
    """Return a message."""
    return message


class Instrument(Protocol):
    """An observer of a hub. It is asked when the hub is made and when a handler is bound, so that a hub without it pays
    nothing.
    """

    sends: ClassVar[bool]
    """True when `sending` may return a span."""

    def attach(self, hub: Any) -> None:
        """Note the hub that is observed. Called once, when the hub is made."""

    def processing(self, invoke: Invoke, of: Processing) -> Invoke:
        """Return a function that calls ``invoke`` and observes the call."""

    def skips(self) -> bool:
        """Return true when `sending` would certainly return None for a message without headers, and count the
        message.
        """

    def sending(self, topic: str, headers: Mapping[str, str] | None) -> Sending | None:
        """Return the span of a message that is about to be published; None for no span."""


def check_instruments(observe: object) -> tuple[Instrument, ...]:
    """Return the given instruments. Raises `BadOption`."""
    given = () if observe is None else tuple(observe) if isinstance(observe, Sequence) else (observe,)
    if not all(callable(getattr(each, "processing", None)) for each in given):
        fix = "it must be an object of telex.observe such as telex.observe.OpenTelemetry(), or a list of them"
        raise BadOption("observe", observe, fix)
    return given
