"""`Firings`: the protocol by which triggers fire, each firing once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from telex.triggers.time_trigger import TimeFirings
from telex.triggers.when_trigger import WhenFirings

if TYPE_CHECKING:
    from telex.triggers.scheduled import ScheduledTrigger
    from telex.triggers.values import VariableValue

T = TypeVar("T")


class Firings(TimeFirings, WhenFirings, Protocol):
    """The firing of triggers: by `LocalFirings` in this process only, by `EngineFirings` once in all processes of an
    engine.
    """

    needs: tuple[str, ...]
    """The guarantees of the engine that triggers and variables need."""

    def start(self) -> None:
        """Start: the hub is open."""

    async def stop(self) -> None:
        """Stop firing."""

    async def close(self) -> None:
        """Leave the groups of triggers that have ended. Called when the hub closes, after its handlers have ended."""

    def variable(self, name: str, initial: T, type: type[T] | None) -> VariableValue[T]:
        """Make the value of a variable. Raises `BadName`, `ContentError`."""

    def handler_options(self, trigger: ScheduledTrigger, function: Callable[..., object]) -> Mapping[str, object]:
        """Return the options of `telex.Hub.on` for a function of a trigger."""

    async def fire(self, trigger: ScheduledTrigger) -> None:
        """Publish a firing by hand, now."""

    def changed(self, trigger: ScheduledTrigger) -> None:
        """Note that the engine's record of a trigger was changed."""

    def finished(self, trigger: ScheduledTrigger, *, topic_is_free: bool) -> None:
        """Clean up after a trigger that has fired for the last time. ``topic_is_free``: no other trigger publishes to
        its topic.
        """

    def cancelled(self, trigger: ScheduledTrigger, *, topic_is_free: bool) -> None:
        """Clean up after a trigger that the program has ended. ``topic_is_free``: no other trigger publishes to its
        topic.
        """
