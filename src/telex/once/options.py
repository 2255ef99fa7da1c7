"""`OnceOptions`: the options of a command that runs once for each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from telex.checks import flag, whole
from telex.durations import seconds
from telex.errors import BadOption
from telex.once.store import OnceStore

DEFAULTS: dict[str, object] = {
    "keep": None,
    "max_attempts": None,
    "backoff": None,
    "version": None,
    "store": None,
    "run_anyway": False,
}
"""The options of `Hub.command` that are not given."""
USUAL: dict[str, object] = {"keep": "24h", "max_attempts": 3, "backoff": 1.0, "version": 1}
"""The values of options that are not given, for a command with ``once=True``."""


class OnceOptions(msgspec.Struct, frozen=True):
    """The options of one command; times in seconds. Without a ``store``, the hub's engine keeps the records."""

    lease: float
    keep: float
    max_attempts: int
    backoff: float
    version: int
    store: OnceStore | None
    run_anyway: bool = False


def once_options(options: Mapping[str, Any], lease: float) -> OnceOptions | None:
    """Check the options of ``@hub.command``. Return None for a command that does not run once. Raises `BadOption`."""
    if not flag(options["once"], "once"):
        for option, default in DEFAULTS.items():
            if option != "keep" and options[option] != default:
                raise BadOption(option, options[option], "only a command with once=True takes this option")
        return None
    options = {**options, **{option: usual for option, usual in USUAL.items() if options[option] is None}}
    for option in ("max_attempts", "version"):
        whole(options[option], option, "it must be a whole number of at least 1")
    keep = seconds(options["keep"], "keep")
    if keep < lease:
        raise BadOption(
            "keep",
            options["keep"],
            "it must be longer than the lease, and longer than the time in which senders repeat a command",
        )
    store = options["store"]
    if store is not None and not (hasattr(store, "transaction") and hasattr(store, "put")):
        raise BadOption("store", store, "it must be a telex.once.OnceStore, such as telex.once.PostgresStore(...)")
    flag(options["run_anyway"], "run_anyway")
    backoff = seconds(options["backoff"], "backoff")
    return OnceOptions(lease, keep, options["max_attempts"], backoff, options["version"], store, options["run_anyway"])
