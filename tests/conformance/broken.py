"""Engines that break one promise each, on purpose: wrappers over a correct engine.

The docstring of a wrapper is the promise that it breaks. `caught_by` has the tests of the suite that must fail on it.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from time import time
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec

from telex.engines import (
    Decoder,
    Delivery,
    EngineEvents,
    Fetched,
    FoundStart,
    Groups,
    Record,
    Records,
    Settlement,
    Store,
)
from telex.engines.contract.groups import Action, Change
from telex.engines.contract.store import PAGE
from telex.errors import Closed, EngineFailed
from telex.log.log import Log, Retention
from telex.log.start import Start
from telex.message import Draft, Message, time_of
from tests.support.loops import until


class Passing:
    """A wrapper that forwards everything to the wrapped part."""

    def __init__(self, inner: Any, engine: "PassingEngine") -> None:
        self.inner = inner
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # Of transactions: `async with` looks for these in the class.

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.inner.__aexit__(kind, error, trace)


class PassingEngine:
    """A correct engine. Subclasses replace the wrapper of a part by one that breaks a promise."""

    caught_by: ClassVar[tuple[str, ...]] = ()
    a_store: ClassVar[type[Passing]] = Passing
    a_groups: ClassVar[type[Passing]] = Passing
    a_records: ClassVar[type[Passing]] = Passing
    the_events: ClassVar[type[Passing]] = Passing
    a_transaction: ClassVar[type[Passing]] = Passing

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.guarantees = inner.guarantees
        self.store: Store | None = inner.store and self.a_store(inner.store, self)
        self.groups: Groups | None = inner.groups and self.a_groups(inner.groups, self)
        self.records: Records | None = inner.records and self.a_records(inner.records, self)
        self.events: Any = None

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        self.events = self.the_events(events, self)
        await self.inner.open(self.events, decoder)

    async def close(self) -> None:
        await self.inner.close()

    def now(self) -> float:
        now: float = self.inner.now()
        return now

    def log(self, topic: str, retention: Retention) -> Log:
        log: Log = self.inner.log(topic, retention)
        return log

    def transaction(self, publish: Any) -> Any:
        return self.a_transaction(self.inner.transaction(publish), self)


class ReportsNoReconnection(PassingEngine):
    """EngineEvents.connected: called when the engine reaches its server again."""

    caught_by = ("test_a_lost_and_a_restored_connection_are_reported", "test_a_hub_shows_its_connection")

    class the_events(Passing):  # noqa: N801
        def connected(self) -> None:
            pass


class ReportsNoDisconnection(PassingEngine):
    """EngineEvents.disconnected: called when the engine does not reach its server."""

    caught_by = (
        "test_a_lost_and_a_restored_connection_are_reported",
        "test_a_hub_shows_its_connection",
        "test_publishing_waits_for_the_connection_at_most_its_timeout",
    )

    class the_events(Passing):  # noqa: N801
        def disconnected(self, problem: str) -> None:
            pass

        def connected(self) -> None:
            pass


class PublishesAgainAfterAnOutage(PassingEngine):
    """Append: a message that an outage has delayed is stored once."""

    caught_by = ("test_publishing_waits_for_the_connection_at_most_its_timeout",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            held_up = self.engine.inner.server.down if hasattr(self.engine.inner, "server") else False
            kept: Sequence[Message[Any]] = await self.inner.append(drafts)
            if held_up:
                await self.inner.append(drafts)
            return kept


class LosesTheLastOfABatch(PassingEngine):
    """Append: all messages of a batch are stored, or none."""

    caught_by = ("test_a_batch_is_stored_whole_and_in_order", "test_numbers_rise_in_each_topic")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            if len(drafts) < 2:
                return list(await self.inner.append(drafts))
            kept = list(await self.inner.append(drafts[:-1]))
            return [*kept, drafts[-1].numbered(kept[-1].seq + 1, 0)]


class SwapsTwo(PassingEngine):
    """Append: messages are stored in the given order."""

    caught_by = ("test_a_batch_is_stored_whole_and_in_order", "test_a_message_is_delivered_before_append_returns")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return list(await self.inner.append([*drafts[1::-1], *drafts[2:]]))


class CountsBackwards(PassingEngine):
    """Append: each number is larger than the number before."""

    caught_by = ("test_numbers_rise_in_each_topic", "test_a_published_message_is_received")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return [backwards(message) for message in await self.inner.append(drafts)]

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver([backwards(message) for message in messages])


def backwards(message: Message[Any]) -> Message[Any]:
    return msgspec.structs.replace(message, seq=1_000_000 - message.seq)


class StoresAPartOfABatch(PassingEngine):
    """Append: all messages of a batch are stored, or none, also when one of them cannot be stored."""

    caught_by = ("test_content_that_cannot_be_stored_refuses_its_batch",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return [kept for draft in drafts for kept in await self.inner.append([draft])]


class DeliversTwice(PassingEngine):
    """EngineEvents.deliver: each message is delivered once."""

    caught_by = (
        "test_a_message_is_delivered_before_append_returns",
        "test_every_engine_delivers_the_messages_of_the_others",
    )

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver(messages)
            self.inner.deliver(messages)


class LosesOneOfFive(PassingEngine):
    """EngineEvents.deliver: every message is delivered: a subscriber receives it, holds it or counts it as lost."""

    caught_by = ("test_drop_newest_keeps_the_first", "test_drop_oldest_keeps_the_last", "test_latest_keeps_the_newest")

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver([message for message in messages if message.seq % 5])


class DeliversLate(PassingEngine):
    """Append: it returns after the engine has delivered the messages."""

    caught_by = ("test_a_message_is_delivered_before_append_returns",)

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            asyncio.get_running_loop().call_later(0.005, self.inner.deliver, messages)


class DeliversToNoOtherEngine(PassingEngine):
    """Shared: messages that another engine stores are delivered, too."""

    caught_by = ("test_every_engine_delivers_the_messages_of_the_others", "test_another_hub_receives_every_message")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            self.engine.events.own += [draft.content for draft in drafts]
            return list(await self.inner.append(drafts))

    class the_events(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.own: list[object] = []

        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver([message for message in messages if message.content in self.own])


class IgnoresUnfollow(PassingEngine):
    """Unfollow: no message of the name is delivered afterwards."""

    caught_by = ("test_unfollow_ends_the_delivery",)

    class a_store(Passing):  # noqa: N801
        def unfollow(self, name: str) -> None:
            pass


class FollowsEverything(PassingEngine):
    """Follow: only messages of followed topics are delivered."""

    caught_by = ("test_only_followed_topics_are_delivered", "test_unfollow_ends_the_delivery")

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        await super().open(events, decoder)
        self.inner.store.follow(">")


class FollowsLate(PassingEngine):
    """Follow: messages are delivered from the number on that `head` sets."""

    caught_by = ("test_a_follow_begins_with_the_next_message",)

    class the_events(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.begun: set[str] = set()

        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            late = {message.topic for message in messages} - self.begun
            self.begun |= late
            for topic in late:
                messages = [m for m in messages if m is not next(each for each in messages if each.topic == topic)]
            if messages:
                self.inner.deliver(messages)


class LosesANotification(PassingEngine):
    """Shared: each message of another engine is delivered, also when no later message comes."""

    caught_by = ("test_a_single_message_of_another_engine_is_delivered",)

    class the_events(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.held: list[Message[Any]] = []

        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            before, self.held = self.held, list(messages)
            if before:
                self.inner.deliver(before)


class ReportsNoGap(PassingEngine):
    """EngineEvents.gap: called for messages that are not delivered."""

    caught_by = ("test_a_message_that_is_not_delivered_is_in_a_gap",)

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver(messages[-1:])

        def gap(self, topic: str, count: int | None, reason: str) -> None:
            if reason == "epoch":
                self.inner.gap(topic, count, reason)


class CountsNoGaps(PassingEngine):
    """EngineEvents.gap: the number of missing messages is known on an engine with counted gaps."""

    caught_by = ("test_a_message_that_is_not_delivered_is_in_a_gap",)

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            if len(messages) > 1:
                self.inner.gap(messages[0].topic, None, "trimmed")
            self.inner.deliver(messages[-1:])


class ReportsNoRemoval(PassingEngine):
    """EngineEvents.gap: called with the reason ``epoch`` when a topic was removed."""

    caught_by = ("test_a_removal_reaches_all_engines", "test_subscriptions_of_all_hubs_continue_after_a_removal")

    class the_events(Passing):  # noqa: N801
        def gap(self, topic: str, count: int | None, reason: str) -> None:
            if reason != "epoch":
                self.inner.gap(topic, count, reason)


class ForgetsTheEpoch(PassingEngine):
    """Remove: the topic begins another epoch."""

    caught_by = ("test_a_recreated_topic_has_another_epoch", "test_a_removed_topic_begins_another_epoch")

    def now(self) -> float:
        now: float = self.inner.now()
        return now

    def log(self, topic: str, retention: Retention) -> Log:
        log: Log = self.inner.log(topic, retention)
        log.epoch = "the-same"
        return log


class AcknowledgesBeforeStoring(PassingEngine):
    """Durable: an acknowledged message is stored. Here it is stored by the next append, or by a read."""

    caught_by: ClassVar[tuple[str, ...]] = (
        "test_messages_survive_a_restart",
        "test_acknowledged_messages_survive_many_restarts",
    )

    class a_store(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.pending: list[Draft] = []

        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            await self.flush()
            self.pending += drafts
            messages = [
                draft.numbered(self.inner.extent(draft.topic).end + number, 0) for number, draft in enumerate(drafts)
            ]
            self.engine.events.inner.deliver(messages)
            return messages

        async def flush(self) -> None:
            pending, self.pending = self.pending, []
            self.engine.events.muted = True
            if pending:
                await self.inner.append(pending)
            self.engine.events.muted = False

        async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any]]:
            await self.flush()
            return list(await self.inner.read(topic, first, end, limit))

    class the_events(Passing):  # noqa: N801
        muted = False

        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            if not self.muted:
                self.inner.deliver(messages)


class StoresWhenItIsClosed(AcknowledgesBeforeStoring):
    """Durable: an acknowledged message survives kill -9. Here it survives a restart only."""

    caught_by = ("test_acknowledged_messages_survive_kill",)

    async def close(self) -> None:
        assert isinstance(self.store, AcknowledgesBeforeStoring.a_store)
        if self.events is not None:
            await self.store.flush()
        await self.inner.close()


class StoresTheObject(PassingEngine):
    """Durable: a message is stored as it was published. Here the publisher's object is stored."""

    caught_by = ("test_changing_a_published_object_does_not_change_the_message",)

    class a_store(Passing):  # noqa: N801
        objects: ClassVar[dict[tuple[str, int], object]] = {}

        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            kept = list(await self.inner.append(drafts))
            self.objects.update({(message.topic, message.seq): message.content for message in kept})
            return kept

        async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any]]:
            read = await self.inner.read(topic, first, end, limit)
            return [msgspec.structs.replace(message, content=self.objects[topic, message.seq]) for message in read]


class DropsHeaders(PassingEngine):
    """Read: a message is read as it was published, with its headers."""

    caught_by = ("test_every_field_of_a_message_is_stored",)

    class a_store(Passing):  # noqa: N801
        async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any]]:
            found = await self.inner.read(topic, first, end, limit)
            return [msgspec.structs.replace(message, _headers=None) for message in found]


class DeliversBytesAsText(PassingEngine):
    """Content is delivered unchanged: bytes as bytes."""

    caught_by = ("test_bytes_are_received_unchanged",)

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver(
                [
                    msgspec.structs.replace(message, content=message.content.decode("latin-1"))
                    if isinstance(message.content, bytes)
                    else message
                    for message in messages
                ]
            )


class ReadsOneTooMany(PassingEngine):
    """Read: it returns messages up to but not including ``end``."""

    caught_by = ("test_read_returns_exactly_the_range",)

    class a_store(Passing):  # noqa: N801
        async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any]]:
            return list(await self.inner.read(topic, first, end + 1, limit))


class ReadsMoreThanItsLimit(PassingEngine):
    """Read: at most ``limit``."""

    caught_by = ("test_read_gives_at_most_its_limit",)

    class a_store(Passing):  # noqa: N801
        async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any]]:
            return list(await self.inner.read(topic, first, end, limit + 1))


class ReadsOnlyNumbersWithinItsLimit(PassingEngine):
    """Read: the first messages from ``first`` on, wherever their numbers begin."""

    caught_by = ("test_read_gives_at_most_its_limit",)

    class a_store(Passing):  # noqa: N801
        async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any]]:
            return list(await self.inner.read(topic, first, min(end, first + limit), limit))


class CountsOneTooMany(PassingEngine):
    """Find: it returns the number of the messages up to ``end``."""

    caught_by = ("test_find_counts_the_messages_that_read_gives",)

    class a_store(Passing):  # noqa: N801
        async def find(self, topic: str, start: Start, now: float, end: int = 0) -> FoundStart:
            found: FoundStart = await self.inner.find(topic, start, now, end)
            return found._replace(messages=found.messages + 1)


class FindsOneTooLate(PassingEngine):
    """Find: it returns the first message of a start."""

    caught_by = ("test_find_resolves_every_start",)

    class a_store(Passing):  # noqa: N801
        async def find(self, topic: str, start: Start, now: float, end: int = 0) -> FoundStart:
            found: FoundStart = await self.inner.find(topic, start, now, end)
            return found if start in ("new", "earliest") else found._replace(number=found.number + 1)


class SortsByTime(PassingEngine):
    """Read_pattern: it returns messages in the order in which they were stored."""

    caught_by = ("test_read_pattern_returns_messages_in_the_order_of_storing",)

    class a_store(Passing):  # noqa: N801
        async def read_pattern(self, topics: Sequence[str], count: int) -> Sequence[Message[Any]]:
            return sorted(await self.inner.read_pattern(topics, count), key=time_of)


class IgnoresRetention(PassingEngine):
    """Retain: a rule bounds the messages that the topics of a pattern keep."""

    caught_by = (
        "test_retention_by_count_is_exact",
        "test_the_last_matching_retention_rule_applies",
        "test_history_returns_exactly_the_retained_messages",
    )

    class a_store(Passing):  # noqa: N801
        async def retain(self, rules: object) -> None:
            """Nothing."""


def with_other_ids(drafts: Sequence[Draft], number: int) -> list[Draft]:
    """Return the drafts; those with an id get another id."""
    return [
        draft if draft.id is None else msgspec.structs.replace(draft, id=f"{draft.id}-{number + place}")
        for place, draft in enumerate(drafts)
    ]


class ForgetsIds(PassingEngine):
    """Once_per_id: the same id is stored once."""

    caught_by = (
        "test_an_id_is_stored_once",
        "test_an_id_is_stored_once_when_published_concurrently",
        "test_an_id_is_published_once",
    )
    count = 0

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            ForgetsIds.count += len(drafts)
            return list(await self.inner.append(with_other_ids(drafts, ForgetsIds.count)))


class RemembersOnlyItsOwnIds(PassingEngine):
    """Once_per_id: an id is stored once, whichever process publishes it. Here an engine knows only its own."""

    caught_by = ("test_an_id_is_stored_once_between_engines", "test_an_id_is_stored_once_over_a_restart")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return list(await self.inner.append(with_other_ids(drafts, id(self))))


class DeliversAfterAck(PassingEngine):
    """Groups, rule 4: an acked message is never delivered again."""

    caught_by = ("test_an_acked_message_is_never_delivered_again", "test_lag_counts_unsettled_messages")

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            made = [replaced(it, "ack", action="nack", seconds=60.0) for it in settlements]
            return await self.inner.settle(group, pattern, made)


def replaced(settlement: Settlement, only: Action, **fields: Any) -> Settlement:
    """Return the settlement with other fields, if its action is ``only``."""
    return msgspec.structs.replace(settlement, **fields) if settlement.action == only else settlement


class ForgetsSettlements(PassingEngine):
    """Durable: a settlement survives a restart. Here an ack is remembered while the engine is open."""

    caught_by = ("test_groups_continue_after_a_restart",)

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            return await self.inner.settle(
                group, pattern, [replaced(it, "ack", action="extend", seconds=20.0) for it in settlements]
            )


class LeasesAMessageTwice(PassingEngine):
    """Groups, rule 2: no other member gets a leased message."""

    caught_by = ("test_a_message_is_leased_to_one_member", "test_each_group_handles_every_message")

    class a_groups(Passing):  # noqa: N801
        last: Sequence[Delivery] = ()

        async def fetch(self, *arguments: Any) -> Fetched:
            found: Fetched = await self.inner.fetch(*arguments)
            both = [*self.last, *found.deliveries]
            self.last = found.deliveries
            return msgspec.structs.replace(found, deliveries=both)


class ClaimsOneTooMany(PassingEngine):
    """Groups.fetch: it returns at most ``limit`` messages."""

    caught_by = ("test_a_message_is_leased_to_one_member", "test_first_deliveries_are_in_the_order_of_publishing")

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, group: str, pattern: str, limit: int, *arguments: Any) -> Any:
            return await self.inner.fetch(group, pattern, limit + 1, *arguments)


class IgnoresKeys(PassingEngine):
    """Groups, rule 6: one message of a key is leased at a time."""

    caught_by = (
        "test_one_message_of_a_key_is_leased_at_a_time",
        "test_messages_of_a_key_keep_the_order_of_publishing",
        "test_the_next_message_of_a_key_waits",
    )

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return list(await self.inner.append([msgspec.structs.replace(draft, key=None) for draft in drafts]))


class AcceptsStaleTokens(PassingEngine):
    """Groups, rule 3: only the last token settles."""

    caught_by = ("test_only_the_last_token_settles", "test_settlements_are_answered_one_by_one")

    class a_groups(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.tokens: dict[int, int] = {}

        async def fetch(self, *arguments: Any) -> Fetched:
            found: Fetched = await self.inner.fetch(*arguments)
            self.tokens.update({delivery.position: delivery.token for delivery in found.deliveries})
            return found

        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            newest = [msgspec.structs.replace(it, token=self.tokens.get(it.position, 0)) for it in settlements]
            return await self.inner.settle(group, pattern, newest)


class ReportsThatAllSettlementsWin(PassingEngine):
    """Groups, rule 3: only the first settlement wins, and `settle` returns true for it alone."""

    caught_by = ("test_the_first_settlement_wins",)

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> list[bool]:
            return [True for _ in await self.inner.settle(group, pattern, settlements)]


class CountsNoAttempts(PassingEngine):
    """Groups, rule 5: a redelivery has the next attempt."""

    caught_by = ("test_a_message_is_delivered_again_after_its_lease", "test_nack_waits_for_its_delay")

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            found: Fetched = await self.inner.fetch(*arguments)
            first = [msgspec.structs.replace(delivery, attempt=1) for delivery in found.deliveries]
            return msgspec.structs.replace(found, deliveries=first)


class SeeksNowhere(PassingEngine):
    """Groups, rule 11: `seek` moves a group to another start."""

    caught_by = ("test_seek_moves_a_group_to_another_start", "test_seek_moves_a_group_on_a_pattern")

    class a_groups(Passing):  # noqa: N801
        async def seek(self, group: str, pattern: str, start: Start) -> bool:
            return any(info.group == group for info in await self.inner.groups())


class BeginsAgainAtASeek(PassingEngine):
    """Groups, rule 11: after `seek`, leased messages keep their tokens, and dead letters stay."""

    caught_by = ("test_seek_keeps_leased_messages_and_dead_letters", "test_seek_keeps_the_order_of_keys")

    class a_groups(Passing):  # noqa: N801
        async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
            self.log = log
            await self.inner.join(group, pattern, start, log)

        async def seek(self, group: str, pattern: str, start: Start) -> bool:
            found: bool = await self.inner.change(group, pattern, "forget")
            if found:
                await self.inner.join(group, pattern, start, self.log)
            return found


class CountsReleasedLeases(PassingEngine):
    """Groups, rule 4: a released lease is not an attempt."""

    caught_by = ("test_a_released_lease_is_not_an_attempt",)

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            made = [replaced(it, "release", action="nack") for it in settlements]
            return await self.inner.settle(group, pattern, made)


class IgnoresDelays(PassingEngine):
    """Groups, rule 4: a nacked message is delivered again after its delay, not earlier."""

    caught_by = ("test_nack_waits_for_its_delay", "test_a_key_waits_for_the_retry_of_its_first_message")

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            return await self.inner.settle(group, pattern, [replaced(it, "nack", seconds=0.0) for it in settlements])


class KeepsNoDeadLetters(PassingEngine):
    """Groups, rule 4: a rejected message becomes a dead letter."""

    caught_by = ("test_a_rejected_message_becomes_a_dead_letter", "test_a_dead_letter_is_revived_or_dropped")

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            return await self.inner.settle(group, pattern, [replaced(it, "reject", action="ack") for it in settlements])


class RenewsNoLease(PassingEngine):
    """Groups, rule 4: extend renews the lease."""

    caught_by = ("test_a_lease_is_renewed",)

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            if any(it.action == "extend" for it in settlements):
                return [True for _ in settlements]
            return await self.inner.settle(group, pattern, settlements)


class TrimsTheBacklog(PassingEngine):
    """Groups, rule 8: unsettled messages are kept for a group, whatever the retention of the topic."""

    caught_by = ("test_retention_keeps_the_backlog_of_a_group",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            found: Fetched = await self.inner.fetch(*arguments)
            assert self.engine.store is not None
            first = {it.message.topic: self.engine.store.extent(it.message.topic).first for it in found.deliveries}
            left = [it for it in found.deliveries if it.message.seq >= first[it.message.topic]]
            return msgspec.structs.replace(found, deliveries=left)


class RestartsTheGroupAtEachJoin(PassingEngine):
    """Groups, rule 1: joining an existing group does not change its position."""

    caught_by = ("test_joining_a_group_does_not_change_its_position",)

    class a_groups(Passing):  # noqa: N801
        async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
            await self.inner.change(group, pattern, "forget")
            await self.inner.join(group, pattern, start, log)


class IgnoresPause(PassingEngine):
    """Groups, rule 9: a paused group claims nothing."""

    caught_by = ("test_a_paused_group_claims_nothing", "test_a_pause_holds_for_all_engines")

    class a_groups(Passing):  # noqa: N801
        async def change(self, group: str, pattern: str, change: Change) -> bool:
            if change not in ("pause", "resume"):
                return bool(await self.inner.change(group, pattern, change))
            return any((info.group, info.pattern) == (group, pattern) for info in await self.inner.groups())


class FetchesForTooShort(PassingEngine):
    """Groups.fetch: without a message it waits for its whole time."""

    caught_by = ("test_a_fetch_without_messages_waits_its_whole_time",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            *others, wait = arguments
            found: Fetched = await self.inner.fetch(*others, wait / 3)
            return found


class FetchesForever(PassingEngine):
    """Groups.fetch: without a message it returns when its time is over."""

    caught_by = ("test_a_fetch_returns_when_its_time_is_over",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            while True:
                found: Fetched = await self.inner.fetch(*arguments)
                if found.deliveries:
                    return found
                await asyncio.sleep(0)


class LeasesWhenItIsCancelled(PassingEngine):
    """Groups.fetch: a cancelled fetch leaves nothing leased."""

    caught_by = ("test_a_cancelled_fetch_leaves_nothing_leased",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            try:
                found: Fetched = await self.inner.fetch(*arguments)
            except asyncio.CancelledError:
                await self.inner.fetch(*arguments[:-1], 0.0)
                raise
            return found


class IgnoresEventsWhileFetching(PassingEngine):
    """Groups.fetch: it returns as soon as there is a message. Here it checks again only when its time is over."""

    caught_by = (
        "test_a_fetch_returns_when_a_message_is_published",
        "test_a_fetch_on_a_pattern_returns_for_a_new_topic",
        "test_a_fetch_returns_when_a_delay_or_a_lease_ends",
        "test_a_fetch_returns_when_its_group_changes",
        "test_a_fetch_returns_when_the_next_message_of_a_key_is_free",
        "test_a_fetch_returns_for_messages_of_other_engines",
    )

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            *others, wait = arguments
            found: Fetched = await self.inner.fetch(*others, 0.0)
            if wait > 0 and not found.deliveries:
                await asyncio.sleep(wait)
                found = await self.inner.fetch(*others, 0.0)
            return found


class FetchesWhenItIsClosed(PassingEngine):
    """Groups.fetch: closing the engine ends a waiting fetch."""

    caught_by = ("test_closing_ends_a_fetch",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            try:
                found: Fetched = await self.inner.fetch(*arguments)
            except Closed:
                return Fetched((), 0)
            return found


class PutsWithoutComparing(PassingEngine):
    """Put: it writes only if the record has the given revision."""

    caught_by = (
        "test_put_compares_revisions",
        "test_delete_compares_revisions",
        "test_one_of_concurrent_puts_wins",
        "test_concurrent_counters_of_two_engines_lose_no_count",
    )

    class a_records(Passing):  # noqa: N801
        async def put(
            self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
        ) -> int | None:
            number: int | None = None
            while number is None:
                known = await self.inner.get(bucket, key)
                if known is None and value is None:
                    return None
                number = await self.inner.put(bucket, key, value, known.revision if known else 0, expires)
            return number


class ExpiresNothing(PassingEngine):
    """Put: expired records are deleted in time."""

    caught_by = ("test_a_record_expires",)

    class a_records(Passing):  # noqa: N801
        async def put(
            self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
        ) -> int | None:
            number: int | None = await self.inner.put(bucket, key, value, revision)
            return number


class ExpiresTooEarly(PassingEngine):
    """Put: a record that has not expired stays."""

    caught_by = ("test_a_record_expires",)

    class a_records(Passing):  # noqa: N801
        async def put(
            self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
        ) -> int | None:
            expires = None if expires is None else 0.0
            number: int | None = await self.inner.put(bucket, key, value, revision, expires)
            return number


class PutsBesideTheTransaction(PassingEngine):
    """Transaction.put: the record is set together with the other writes of the transaction, or not at all."""

    caught_by = ("test_a_transaction_puts_records",)

    class a_transaction(Passing):  # noqa: N801
        async def __aenter__(self) -> Any:
            self.late: list[Any] = []
            await self.inner.__aenter__()
            return self

        async def __aexit__(self, *error: object) -> None:
            await self.inner.__aexit__(*error)
            for put in self.late:
                await self.engine.inner.records.put(*put)

        async def put(
            self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None
        ) -> int | None:
            number: int | None = await self.inner.put(bucket, key, value, revision, expires)
            if number is not None:
                self.late.append((bucket, key, value, revision, expires))
            return number


class SettlesBesideTheTransaction(PassingEngine):
    """Transaction.settle: the delivery is settled when the transaction commits, and not when it rolls back."""

    caught_by = ("test_a_transaction_settles_a_delivery",)

    class a_transaction(Passing):  # noqa: N801
        async def __aenter__(self) -> Any:
            self.late: list[Any] = []
            await self.inner.__aenter__()
            return self

        async def __aexit__(self, *error: object) -> None:
            await self.inner.__aexit__(*error)
            for group, pattern, settlement in self.late:
                await self.engine.inner.groups.settle(group, pattern, (settlement,))

        async def settle(self, group: str, pattern: str, settlement: Settlement) -> bool:
            self.late.append((group, pattern, settlement))
            return True


class RepeatsRevisions(PassingEngine):
    """Records: a revision is larger than all earlier ones of its key, also after the record was deleted."""

    caught_by = ("test_revisions_grow_also_after_a_delete", "test_records_survive_a_restart")

    class a_records(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.before: dict[tuple[str, str], int] = {}

        async def get(self, bucket: str, key: str) -> Record | None:
            record: Record | None = await self.inner.get(bucket, key)
            return record and Record(record.value, record.revision - self.before.get((bucket, key), 0))

        async def put(
            self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
        ) -> int | None:
            before = self.before.get((bucket, key), 0)
            number: int | None = await self.inner.put(bucket, key, value, revision and revision + before, expires)
            if number is None:
                return None
            if not revision:
                self.before[bucket, key] = before = number - 1
            return number - before


class PublishesTooEarly(PassingEngine):
    """Later: a delayed message is published at its time, not before."""

    caught_by = ("test_a_delayed_message_is_not_published_early", "test_a_hub_publishes_delayed_messages")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft], due: float | None = None) -> Sequence[Message[Any]]:
            return list(await self.inner.append(drafts, due and due - 0.1))


class PublishesInTheOrderOfTheCalls(PassingEngine):
    """Later: delayed messages are published in the order of their times."""

    caught_by = ("test_delayed_messages_are_published_in_the_order_of_their_times",)

    class a_store(Passing):  # noqa: N801
        last = 0.0

        async def append(self, drafts: Sequence[Draft], due: float = 0.0) -> Sequence[Message[Any]]:
            self.last = max(due, self.last + 0.001)
            return list(await self.inner.append(drafts, self.last))


class CancelsNothing(PassingEngine):
    """Later: a message that was cancelled is never published."""

    caught_by = ("test_a_cancelled_message_is_never_published",)

    class a_store(Passing):  # noqa: N801
        cancelled = ""

        async def cancel(self, topic: str, id: str) -> bool:
            before, self.cancelled = self.cancelled, id
            return topic == "reminders:1" and before not in (id, "two")


class PublishesTwice(PassingEngine):
    """Later: a delayed message is published once, whichever engines are open."""

    caught_by = ("test_several_engines_publish_a_delayed_message_once",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft], due: float | None = None) -> Sequence[Message[Any]]:
            if due is not None:
                await self.inner.append(drafts, due)
            return list(await self.inner.append(drafts, due))


class ForgetsDelayedMessages(PassingEngine):
    """Durable: a delayed message survives a restart."""

    caught_by = ("test_another_engine_publishes_for_a_closed_engine", "test_delayed_messages_survive_a_restart")

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.tasks: list[asyncio.Task[None]] = []

    class a_store(Passing):  # noqa: N801
        engine: "ForgetsDelayedMessages"

        async def append(self, drafts: Sequence[Draft], due: float | None = None) -> Sequence[Message[Any]]:
            if due is None:
                return list(await self.inner.append(drafts))

            async def publish(wait: float) -> None:
                await asyncio.sleep(wait)
                await self.inner.append(drafts)

            self.engine.tasks.append(asyncio.ensure_future(publish(due - time())))
            return [draft.numbered(0, 0) for draft in drafts]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await super().close()


class CommitsFailedTransactions(PassingEngine):
    """Transaction: a transaction that ends with an error rolls back."""

    caught_by = (
        "test_an_error_rolls_a_transaction_back",
        "test_groups_get_committed_messages_only",
        "test_a_failed_transaction_publishes_nothing",
        "test_a_group_handles_committed_messages_only",
    )

    class a_transaction(Passing):  # noqa: N801
        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            await self.inner.__aexit__(None, None, None)


class ShowsUncommittedMessages(PassingEngine):
    """Transaction: no reader gets its messages before it commits."""

    caught_by = (
        "test_no_message_is_read_before_the_commit",
        "test_another_engine_reads_a_transaction_whole_or_not_at_all",
    )

    class a_transaction(Passing):  # noqa: N801
        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            """All is done."""

        async def append(self, draft: Draft) -> Message[Any]:
            assert self.engine.store is not None
            return (await self.engine.store.append([draft]))[0]


class LeavesATask(PassingEngine):
    """Close: no task is left behind."""

    caught_by = ("test_open_and_close_leave_nothing_behind", "test_a_hub_that_fails_to_open_leaves_nothing_behind")

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        self.task = asyncio.ensure_future(asyncio.Event().wait())
        await super().open(events, decoder)


OPENING = (
    "test_a_cancelled_open_leaves_nothing_behind",
    "test_a_failed_open_leaves_nothing_behind",
)


LEFT: list[Callable[[], object]] = []
"""Functions that end the tasks, threads and descriptors that broken engines have left, after a test."""


class LeavesATaskToClose(PassingEngine):
    """Open: a cancelled or failed open leaves no task behind, also before close."""

    caught_by = OPENING

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        self.begin()
        await super().open(events, decoder)

    async def close(self) -> None:
        while LEFT:
            LEFT.pop()()
        await super().close()

    def begin(self) -> None:
        LEFT.append(asyncio.ensure_future(asyncio.Event().wait()).cancel)


class LeavesAThreadToClose(LeavesATaskToClose):
    """Open: a cancelled or failed open leaves no thread behind, also before close."""

    def begin(self) -> None:
        over = threading.Event()
        threading.Thread(target=over.wait, args=(60,)).start()
        LEFT.append(over.set)


class LeavesADescriptorToClose(LeavesATaskToClose):
    """Open: a cancelled or failed open leaves no descriptor behind, also before close."""

    def begin(self) -> None:
        LEFT.append(socket.socket().close)


class LeavesALockToClose(PassingEngine):
    """Open: a cancelled open leaves no lock behind that keeps another engine out, also before close."""

    caught_by = ("test_a_cancelled_open_leaves_nothing_behind",)
    held: ClassVar[dict[object, PassingEngine]] = {}

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.data = inner.server if hasattr(inner, "server") else inner._client.address.path

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        await until(lambda: self.data not in self.held, 3600)
        self.held[self.data] = self
        await super().open(events, decoder)
        del self.held[self.data]

    async def close(self) -> None:
        if self.held.get(self.data) is self:
            del self.held[self.data]
        await super().close()


class IsClosedOnlyOnceOpen(PassingEngine):
    """Close: it may be called after a cancelled or failed open."""

    caught_by = OPENING
    ready = False

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        await super().open(events, decoder)
        self.ready = True

    async def close(self) -> None:
        await super().close()
        if not self.ready:
            raise ValueError(self)


class StoresAPartWhenCancelled(PassingEngine):
    """Append: a cancelled append has stored and delivered all messages, or none."""

    caught_by = ("test_a_cancelled_append_stores_all_messages_or_none",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            if len(drafts) < 2:
                return list(await self.inner.append(drafts))
            first = await self.inner.append(drafts[:1])
            await asyncio.sleep(0)
            return [*first, *await self.inner.append(drafts[1:])]


class HangsWhileItIsClosed(PassingEngine):
    """Close: it ends every append that waits."""

    caught_by = ("test_closing_ends_appends_that_are_in_flight",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            await asyncio.Event().wait()
            raise EngineFailed("append", "it hangs")


def all_broken(base: type[PassingEngine] = PassingEngine) -> list[type[PassingEngine]]:
    """Return every broken engine."""
    return [each for cls in base.__subclasses__() for each in (cls, *all_broken(cls))]
