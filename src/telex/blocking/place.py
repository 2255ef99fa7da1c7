"""`HubThread`: where the objects of a blocking hub run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from telex.blocking.thread import Thread
from telex.errors import Closed

R = TypeVar("R")


class HubThread:
    """The thread of a hub that may not be open yet: ``thread`` is None until then."""

    def __init__(self) -> None:
        self.thread: Thread | None = None

    def call(self, function: Callable[[], R]) -> R:
        """Call a plain function in the thread of the hub, or here while the hub is not open."""
        return function() if self.thread is None else self.thread.call(function)

    def open(self) -> Thread:
        """The thread of the hub. Raises `Closed` while the hub is not open."""
        if self.thread is None:
            raise Closed("this hub", "it is not open yet: `with hub:`")
        return self.thread
