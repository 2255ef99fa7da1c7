"""Engines that break one promise each, on purpose: wrappers over an engine that keeps them all. The docstring of each
says which promise it breaks, `caught_by` which tests of the suite have to see it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from time import time
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec

from telex.engines import Delivery, EngineEvents, Fetched, Groups, Record, Records, Settlement, Store
from telex.engines.contract.groups import Action, Change
from telex.errors import Closed, EngineFailed
from telex.log.log import Log, Retention
from telex.log.start import Start
from telex.message import Draft, Message, time_of
from tests.support.loops import until


class Passing:
    """Passes everything on to what it wraps."""

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
    """An engine that is not broken yet: a wrapper takes the place of each of its parts."""

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

    async def open(self, events: EngineEvents) -> None:
        self.events = self.the_events(events, self)
        await self.inner.open(self.events)

    async def close(self) -> None:
        await self.inner.close()

    def now(self) -> float:
        now: float = self.inner.now()
        return now

    def log(self, topic: str, retention: Retention) -> Log:
        log: Log = self.inner.log(topic, retention)
        return log

    async def later(self, draft: Draft, due: float) -> Message[Any]:
        later: Message[Any] = await self.inner.later(draft, due)
        return later

    def transaction(self) -> Any:
        return self.a_transaction(self.inner.transaction(), self)


class NeverConnectedAgain(PassingEngine):
    """Feed.connected: when the server is reached again."""

    caught_by = ("test_a_lost_and_a_restored_connection_are_reported", "test_a_hub_shows_its_connection")

    class the_events(Passing):  # noqa: N801
        def connected(self) -> None:
            pass


class SaysNothingAtADisconnection(PassingEngine):
    """Feed.disconnected: when the server is not reached."""

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
    """Append: what an outage held up is stored once."""

    caught_by = ("test_publishing_waits_for_the_connection_at_most_its_timeout",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            held_up = self.engine.inner.server.down if hasattr(self.engine.inner, "server") else False
            kept: Sequence[Message[Any]] = await self.inner.append(drafts)
            if held_up:
                await self.inner.append(drafts)
            return kept


class LosesTheLastOfABatch(PassingEngine):
    """Append: all or none."""

    caught_by = ("test_a_batch_is_kept_whole_and_in_order", "test_numbers_rise_in_each_topic")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            if len(drafts) < 2:
                return list(await self.inner.append(drafts))
            kept = list(await self.inner.append(drafts[:-1]))
            return [*kept, drafts[-1].numbered(kept[-1].seq + 1, 0)]


class SwapsTwo(PassingEngine):
    """Append: in this order."""

    caught_by = ("test_a_batch_is_kept_whole_and_in_order", "test_the_feed_has_a_message_before_append_returns")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return list(await self.inner.append([*drafts[1::-1], *drafts[2:]]))


class CountsBackwards(PassingEngine):
    """Append: each number is larger than the number before."""

    caught_by = ("test_numbers_rise_in_each_topic", "test_what_is_published_is_received")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return [backwards(message) for message in await self.inner.append(drafts)]

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver([backwards(message) for message in messages])


def backwards(message: Message[Any]) -> Message[Any]:
    return msgspec.structs.replace(message, seq=1_000_000 - message.seq)


class KeepsAPartOfABatch(PassingEngine):
    """Append: all or none, also when one of them cannot be kept."""

    caught_by = ("test_what_cannot_be_kept_is_refused_with_its_batch",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return [kept for draft in drafts for kept in await self.inner.append([draft])]


class TellsTwice(PassingEngine):
    """EngineEvents.deliver: each message once."""

    caught_by = ("test_the_feed_has_a_message_before_append_returns", "test_another_engine_is_told")

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver(messages)
            self.inner.deliver(messages)


class LosesOneOfFive(PassingEngine):
    """Feed.take: every message, so that each one is received, waits or is counted as lost."""

    caught_by = ("test_drop_newest_keeps_the_first", "test_drop_oldest_keeps_the_last", "test_latest_keeps_one")

    class the_events(Passing):  # noqa: N801
        def take(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.take([message for message in messages if message.seq % 5])


class TellsLate(PassingEngine):
    """Append returns after the engine has delivered the messages."""

    caught_by = ("test_the_feed_has_a_message_before_append_returns",)

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            asyncio.get_running_loop().call_later(0.005, self.inner.deliver, messages)


class TellsNoOtherEngine(PassingEngine):
    """Shared: what another engine stores is delivered, too."""

    caught_by = ("test_another_engine_is_told", "test_another_hub_receives")

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


class FollowNeverEnds(PassingEngine):
    """Unfollow: no more messages of the name are delivered."""

    caught_by = ("test_a_follow_ends",)

    class a_store(Passing):  # noqa: N801
        def unfollow(self, name: str) -> None:
            pass


class FollowsEverything(PassingEngine):
    """Follow: only messages of followed topics are delivered."""

    caught_by = ("test_only_followed_topics_are_delivered", "test_a_follow_ends")

    async def open(self, events: EngineEvents) -> None:
        await super().open(events)
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
    """Shared: each message of another engine is delivered, also when no later one comes."""

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
    """EngineEvents.gap: a message that is not delivered is announced."""

    caught_by = ("test_a_message_that_is_not_delivered_is_in_a_gap",)

    class the_events(Passing):  # noqa: N801
        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            self.inner.deliver(messages[-1:])

        def gap(self, topic: str, count: int | None, reason: str) -> None:
            pass


class TellsNoRemoval(PassingEngine):
    """EngineEvents.removed: the topic was removed."""

    caught_by = ("test_another_engine_is_told_of_a_removal", "test_subscriptions_go_on_after_a_removal_everywhere")

    class the_events(Passing):  # noqa: N801
        def removed(self, topic: str) -> None:
            """Nothing."""


class ForgetsTheEpoch(PassingEngine):
    """Remove: a topic begins another epoch."""

    caught_by = ("test_a_topic_made_anew_is_another", "test_a_removed_topic_begins_another_epoch")

    def now(self) -> float:
        now: float = self.inner.now()
        return now

    def log(self, topic: str, retention: Retention) -> Log:
        log: Log = self.inner.log(topic, retention)
        log.epoch = "the-same"
        return log


class AcknowledgesBeforeKeeping(PassingEngine):
    """Durable: what was acknowledged is kept. Here it is kept with what comes next, or when somebody reads."""

    caught_by: ClassVar[tuple[str, ...]] = (
        "test_messages_are_there_after_a_restart",
        "test_nothing_that_was_acknowledged_is_lost_over_restarts",
    )

    class a_store(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.pending: list[Draft] = []

        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            await self.flush()
            self.pending += drafts
            messages = [
                draft.numbered(self.inner.end(draft.topic)[1] + number, 0) for number, draft in enumerate(drafts)
            ]
            self.engine.events.inner.deliver(messages)
            return messages

        async def flush(self) -> None:
            pending, self.pending = self.pending, []
            self.engine.events.muted = True
            if pending:
                await self.inner.append(pending)
            self.engine.events.muted = False

        async def read(self, topic: str, first: int, end: int) -> Sequence[Message[Any]]:
            await self.flush()
            return list(await self.inner.read(topic, first, end))

    class the_events(Passing):  # noqa: N801
        muted = False

        def deliver(self, messages: Sequence[Message[Any]]) -> None:
            if not self.muted:
                self.inner.deliver(messages)


class KeepsWhenItIsClosed(AcknowledgesBeforeKeeping):
    """Durable: kept through kill -9. Here a restart loses nothing, and a kill does."""

    caught_by = ("test_what_was_acknowledged_survives_kill",)

    async def close(self) -> None:
        assert isinstance(self.store, AcknowledgesBeforeKeeping.a_store)
        if self.events is not None:
            await self.store.flush()
        await self.inner.close()


class KeepsTheObject(PassingEngine):
    """What is kept is what was published, not the publisher's object."""

    caught_by = ("test_what_is_kept_is_not_the_publisher_s_object",)

    class a_store(Passing):  # noqa: N801
        objects: ClassVar[dict[tuple[str, int], object]] = {}

        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            kept = list(await self.inner.append(drafts))
            self.objects.update({(message.topic, message.seq): message.content for message in kept})
            return kept

        async def read(self, topic: str, first: int, end: int) -> Sequence[Message[Any]]:
            read = await self.inner.read(topic, first, end)
            return [msgspec.structs.replace(message, content=self.objects[topic, message.seq]) for message in read]


class DropsHeaders(PassingEngine):
    """What is read is what was published."""

    caught_by = ("test_everything_of_a_message_is_kept",)

    class a_store(Passing):  # noqa: N801
        async def read(self, topic: str, first: int, end: int) -> Sequence[Message[Any]]:
            found = await self.inner.read(topic, first, end)
            return [msgspec.structs.replace(message, _headers=None) for message in found]


class MakesBytesText(PassingEngine):
    """Contents come out as they went in."""

    caught_by = ("test_bytes_come_out_as_they_went_in",)

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
    """Read: up to, not with, ``end``."""

    caught_by = ("test_read_gives_exactly_the_range",)

    class a_store(Passing):  # noqa: N801
        async def read(self, topic: str, first: int, end: int) -> Sequence[Message[Any]]:
            return list(await self.inner.read(topic, first, end + 1))


class FindsOneTooLate(PassingEngine):
    """Find: the first message to read for a start."""

    caught_by = ("test_find_knows_every_start",)

    class a_store(Passing):  # noqa: N801
        async def find(self, topic: str, start: Start, now: float) -> tuple[int, object]:
            number, told = await self.inner.find(topic, start, now)
            return (number, told) if start in ("new", "earliest") else (number + 1, told)


class SortsByTime(PassingEngine):
    """Read_pattern: in the order of their being kept."""

    caught_by = ("test_a_pattern_is_read_in_the_order_of_being_kept",)

    class a_store(Passing):  # noqa: N801
        async def read_pattern(self, topics: Sequence[str], count: int) -> Sequence[Message[Any]]:
            return sorted(await self.inner.read_pattern(topics, count), key=time_of)


class IgnoresRetention(PassingEngine):
    """Retain: what the topics of a pattern keep."""

    caught_by = (
        "test_retention_by_count_is_exact",
        "test_the_rule_that_was_set_last_holds",
        "test_retention_is_seen_exactly",
    )

    class a_store(Passing):  # noqa: N801
        async def retain(self, rules: object) -> None:
            """Nothing."""


def with_other_ids(drafts: Sequence[Draft], number: int) -> list[Draft]:
    """The drafts, with other ids where they have some."""
    return [
        draft if draft.id is None else msgspec.structs.replace(draft, id=f"{draft.id}-{number + place}")
        for place, draft in enumerate(drafts)
    ]


class ForgetsIds(PassingEngine):
    """Once_per_id: the same id is kept once."""

    caught_by = (
        "test_an_id_is_kept_once",
        "test_an_id_is_kept_once_when_all_publish_it_together",
        "test_an_id_is_published_once",
    )
    count = 0

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            ForgetsIds.count += len(drafts)
            return list(await self.inner.append(with_other_ids(drafts, ForgetsIds.count)))


class KnowsItsOwnIds(PassingEngine):
    """Once_per_id: whoever publishes it. Here each engine, and each time that it is opened, remembers for itself."""

    caught_by = ("test_an_id_is_kept_once_between_engines", "test_an_id_is_kept_once_over_a_restart")

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            return list(await self.inner.append(with_other_ids(drafts, id(self))))


class DeliversAfterAck(PassingEngine):
    """Groups, rule 4: what was acked is never delivered again."""

    caught_by = ("test_what_was_acked_never_comes_again", "test_lag_is_what_is_not_settled")

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            made = [replaced(it, "ack", action="nack", seconds=60.0) for it in settlements]
            return await self.inner.settle(group, pattern, made)


def replaced(settlement: Settlement, only: Action, **fields: Any) -> Settlement:
    """The settlement with other fields, if it is an ``only``."""
    return msgspec.structs.replace(settlement, **fields) if settlement.action == only else settlement


class ForgetsSettlements(PassingEngine):
    """Durable: a settlement is kept. Here an ack is remembered as long as the engine is open."""

    caught_by = ("test_groups_go_on_after_a_restart",)

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            return await self.inner.settle(
                group, pattern, [replaced(it, "ack", action="extend", seconds=20.0) for it in settlements]
            )


class LetsTwoHoldALease(PassingEngine):
    """Groups, rule 2: what is leased nobody else is given."""

    caught_by = ("test_a_message_is_leased_to_one", "test_each_group_handles_every_message")

    class a_groups(Passing):  # noqa: N801
        last: Sequence[Delivery] = ()

        async def fetch(self, *arguments: Any) -> Fetched:
            found: Fetched = await self.inner.fetch(*arguments)
            both = [*self.last, *found.deliveries]
            self.last = found.deliveries
            return msgspec.structs.replace(found, deliveries=both)


class ClaimsOneTooMany(PassingEngine):
    """Claim: at most ``limit`` messages."""

    caught_by = ("test_a_message_is_leased_to_one", "test_the_first_delivery_is_in_order")

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, group: str, pattern: str, limit: int, *arguments: Any) -> Any:
            return await self.inner.fetch(group, pattern, limit + 1, *arguments)


class IgnoresKeys(PassingEngine):
    """Groups, rule 6: one of a key at a time."""

    caught_by = (
        "test_one_of_a_key_at_a_time",
        "test_keys_are_in_the_order_of_publishing",
        "test_the_next_of_a_key_waits",
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


class SaysThatAllWin(PassingEngine):
    """Groups, rule 3: the first settlement wins, and says so."""

    caught_by = ("test_the_first_settlement_wins",)

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> list[bool]:
            return [True for _ in await self.inner.settle(group, pattern, settlements)]


class CountsNoAttempts(PassingEngine):
    """Groups, rule 5: the next attempt."""

    caught_by = ("test_a_lease_that_ends_frees_its_message", "test_nack_waits_for_its_delay")

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            found: Fetched = await self.inner.fetch(*arguments)
            first = [msgspec.structs.replace(delivery, attempt=1) for delivery in found.deliveries]
            return msgspec.structs.replace(found, deliveries=first)


class WaitsForNoDelay(PassingEngine):
    """Groups, rule 4: a nack is delivered again after its delay."""

    caught_by = ("test_nack_waits_for_its_delay", "test_a_key_waits_for_its_next_try")

    class a_groups(Passing):  # noqa: N801
        async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Any:
            return await self.inner.settle(group, pattern, [replaced(it, "nack", seconds=0.0) for it in settlements])


class KeepsNoDeadLetters(PassingEngine):
    """Groups, rule 4: what is rejected is kept aside."""

    caught_by = ("test_what_was_rejected_is_kept_aside", "test_a_dead_letter_is_revived_or_dropped")

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


class TakesFromGroups(PassingEngine):
    """Groups, rule 8: what a group has not settled is kept for it, whatever the retention."""

    caught_by = ("test_retention_takes_nothing_from_a_group",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            found: Fetched = await self.inner.fetch(*arguments)
            assert self.engine.store is not None
            first = {it.message.topic: self.engine.store.end(it.message.topic)[0] for it in found.deliveries}
            left = [it for it in found.deliveries if it.message.seq >= first[it.message.topic]]
            return msgspec.structs.replace(found, deliveries=left)


class BeginsAgainForWhoJoins(PassingEngine):
    """Groups, rule 1: a group goes on, whoever joins."""

    caught_by = ("test_a_group_goes_on_whoever_joins",)

    class a_groups(Passing):  # noqa: N801
        async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
            await self.inner.change(group, pattern, "forget")
            await self.inner.join(group, pattern, start, log)


class IgnoresPause(PassingEngine):
    """Groups, rule 9: a paused group claims nothing."""

    caught_by = ("test_a_paused_group_claims_nothing", "test_a_pause_holds_for_all")

    class a_groups(Passing):  # noqa: N801
        async def change(self, group: str, pattern: str, change: Change) -> bool:
            if change not in ("pause", "resume"):
                return bool(await self.inner.change(group, pattern, change))
            return any((info.group, info.pattern) == (group, pattern) for info in await self.inner.groups())


class FetchesForTooShort(PassingEngine):
    """Groups.fetch: without a message it returns not before its time."""

    caught_by = ("test_a_fetch_returns_nothing_before_its_time",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            *others, wait = arguments
            found: Fetched = await self.inner.fetch(*others, wait / 3)
            return found


class FetchesForEver(PassingEngine):
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
    """Groups.fetch: cancelled, it leaves nothing leased."""

    caught_by = ("test_a_fetch_that_is_cancelled_leaves_nothing_leased",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            try:
                found: Fetched = await self.inner.fetch(*arguments)
            except asyncio.CancelledError:
                await self.inner.fetch(*arguments[:-1], 0.0)
                raise
            return found


class HearsOfNothing(PassingEngine):
    """Groups.fetch: it returns as soon as there is something. Here it looks again when its time is over."""

    caught_by = (
        "test_a_fetch_returns_when_something_is_there",
        "test_a_fetch_on_a_pattern_waits_for_topics_to_come",
        "test_a_fetch_waits_for_delays_and_leases",
        "test_a_fetch_hears_of_changes_of_its_group",
        "test_a_fetch_hears_of_the_next_of_a_key",
        "test_a_fetch_hears_of_other_engines",
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
    """Groups.fetch: closing the engine ends it."""

    caught_by = ("test_closing_ends_a_fetch",)

    class a_groups(Passing):  # noqa: N801
        async def fetch(self, *arguments: Any) -> Fetched:
            try:
                found: Fetched = await self.inner.fetch(*arguments)
            except Closed:
                return Fetched((), 0)
            return found


class PutsWithoutComparing(PassingEngine):
    """Put: if its revision is still the one given."""

    caught_by = ("test_put_compares", "test_one_of_many_is_first", "test_two_engines_count_together")

    class a_records(Passing):  # noqa: N801
        async def put(
            self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None
        ) -> int | None:
            number: int | None = None
            while number is None:
                known = await self.inner.get(bucket, key)
                number = await self.inner.put(bucket, key, value, known.revision if known else 0, expires)
            return number


class ExpiresNothing(PassingEngine):
    """Put: what has expired is deleted in time."""

    caught_by = ("test_a_record_expires",)

    class a_records(Passing):  # noqa: N801
        async def put(
            self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None
        ) -> int | None:
            number: int | None = await self.inner.put(bucket, key, value, revision)
            return number


class ExpiresTooEarly(PassingEngine):
    """Put: what has not expired yet stays."""

    caught_by = ("test_a_record_expires",)

    class a_records(Passing):  # noqa: N801
        async def put(
            self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None
        ) -> int | None:
            expires = None if expires is None else 0.0
            number: int | None = await self.inner.put(bucket, key, value, revision, expires)
            return number


class PutsBesideTheTransaction(PassingEngine):
    """`Transaction.put`: the record is set with what else is in the transaction, or not at all."""

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
    """`Transaction.settle`: the delivery is settled when, and if, the transaction commits."""

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
    """Records: a revision is larger than any before, also after the record was deleted."""

    caught_by = ("test_a_revision_never_comes_again", "test_records_are_there_after_a_restart")

    class a_records(Passing):  # noqa: N801
        def __init__(self, inner: Any, engine: PassingEngine) -> None:
            super().__init__(inner, engine)
            self.before: dict[tuple[str, str], int] = {}

        async def get(self, bucket: str, key: str) -> Record | None:
            record: Record | None = await self.inner.get(bucket, key)
            return record and Record(record.value, record.revision - self.before.get((bucket, key), 0))

        async def put(
            self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None
        ) -> int | None:
            before = self.before.get((bucket, key), 0)
            number: int | None = await self.inner.put(bucket, key, value, revision and revision + before, expires)
            if number is None:
                return None
            if not revision:
                self.before[bucket, key] = before = number - 1
            return number - before

        async def delete(self, bucket: str, key: str, revision: int) -> bool:
            return bool(await self.inner.delete(bucket, key, revision + self.before.get((bucket, key), 0)))


class PublishesTooEarly(PassingEngine):
    """Later: at its time, not before."""

    caught_by = ("test_later_is_not_sooner", "test_a_hub_publishes_later")

    async def later(self, draft: Draft, due: float) -> Message[Any]:
        return await super().later(draft, due - 0.1)


class PublishesTwice(PassingEngine):
    """Later: once, whichever engines are open."""

    caught_by = ("test_of_several_engines_one_publishes",)

    async def later(self, draft: Draft, due: float) -> Message[Any]:
        await super().later(draft, due)
        return await super().later(draft, due)


class ForgetsWhatIsLater(PassingEngine):
    """Durable: what is delayed is kept through a restart."""

    caught_by = ("test_another_engine_publishes_when_its_own_is_gone", "test_later_is_kept_through_a_restart")

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.tasks: list[asyncio.Task[None]] = []

    async def later(self, draft: Draft, due: float) -> Message[Any]:
        async def publish() -> None:
            await asyncio.sleep(due - time())
            await self.inner.store.append([draft])

        self.tasks.append(asyncio.ensure_future(publish()))
        return draft.numbered(0, 0)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await super().close()


class CommitsWhatFailed(PassingEngine):
    """Transaction: left with an error it rolls back."""

    caught_by = (
        "test_an_error_takes_all_back",
        "test_groups_are_given_what_was_committed",
        "test_a_hub_publishes_nothing_of_what_failed",
        "test_a_handler_s_group_gets_what_was_committed",
    )

    class a_transaction(Passing):  # noqa: N801
        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            await self.inner.__aexit__(None, None, None)


class ShowsWhatIsNotCommitted(PassingEngine):
    """Transaction: nothing of it is seen before it commits."""

    caught_by = ("test_nothing_is_seen_before_it_commits", "test_another_engine_sees_a_transaction_whole")

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
    """Close: no task stays."""

    caught_by = ("test_an_engine_leaves_nothing", "test_opening_that_fails_leaves_nothing")

    async def open(self, events: EngineEvents) -> None:
        self.task = asyncio.ensure_future(asyncio.sleep(60))
        await super().open(events)


OPENING = (
    "test_an_engine_whose_opening_is_cancelled_leaves_nothing",
    "test_an_engine_whose_opening_fails_leaves_nothing",
)


LEFT: list[Callable[[], object]] = []
"""What ends the things that broken engines left, after the test that was to see them."""


class LeavesATaskToClose(PassingEngine):
    """Open that is cancelled or fails: no task stays, before close too."""

    caught_by = OPENING

    async def open(self, events: EngineEvents) -> None:
        self.begin()
        await super().open(events)

    async def close(self) -> None:
        while LEFT:
            LEFT.pop()()
        await super().close()

    def begin(self) -> None:
        LEFT.append(asyncio.ensure_future(asyncio.sleep(60)).cancel)


class LeavesAThreadToClose(LeavesATaskToClose):
    """Open that is cancelled or fails: no thread stays, before close too."""

    def begin(self) -> None:
        over = threading.Event()
        threading.Thread(target=over.wait, args=(60,)).start()
        LEFT.append(over.set)


class LeavesADescriptorToClose(LeavesATaskToClose):
    """Open that is cancelled or fails: no descriptor stays, before close too."""

    def begin(self) -> None:
        LEFT.append(socket.socket().close)


class LeavesALockToClose(PassingEngine):
    """Open that is cancelled or fails: no lock stays that keeps another engine out, before close too."""

    caught_by = ("test_an_engine_whose_opening_is_cancelled_leaves_nothing",)
    held: ClassVar[dict[object, PassingEngine]] = {}

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.data = inner.server if hasattr(inner, "server") else inner._client.address.path

    async def open(self, events: EngineEvents) -> None:
        await until(lambda: self.data not in self.held, 3600)
        self.held[self.data] = self
        await super().open(events)
        del self.held[self.data]

    async def close(self) -> None:
        if self.held.get(self.data) is self:
            del self.held[self.data]
        await super().close()


class IsClosedOnlyOnceOpen(PassingEngine):
    """Open that is cancelled or fails: close after it is fine."""

    caught_by = OPENING
    ready = False

    async def open(self, events: EngineEvents) -> None:
        await super().open(events)
        self.ready = True

    async def close(self) -> None:
        await super().close()
        if not self.ready:
            raise ValueError(self)


class LosesWhatIsCancelled(PassingEngine):
    """Append that is cancelled: all messages are stored and delivered, or none."""

    caught_by = ("test_append_that_is_cancelled_leaves_no_hole",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            if len(drafts) < 2:
                return list(await self.inner.append(drafts))
            first = await self.inner.append(drafts[:1])
            await asyncio.sleep(0)
            return [*first, *await self.inner.append(drafts[1:])]


class HangsWhenItIsClosed(PassingEngine):
    """Close lets go of everything, at once: who waits for an append gets its end."""

    caught_by = ("test_closing_lets_go_of_what_is_under_way",)

    class a_store(Passing):  # noqa: N801
        async def append(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
            await asyncio.sleep(60)
            raise EngineFailed("append", "it hangs")


def all_broken(base: type[PassingEngine] = PassingEngine) -> list[type[PassingEngine]]:
    """Every broken engine."""
    return [each for cls in base.__subclasses__() for each in (cls, *all_broken(cls))]
