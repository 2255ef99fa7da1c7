"""Handlers of a group with a limit: their calls, their deliveries that wait, and what happens to these."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

import telex
from telex.engines import Settlement
from telex.testing.clock import VirtualClock
from tests.support.internals import consumers_of, groups_of
from tests.support.loops import idle, until
from tests.support.pretend import PretendEngine, Server
from tests.unit.groups.parts import QUICK, accounts, info


class HubClock:
    """A clock of its own for each run."""

    def run(self, main: Callable[[telex.Hub], Coroutine[Any, Any, None]]) -> None:
        """Run a test with a hub in virtual time."""
        virtual = VirtualClock()
        virtual.run(main(telex.Hub("memory://", clock=virtual)))


clock = HubClock()


async def joined(hub: telex.Hub) -> None:
    """Wait until the group exists, so that all messages are kept for it."""
    await until(hub.groups.list)


def since(times: list[float]) -> list[float]:
    return [round(time - times[0], 1) for time in times]


def test_calls_of_each_key_begin_as_often_as_the_rate_says() -> None:
    async def main(hub: telex.Hub) -> None:
        begins: dict[str, list[float]] = {"a": [], "b": []}

        @hub.on("orders:*", group="billing", limit="2/s", by=lambda order: order["customer"])
        async def bill(order: dict[str, str]) -> None:
            begins[order["customer"]].append(asyncio.get_running_loop().time())

        async with hub:
            for customer in "aaabbb":
                hub.topic("orders:1").publish_nowait({"customer": customer})
            await asyncio.sleep(0.1)
            assert (accounts(hub).handled, accounts(hub).limited, accounts(hub).waiting) == (2, 4, 0)
            await asyncio.sleep(5)
            assert (accounts(hub).handled, accounts(hub).limited, (await info(hub, "billing")).lag) == (6, 0, 0)
        assert [since(times) for times in begins.values()] == [[0.0, 0.5, 1.0]] * 2

    clock.run(main)


def test_a_limit_without_by_leaves_the_messages_in_the_engine() -> None:
    async def main(hub: telex.Hub) -> None:
        @hub.on("x", group="g", limit="1/s", concurrency=4)
        async def handle(content: int) -> None: ...

        async with hub:
            await joined(hub)
            for number in range(1000):
                hub.topic("x").publish_nowait(number)
            await asyncio.sleep(10.5)
            assert accounts(hub).handled == 11
            assert (await info(hub)).leased <= 8

    clock.run(main)


@pytest.mark.slow
def test_a_key_with_ten_thousand_waiting_messages_does_not_delay_another_key() -> None:
    async def main(hub: telex.Hub) -> None:
        calls: list[str] = []

        @hub.on("x", group="g", limit=telex.Limit(concurrency=1), by=lambda content: content, concurrency=2)
        async def handle(content: str) -> None:
            calls.append(content)
            await asyncio.sleep(1)

        async with hub:
            await joined(hub)
            for _ in range(10_000):
                hub.topic("x").publish_nowait("long")
            await asyncio.sleep(10)
            places = []
            for _ in range(20):
                before = len(calls)
                await hub.topic("x").publish("short")
                await asyncio.sleep(3)
                places.append(calls[before:].index("short"))
            assert max(places) <= 2, "in numbers of calls"
            (found,) = [each for each in await hub.groups.list() if each.group == "g"]
            assert found.lag >= 9_900
            assert accounts(hub).failed == accounts(hub).retried == 0

    clock.run(main)


@pytest.mark.slow
def test_waiting_for_a_limit_is_no_attempt_and_loses_nothing() -> None:
    async def main(hub: telex.Hub) -> None:
        done: list[tuple[int, int]] = []

        @hub.on("x", group="g", limit="50/s", by=lambda content: "k", retry=QUICK)
        async def handle(content: int, context: telex.Context[int]) -> None:
            done.append((content, context.attempt))

        async with hub:
            await joined(hub)
            for number in range(3000):
                hub.topic("x").publish_nowait(number)
            await asyncio.sleep(3)
            assert (await info(hub)).delayed > 500, "most messages wait in the engine"
            await asyncio.sleep(600)
            assert (await info(hub)).lag == 0
        assert sorted(done) == [(number, 1) for number in range(3000)]

    clock.run(main)


def test_an_error_of_by_is_a_failed_attempt(caplog: pytest.LogCaptureFixture) -> None:
    async def main(hub: telex.Hub) -> None:
        async def handle(content: Any) -> None:
            raise AssertionError

        hub.on("x", group="g", limit="1/s", by=lambda content: content["customer"], retry=QUICK)(handle)
        async with hub:
            hub.topic("x").publish_nowait({})
            hub.topic("x").publish_nowait({"customer": 1.5})
            await asyncio.sleep(1)
            reasons = sorted(letter.reason for letter in await hub.groups.dead())
            assert (accounts(hub).failed, accounts(hub).retried, accounts(hub).dead) == (4, 2, 2)
            assert reasons[0].startswith("BadOption: bad by 1.5: it must return text")
            assert reasons[1] == "KeyError: 'customer'"

    clock.run(main)


async def test_a_hub_that_closes_releases_the_deliveries_that_wait_for_a_limit() -> None:
    server = Server()
    hub, began = telex.Hub(PretendEngine(server)), asyncio.Event()

    @hub.on("x", group="g", limit="1/h", by="key")
    async def handle(content: int) -> None:
        began.set()

    async with hub:
        for number in range(5):
            await hub.topic("x").publish(number)
        await began.wait()
        await idle()
        assert (accounts(hub).limited, (await info(hub)).leased) == (4, 4)
    async with telex.Hub(PretendEngine(server)) as other:
        fetched = await groups_of(other).fetch("g", "x", 9, 30.0, "test", 0.0)
        assert [each.attempt for each in fetched.deliveries] == [1] * 4


async def test_a_waiting_delivery_whose_lease_was_lost_is_not_handled(caplog: pytest.LogCaptureFixture) -> None:
    hub, handled = telex.Hub(PretendEngine(Server())), []

    @hub.on("x", group="g", limit=telex.Limit(concurrency=1), concurrency=2)
    async def handle(content: int) -> None:
        handled.append(content)
        await go_on.wait()

    go_on = asyncio.Event()
    async with hub:
        for number in range(2):
            await hub.topic("x").publish(number)
        await until(lambda: accounts(hub).limited == 1 and len(handled) == 1)
        (consumer,) = consumers_of(hub)
        waiting = next(each for each in consumer.leased.by_token.values() if each.message.content == 1)
        await groups_of(hub).settle("g", "x", [Settlement(waiting.position, waiting.token, "ack")])
        await consumer.leased.renew()
        assert accounts(hub).limited == 0
        go_on.set()
        await until(lambda: consumer.leased.idle)
    assert handled == [0]
    assert [record.message for record in caplog.records if "lost its lease" in record.message]


async def test_a_call_whose_task_is_cancelled_before_it_begins_waits_again() -> None:
    hub, handled = telex.Hub(), []

    @hub.on("x", group="g", limit="1000/s")
    async def handle(content: int) -> None:
        handled.append(content)

    async with hub:
        (consumer,) = consumers_of(hub)
        (executor,) = consumer.executors
        start = executor.start  # type: ignore[attr-defined]

        def start_and_cancel(item: Any, key: str) -> None:
            executor.start = start  # type: ignore[attr-defined]
            known = asyncio.all_tasks()
            start(item, key)
            (task,) = asyncio.all_tasks() - known
            task.cancel()

        executor.start = start_and_cancel  # type: ignore[attr-defined]
        await hub.topic("x").publish(1)
        await until(lambda: bool(handled))
    assert handled == [1]


def test_handlers_whose_limits_have_one_name_share_it() -> None:
    async def main(hub: telex.Hub) -> None:
        begins: list[float] = []
        stripe = telex.Limit(rate="1/s", name="stripe")

        async def call(content: int) -> None:
            begins.append(asyncio.get_running_loop().time())

        for topic in ("charges", "refunds"):
            hub.on(topic, group="g", limit=stripe)(call)
        async with hub:
            for number in range(3):
                hub.topic("charges").publish_nowait(number)
                hub.topic("refunds").publish_nowait(number)
            await asyncio.sleep(10)
        assert since(begins) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    clock.run(main)


def test_the_order_by_key_of_messages_stays() -> None:
    async def main(hub: telex.Hub) -> None:
        done: list[int] = []

        @hub.on("x", group="g", limit=telex.Limit(concurrency=3), by="key", concurrency=8)
        async def handle(content: int) -> None:
            await asyncio.sleep(0.1 * (content % 3))
            done.append(content)

        async with hub:
            for number in range(50):
                hub.topic("x").publish_nowait(number, key="k")
            await asyncio.sleep(60)
        assert done == list(range(50))

    clock.run(main)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"limit": "10/s"}, r"only a handler with group= .* telex\.middleware\.rate_limit"),
        ({"by": "key"}, "add limit="),
        ({"group": "g", "by": "key"}, "add limit="),
        ({"group": "g", "limit": "ten/s"}, "such as '10/s'"),
        ({"group": "g", "limit": 2}, r"telex\.Limit"),
        ({"group": "g", "limit": "1/s", "by": 3}, "function of the content"),
        ({"group": "g", "limit": "1/s", "batch": 10}, "leave out limit= or batch="),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused_where_it_is_declared(options: dict[str, Any], text: str) -> None:
    async def handle(content: list[int]) -> None: ...

    with pytest.raises(telex.BadOption, match=text):
        telex.Hub().on("x", **options)(handle)


def test_two_limits_of_one_name_must_be_equal() -> None:
    async def handle(content: int) -> None: ...

    hub = telex.Hub()
    hub.on("x", group="g", limit=telex.Limit(rate="1/s", name="stripe"))(handle)
    with pytest.raises(telex.BadOption, match="limits of one name must be equal"):
        hub.on("y", group="g", limit=telex.Limit(rate="2/s", name="stripe"))(handle)


def test_a_typed_handler_that_waits_for_its_limit_does_not_delay_the_other_types() -> None:
    async def main(hub: telex.Hub) -> None:
        class Mail(msgspec.Struct):
            to: str

        class Bill(msgspec.Struct):
            cents: int

        bills: list[int] = []

        @hub.on("x", Mail, group="g", limit="1/h")
        async def send(mail: Mail) -> None: ...

        @hub.on("x", Bill, group="g")
        async def pay(bill: Bill) -> None:
            bills.append(bill.cents)

        async with hub:
            await joined(hub)
            for _ in range(10):
                hub.topic("x").publish_nowait(Mail("ann"))
                await asyncio.sleep(1)
            hub.topic("x").publish_nowait(Bill(5))
            await asyncio.sleep(10)
            assert bills == [5]

    clock.run(main)
