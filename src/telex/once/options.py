"""`OnceOptions`: the options of a command that runs once for each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from telex.durations import seconds
from telex.errors import BadOption
from telex.once.store import OnceStore

DEFAULTS: dict[str, object] = {
    "keep": "24h",
    "max_attempts": 3,
    "backoff": 1.0,
    "version": 1,
    "store": None,
    "run_anyway": False,
}


class OnceOptions(msgspec.Struct, frozen=True):
    """The options of one command; times in seconds. Without a ``store`` the engine of the hub keeps the records."""

    lease: float
    keep: float
    max_attempts: int
    backoff: float
    version: int
    store: OnceStore | None
    run_anyway: bool = False


def once_options(options: Mapping[str, Any], lease: float) -> OnceOptions | None:
    """Check the options of ``@hub.command``. None for a command that does not run once. Raises `BadOption`."""
    if not isinstance(options["once"], bool):
        raise BadOption("once", options["once"], "it is True or False")
    if not options["once"]:
        for option, default in DEFAULTS.items():
            if options[option] != default:
                raise BadOption(option, options[option], "it goes with once=True, whose outcomes are kept")
        return None
    for option in ("max_attempts", "version"):
        value = options[option]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadOption(option, value, "it is a number of at least 1")
    keep = seconds(options["keep"], "keep")
    if keep < lease:
        raise BadOption("keep", options["keep"], "outcomes are kept for longer than a lease, and than senders repeat")
    store = options["store"]
    if store is not None and not (hasattr(store, "transaction") and hasattr(store, "put")):
        raise BadOption("store", store, "it is a telex.once.OnceStore, such as telex.once.PostgresStore(...)")
    if not isinstance(options["run_anyway"], bool):
        raise BadOption("run_anyway", options["run_anyway"], "it is True or False")
    backoff = seconds(options["backoff"], "backoff")
    return OnceOptions(lease, keep, options["max_attempts"], backoff, options["version"], store, options["run_anyway"])
