"""`Guarantees`: the promises of an engine, and the refusal of features that need another promise."""

from __future__ import annotations

import msgspec

from telex.errors import Misuse
from telex.log.options import Options
from telex.log.start import Start
from telex.message import Position


class Guarantees(msgspec.Struct, frozen=True, kw_only=True):
    """The promises of an engine. The conformance suite tests the declared ones; the documentation lists the others."""

    durable: bool
    """Acknowledged messages, settlements and records survive the end of the process, also kill -9."""
    shared: bool
    """Other processes see the same topics, groups and records."""
    ordered: bool
    """The messages of one publisher to one topic keep their order for every reader. In a group without keys this is the
    order of the first deliveries.
    """
    history: bool
    """Kept messages can be read again."""
    counted_gaps: bool
    """When retention has deleted messages before a reader came to them, their number is known exactly."""
    once_per_id: bool
    """The same id published twice to a topic within two minutes is stored once, whichever process publishes it."""
    groups: bool
    """Consumer groups: leases, settling, redelivery, dead letters, pause, lag."""
    key_order: bool
    """A group handles messages of one key one after the other, in the order of publishing."""
    fenced_settle: bool
    """Of all deliveries of a message to a group, only the last one settles it."""
    backlog_kept: bool
    """Messages that a group has not settled are kept for the group, whatever the retention of their topic."""
    records: bool
    """Records changed by compare-and-set."""
    delayed: bool
    """Messages can be published later; with ``durable``, delayed messages survive a restart."""
    transactions: bool
    """Several messages are published together or not at all."""
    record_transactions: bool
    """Messages and records are written together or not at all."""
    sql: bool
    """A transaction has a connection to the database, for tables of the program: it is a `SqlTransaction`."""

    def require(self, name: str, feature: str) -> None:
        """Raise `Misuse`, naming ``feature``, unless the engine has the guarantee ``name``."""
        if not getattr(self, name):
            fix = f"the engine does not guarantee `{name}`; use another one, such as sqlite:///file.db"
            raise Misuse(f"use {feature}", fix)

    def require_readable(self, options: Options, start: Start) -> None:
        """Raise `Misuse` unless the engine has the guarantees that a subscription needs."""
        if start != "new":
            self.require("history", "subscribe(start=)")
        if isinstance(start, Position):
            self.require("counted_gaps", "a Position as start")
        if options.overflow == "latest":
            self.require("ordered", "overflow='latest'")
        if options.overflow == "catch_up":
            self.require("counted_gaps", "overflow='catch_up'")

    def require_history(self, start: Start) -> None:
        """Raise `Misuse` unless the engine has the guarantees that reading the kept messages needs."""
        self.require("history", "topic.history()")
        if isinstance(start, Position):
            self.require("counted_gaps", "a Position as start")
