"""Members of groups, in memory and on a clock that is moved: retries, leases, dead letters, closing, what they cost."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import telex
from telex.engines.contract.groups import Fetched, Settlement
from telex.engines.memory.engine import MemoryEngine
from telex.engines.memory.groups import MemoryGroups
from telex.groups.executor import SPARE_ATTEMPTS
from telex.hub import runtime_of
from tests.support.loops import idle, until
from tests.support.shell import Clock, left

QUICK = telex.Retry(attempts=2, first=0.0, jitter=0.0)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "telex.handlers")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Clock]:
    """Makes the clock of the loop and that of leases one."""

    def make() -> Clock:
        made, real = Clock(), time.time
        monkeypatch.setattr("telex.hub.time", lambda: real() + made.ahead)  # what a hub takes that is given none
        return made

    return make


class Watched(MemoryGroups):
    """Groups that write down what is asked of them, and fail when they are told to."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.claims: list[int] = []
        self.batches: list[list[Settlement]] = []
        self.fail = 0
        self.away = 0.0

    async def fetch(self, *arguments: Any) -> Fetched:
        self._may_fail("fetch")
        await self._travel()
        fetched = await super().fetch(*arguments)
        self.claims.append(len(fetched.deliveries))
        return fetched

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        self._may_fail("settle")
        await self._travel()
        self.batches.append(list(settlements))
        return await super().settle(group, pattern, settlements)

    async def _travel(self) -> None:
        if self.away:
            await asyncio.sleep(self.away)

    def _may_fail(self, what: str) -> None:
        if self.fail:
            self.fail -= 1
            raise telex.EngineFailed(what, "as it was told")

    def actions(self) -> list[list[str]]:
        return [[settlement.action for settlement in batch] for batch in self.batches]


def watched(**options: Any) -> tuple[telex.Hub, Watched]:
    engine = MemoryEngine()
    engine.groups = groups = Watched(engine.now)
    return telex.Hub(engine, **options), groups


async def info(hub: telex.Hub, group: str = "g") -> telex.GroupInfo:
    return next(found for found in await hub.groups.list() if found.group == group)


def accounts(hub: telex.Hub) -> telex.HandlerStatistics:
    return hub.statistics().handlers[0]


@pytest.mark.slow
async def test_the_prefetch_grows_though_the_engine_is_far_away() -> None:
    hub, groups = watched()
    groups.away = 0.02
    handled = 0

    @hub.on("x", group="g")
    async def handle(content: int) -> None:
        nonlocal handled
        handled += 1

    async with hub:
        for number in range(150):
            await hub.topic("x").publish(number)
        await until(lambda: handled == 150)
    assert len(groups.claims) < 30, "each message waited for a claim of its own"


# -- trying again


async def test_each_wait_is_longer_with_jitter(clock: Callable[[], Clock]) -> None:
    moved, hub, attempts = clock(), telex.Hub("memory://"), []
    runtime_of(hub).chance = lambda: 0.0

    @hub.on("x", group="g", retry=telex.Retry(attempts=4, first="2s", factor=3, most="10s", jitter=0.5))
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        raise ValueError("always")

    async with hub:
        await hub.topic("x").publish(1)
        # Half of 2, 6 and 10 seconds, as the chance is the least there is.
        for wait, expected in ((0, 1), (0.9, 1), (0.2, 2), (2.7, 2), (0.4, 3), (4.7, 3), (0.4, 4), (30, 4)):
            await moved.forward(wait)
            assert len(attempts) == expected
        (found,) = hub.statistics().handlers
        assert (found.failed, found.retried, found.dead, found.lag, found.group) == (4, 3, 1, 0, "g")
        assert attempts == [1, 2, 3, 4]


async def test_what_is_due_meanwhile_wakes_who_waits(clock: Callable[[], Clock]) -> None:
    moved, hub, attempts = clock(), telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def handle(message: telex.Message[str], context: telex.Context[str]) -> None:
        attempts.append((message.content, context.attempt))
        if context.attempt == 1:
            raise telex.Nack(delay={"late": "20s", "soon": "5s"}[message.content])

    async with hub:
        await hub.topic("x").publish("late")
        await idle()
        await hub.topic("x").publish("soon")
        await moved.forward(5.1)
        assert attempts == [("late", 1), ("soon", 1), ("soon", 2)]
        await moved.forward(15)
        assert attempts[3:] == [("late", 2)]


async def test_something_cancelled_within_a_handler_is_its_own_affair() -> None:
    hub, attempts = telex.Hub("memory://"), []

    @hub.on("x", group="g", retry=QUICK)
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise asyncio.CancelledError

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        assert attempts == [1, 2]
        assert (accounts(hub).handled, accounts(hub).failed) == (1, 1)


async def test_a_handler_that_cancels_its_own_task_gets_its_message_again() -> None:
    hub, attempts = telex.Hub("memory://"), []

    @hub.on("x", group="g", retry=QUICK)
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        task = asyncio.current_task()
        assert task is not None
        if context.attempt == 1:
            task.cancel()
        await asyncio.sleep(0)

    async with hub:
        for content in range(2):
            await hub.topic("x").publish(content)
        await idle()
        await idle()
        assert sorted(attempts) == [1, 1, 2, 2]
        assert (await info(hub)).lag == 0


async def test_a_delay_that_is_none_is_that_of_the_retry() -> None:
    hub, attempts = telex.Hub("memory://"), []

    @hub.on("x", group="g", retry=QUICK)
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise telex.Nack(delay="soon")

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        assert attempts == [1, 2]
        assert accounts(hub).failed == 1


async def test_what_was_never_seen_to_fail_is_given_up_in_the_end() -> None:
    hub, groups = watched()
    calls = 0

    @hub.on("x", group="g", retry=QUICK)
    def handle(content: int) -> None:
        nonlocal calls
        calls += 1

    async with hub:
        await idle()
        await hub.groups.pause("g")
        await hub.topic("x").publish(1)
        ledger = groups.ledgers["g", "x"]
        ledger.paused = False
        for moment in range(QUICK.attempts + SPARE_ATTEMPTS):  # members that are killed
            assert ledger.claim(1, 1, "m", moment).deliveries
        ledger.paused = True
        await hub.groups.resume("g")
        await idle()
        (letter,) = await hub.groups.dead()
        assert calls == 0
        assert "claimed 13 times and never settled" in letter.reason


# -- leases


async def test_a_long_call_keeps_its_lease_and_its_neighbours_too(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    calls: list[tuple[str, int]] = []
    go_on = asyncio.Event()

    @hub.on("x", group="g", lease="4s")
    async def one(content: int) -> None:
        calls.append(("one", content))
        await go_on.wait()

    @hub.on("x", group="g", lease="4s")
    async def other(content: int) -> None:
        calls.append(("other", content))
        await go_on.wait()

    async with hub:
        for content in range(2):
            await hub.topic("x").publish(content)
        for _ in range(20):
            await moved.forward(1)
        assert sorted(content for _, content in calls) == [0, 1]
        extended = [batch for batch in groups.actions() if "extend" in batch]
        assert 18 <= len(extended) <= 20, "each member at half of the lease"
        go_on.set()
        await idle()
        assert len(calls) == 2
        assert [found.lapsed for found in hub.statistics().handlers] == [0, 0]


async def test_who_lost_its_lease_is_cancelled_and_counted(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    ended: list[str] = []

    @hub.on("x", group="g", lease="4s", concurrency=2)
    async def handle(content: str) -> None:
        try:
            await asyncio.Event().wait() if content == "long" else None
        finally:
            ended.append(content)

    async with hub:
        await hub.topic("x").publish("long")
        await idle()
        now = groups.clock
        groups.clock = lambda: now() + 5
        stolen = await MemoryGroups.fetch(groups, "g", "x", 1, 1000, "thief", 0.0)
        groups.clock = now
        assert [delivery.attempt for delivery in stolen.deliveries] == [2]
        await moved.forward(2.1)
        assert ended == ["long"]
        (found,) = hub.statistics().handlers
        assert (found.lapsed, found.handled, found.failed) == (1, 0, 0)
        await hub.topic("x").publish("next")
        await idle()
        assert ended == ["long", "next"], "it goes on"
        delivery = stolen.deliveries[0]
        settlement = Settlement(delivery.position, delivery.token, "ack")
        assert await MemoryGroups.settle(groups, "g", "x", [settlement]) == [True]


async def test_what_a_handler_extended_itself_is_not_cut_short(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    go_on = asyncio.Event()

    @hub.on("x", group="g", lease="4s")
    async def handle(context: telex.Context[int]) -> None:
        assert await context.extend("50s")
        await go_on.wait()

    async with hub:
        await hub.topic("x").publish(1)
        await moved.forward(0)
        for _ in range(10):
            await moved.forward(1)
        (ledger,) = groups.ledgers.values()
        (entry,) = ledger.entries.values()
        assert entry.due is not None
        assert entry.due > time.time() + 49
        go_on.set()
        await idle()


async def test_leases_are_kept_while_the_hub_closes(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched(close_timeout=30)
    go_on = asyncio.Event()

    @hub.on("x", group="g", lease="2s")
    async def handle(content: int) -> None:
        await go_on.wait()

    await hub.__aenter__()
    await hub.topic("x").publish(1)
    await idle()
    closing = asyncio.create_task(hub.aclose())
    for _ in range(20):
        await moved.forward(0.5)
    go_on.set()
    await closing
    assert sum("extend" in batch for batch in groups.actions()) >= 8
    assert groups.actions()[-1] == ["ack"]
    assert [found.lag for found in await groups.groups()] == [0]


# -- how much is claimed, and how often


async def test_who_is_slow_claims_nothing_ahead() -> None:
    hub, handled = telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def hangs(content: int) -> None:
        await asyncio.Event().wait()

    @hub.on("x", group="g")
    async def other(content: int) -> None:
        handled.append(content)

    hub.close_timeout = 0
    async with hub:
        await idle()
        for content in range(20):
            await hub.topic("x").publish(content)
        while len(handled) < 19:
            await idle()
        assert (await info(hub)).leased == 1


async def test_who_is_quick_claims_and_settles_many_at_once() -> None:
    hub, groups = watched()
    handled = 0

    @hub.on("x", group="g")
    async def handle(content: int) -> None:
        nonlocal handled
        handled += 1

    async with hub:
        await idle()  # it has joined: from here on nothing is trimmed that it has not handled
        for content in range(3000):
            hub.topic("x").publish_nowait(content)
        while handled < 3000:
            await idle()
        await idle()
        assert max(groups.claims) <= 513
        assert len(groups.claims) < 200
        assert len(groups.batches) < 200


async def test_what_ends_together_is_settled_together() -> None:
    hub, groups = watched()
    go_on = asyncio.Event()

    @hub.on("x", group="g", concurrency=8)
    async def handle(content: int) -> None:
        await go_on.wait()

    async with hub:
        for content in range(8):
            await hub.topic("x").publish(content)
        await idle()
        await idle()
        assert (await info(hub)).leased == 8
        go_on.set()
        await idle()
        assert groups.actions() == [["ack"] * 8]


async def test_a_member_that_has_nothing_to_do_does_nothing(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()

    @hub.on("x", group="g", concurrency=8, lease="2s")
    async def handle(content: int) -> None: ...

    async with hub:
        await hub.topic("x").publish(1)
        for _ in range(4):
            await moved.forward(1)
        claims = len(groups.claims)
        found = left(hub)
        assert found["tasks"] == ["telex group g " + handle.__qualname__]
        assert found["timers"] == 1 + 1, "that of the test itself, and that of looking again in an hour"
        for _ in range(20):
            await moved.forward(1)
        assert len(groups.claims) == claims


async def test_a_handler_with_a_longer_lease_changes_the_fetch_that_waits() -> None:
    hub, groups = watched()
    leases: list[float] = []
    fetch = groups.fetch

    async def noted(*arguments: Any) -> Fetched:
        leases.append(arguments[3])
        return await fetch(*arguments)

    groups.fetch = noted  # type: ignore[method-assign]  # of this hub's engine
    hub.on("x", Placed, group="g", lease="5s")(print)
    async with hub:
        await idle()
        hub.on("x", Paid, group="g", lease="60s")(print)
        await idle()
        assert leases == [5.0, 60.0]
        hub.on("x", Express, group="g", lease="7s")(print)
        await idle()
        assert leases == [5.0, 60.0]


async def test_a_consumer_that_is_closed_while_it_joins_waits_for_nothing() -> None:
    hub, groups = watched()
    joins, go_on = asyncio.Event(), asyncio.Event()
    join = groups.join

    async def slow(*arguments: Any) -> None:
        joins.set()
        await go_on.wait()
        await join(*arguments)

    groups.join = slow  # type: ignore[assignment]  # of this hub's engine
    hub.on("x", group="g")(print)
    await hub.__aenter__()
    await joins.wait()
    closing = asyncio.create_task(hub.aclose())
    await idle()
    go_on.set()
    await closing
    assert groups.claims == []


# -- dead letters


async def test_the_topic_of_a_group_s_own_dead_letters_is_not_for_it() -> None:
    hub, calls = telex.Hub("memory://"), []

    @hub.on("orders:*", group="g", retry=QUICK, dead_letter="orders:dead")
    def handle(message: telex.Message[int]) -> None:
        calls.append(message.topic)
        raise ValueError("always")

    async with hub, hub.topic("orders:dead").subscribe() as dead:
        await hub.topic("orders:1").publish(1)
        await idle()
        assert calls == ["orders:1"] * 2
        assert (dead.waiting, (await info(hub)).lag, (await info(hub)).dead) == (1, 0, 1)


async def test_two_groups_that_fail_do_not_go_on_for_ever() -> None:
    hub, calls = telex.Hub("memory://"), []

    def fails(message: telex.Message[int]) -> None:
        calls.append(message.topic)
        raise ValueError("always")

    for group in ("a", "b"):
        hub.on(">", group=group, retry=QUICK)(fails)
    async with hub:
        await hub.topic("x").publish(1)
        for _ in range(20):
            await idle()
        assert sorted(calls) == ["dead:a"] * 2 + ["dead:b"] * 2 + ["x"] * 4
        assert [found.dead for found in await hub.groups.list()] == [2, 2]
        assert await hub.topics("dead:*") == ["dead:a", "dead:b"]


async def test_the_copy_is_published_before_and_once(clock: Callable[[], Clock]) -> None:
    moved = clock()
    hub, groups = watched()

    @hub.on("x", group="g", lease=5, retry=telex.Retry(attempts=1))
    def handle(content: int) -> None:
        raise ValueError("always")

    async with hub, hub.topic("dead:g").subscribe() as dead:
        groups.fail = 0
        await hub.topic("x").publish(1, key="k")
        copy = await dead.receive()
        assert groups.batches == [], "it is not dead before"
        groups.fail = 1
        await idle()
        assert await hub.groups.dead() == [], "the engine failed, and it comes again when its lease has ended"
        await moved.forward(4.9)
        assert await hub.groups.dead() == []
        await moved.forward(0.2)
        await idle()
        assert len(await hub.groups.dead()) == 1
        assert dead.waiting == 0
        assert copy.id.startswith("g:")
        assert copy.key == "k"


async def test_a_copy_that_finds_no_room_is_tried_again(clock: Callable[[], Clock]) -> None:
    moved, hub = clock(), telex.Hub("memory://")

    @hub.on("x", group="g", retry=telex.Retry(attempts=1, first="2s", jitter=0))
    def handle(content: int) -> None:
        raise ValueError("always")

    async with hub, hub.topic("dead:g").subscribe(buffer=1, overflow="fail") as dead:
        await hub.topic("dead:g").publish(0)
        await hub.topic("x").publish(1)
        await idle()
        assert ((await info(hub)).dead, (await info(hub)).lag) == (0, 1)
        assert (await dead.receive()).content == 0
        await moved.forward(2.1)
        assert (await dead.receive()).content == 1
        assert ((await info(hub)).dead, (await info(hub)).lag) == (1, 0)


async def test_a_copy_that_does_not_fit_its_topic_holds_nothing_up() -> None:
    hub = telex.Hub("memory://")

    @hub.on("x", group="g", retry=QUICK)
    def handle(content: str) -> None:
        raise ValueError("always")

    async with hub:
        hub.topic("dead:g", int)
        await hub.topic("x").publish("text")
        await idle()
        assert (await info(hub)).dead == 1


async def test_ids_and_headers_that_are_long_or_odd_are_copied() -> None:
    hub = telex.Hub("memory://")

    @hub.on("x", group="g")
    def handle(content: str) -> None:
        raise telex.Reject("two\nlines\u2028and more" + "!" * 1000)

    async with hub, hub.topic("dead:g").subscribe() as dead:
        for last in "ab":
            await hub.topic("x").publish("text", id="i" * 254 + last, headers={"Telex-Group": "mine", "other": "o"})
        copies = [await dead.receive(), await dead.receive()]
        assert copies[0].id != copies[1].id
        assert (copies[0].headers["telex-group"], copies[0].headers["other"]) == ("g", "o")
        assert copies[0].headers["telex-reason"].startswith("two lines and more!")


async def test_a_letter_that_is_rejected_by_hand_is_copied_too() -> None:
    hub, won = telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def handle(context: telex.Context[int]) -> None:
        won.append([await context.reject("by hand"), await context.ack(), await context.nack()])

    async with hub, hub.topic("dead:g").subscribe() as dead:
        await hub.topic("x").publish(1)
        assert (await dead.receive()).headers["telex-reason"] == "by hand"
        await idle()
        assert won == [[True, False, False]]
        assert accounts(hub).dead == 1
        (letter,) = await hub.groups.dead("g")
        assert letter.reason == "by hand"


# -- types


class Placed:
    pass


class Express(Placed):
    pass


class Paid:
    pass


async def test_typed_handlers_of_a_group_share_its_messages() -> None:
    hub = telex.Hub("memory://")
    calls: list[str] = []

    @hub.on("x", Placed, group="g")
    async def placed(content: Placed) -> None:
        calls.append(f"placed {type(content).__name__}")

    @hub.on("x", Paid, group="g", retry=QUICK, concurrency=2)
    async def paid(content: Paid) -> None:
        calls.append("paid")
        raise ValueError("always")

    async with hub, hub.topic("dead:g").subscribe() as dead:
        for content in (Placed(), Express(), Paid(), 5):
            await hub.topic("x").publish(content)
        for _ in range(4):
            await idle()
        assert sorted(calls) == ["paid", "paid", "placed Express", "placed Placed"]
        reasons = {letter.reason for letter in await hub.groups.dead()}
        assert reasons == {"no handler takes int", "ValueError: always"}
        assert (hub.statistics().unhandled, dead.waiting, (await info(hub)).lag) == (1, 2, 0)
        names = [task for task in left(hub)["tasks"] if "telex group" in task]  # type: ignore[attr-defined]
        assert len(names) == 1, "one that claims"

        @hub.on("x", int, group="g")
        async def number(content: int) -> None:
            calls.append("number")

        await hub.topic("x").publish(6)
        await idle()
        assert calls[-1] == "number"


def test_what_cannot_share_is_refused() -> None:
    hub = telex.Hub("memory://")
    hub.on("x", Placed, group="g")(print)
    hub.on("x", Placed, group="other")(print)
    hub.on("y", Placed, group="g")(print)
    router = telex.Router()
    router.on("x", Paid, Placed, group="g")(print)
    with pytest.raises(telex.BadOption, match="takes Placed in group 'g' already"):
        hub.on("x", Placed, group="g")(print)
    with pytest.raises(telex.BadOption, match="takes Placed in group 'g' already"):
        hub.include_router(router)
    with pytest.raises(telex.BadOption, match="which pattern"):
        hub.on(Placed, group="g")(print)


def test_an_engine_without_groups_is_told_where_the_handler_is_declared() -> None:
    engine = MemoryEngine()
    engine.groups = None
    with pytest.raises(telex.Misuse, match="has no groups"):
        telex.Hub(engine).on("x", group="g")(print)


# -- life


async def test_what_is_not_begun_is_given_back_and_what_runs_ends() -> None:
    hub, groups = watched()
    go_on, ended = asyncio.Event(), []

    @hub.on("x", group="g")
    async def handle(content: int) -> None:
        await go_on.wait() if content >= 200 else None
        ended.append(content)

    await hub.__aenter__()
    for content in range(400):
        hub.topic("x").publish_nowait(content)
    while len(ended) < 200:
        await idle()
    held = (await info(hub)).leased
    assert held > 1, "something was claimed ahead"
    closing = asyncio.create_task(hub.aclose())
    await idle()
    assert groups.actions()[-1] == ["nack"] * (held - 1)
    go_on.set()
    await closing
    assert ended[200:] == [200]
    (found,) = await groups.groups()
    assert (found.lag, found.leased) == (199, 0)


@pytest.mark.parametrize("turns", range(12))
async def test_closing_that_is_cancelled_anywhere_leaves_nothing(turns: int) -> None:
    hub, groups = watched(close_timeout=0.1)

    @hub.on("x", group="g", concurrency=3, lease="1s")
    async def handle(content: int) -> None:
        await asyncio.Event().wait() if content % 2 else None

    before = left(hub)
    await hub.__aenter__()
    for content in range(20):
        await hub.topic("x").publish(content)
    for _ in range(turns // 2):
        await asyncio.sleep(0)
    closing = asyncio.create_task(hub.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    await hub.aclose()
    await idle()
    found = left(hub)
    assert {name: found[name] for name in before} == before
    assert all(state.leased == 0 for state in await groups.groups())


async def test_an_engine_that_fails_is_asked_again(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    handled: list[int] = []

    @hub.on("x", group="g", lease="2s")
    async def handle(content: int) -> None:
        handled.append(content)

    groups.fail = 2
    async with hub:
        await hub.topic("x").publish(1)
        for _ in range(3):
            await moved.forward(0.6)
            assert handled == []
        await moved.forward(0.6)
        assert handled == [1]
        groups.fail = 1
        await hub.topic("x").publish(2)
        await idle()
        for _ in range(5):
            await moved.forward(0.5)
        assert handled[:2] == [1, 2]


async def test_a_handler_learns_that_the_engine_failed() -> None:
    hub, groups = watched()
    errors: list[Exception] = []

    @hub.on("x", group="g")
    async def handle(context: telex.Context[int]) -> None:
        groups.fail = 1
        try:
            await context.ack()
        except telex.EngineFailed as error:
            errors.append(error)

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        assert len(errors) == 1


async def test_a_topic_that_is_made_anew_is_taken_from_again() -> None:
    hub, handled = telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def handle(content: int) -> None:
        handled.append(content)

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        await hub.remove("x")
        await idle()
        await hub.topic("x").publish(2)
        await idle()
        assert handled == [1, 2]


async def test_a_group_is_paused_on_all_its_patterns() -> None:
    hub, handled = telex.Hub("memory://"), []

    @hub.on("x", "y", group="g")
    async def handle(content: int) -> None:
        handled.append(content)

    async with hub:
        await idle()
        assert await hub.groups.pause("g")
        assert not await hub.groups.pause("nobody")
        for topic in "xy":
            await hub.topic(topic).publish(1)
        await idle()
        assert handled == []
        assert await hub.groups.resume("g")
        await idle()
        assert handled == [1, 1]
