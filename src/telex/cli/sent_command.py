"""`SentCommand`: a command that ``telex send`` has sent, on an engine or by HTTP."""

from __future__ import annotations

import msgspec

from telex import BadOption, Failure

EXAMPLE_KEY = "order-7"


class SentCommand(msgspec.Struct, omit_defaults=True):
    """A command, and its outcome as far as that is known."""

    command: str
    id: str | None = None
    key: str | None = None
    result: object = msgspec.UNSET
    error: Failure | None = None
    replayed: bool = False

    @property
    def ended(self) -> bool:
        """True once the outcome is known."""
        return self.error is not None or self.result is not msgspec.UNSET


def key_needed(name: str) -> BadOption:
    """Return the error for a command that runs once and was sent without a key."""
    return BadOption("--key", None, f"{name!r} runs once per key; give the key, such as --key {EXAMPLE_KEY}")
