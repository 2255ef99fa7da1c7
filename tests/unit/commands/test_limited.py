"""Commands with a limit: on memory in virtual time, and on an engine that stores messages."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import telex
from telex.testing.clock import VirtualClock
from tests.support.internals import limits_of
from tests.support.loops import idle, until
from tests.support.pretend import PretendEngine, Server

NOW = asyncio.get_running_loop


class HubClock:
    """A clock of its own for each run."""

    def run(self, main: Callable[[telex.Hub], Coroutine[Any, Any, None]]) -> None:
        """Run a test with a hub in virtual time."""
        virtual = VirtualClock()
        virtual.run(main(telex.Hub("memory://", clock=virtual)))


clock = HubClock()


def since(times: list[float]) -> list[float]:
    return [round(time - times[0], 1) for time in times]


@pytest.fixture(params=["memory", "pretend"])
def hub(request: pytest.FixtureRequest) -> telex.Hub:
    return telex.Hub("memory://" if request.param == "memory" else PretendEngine(Server()))


def accounts(hub: telex.Hub) -> telex.CommandStatistics:
    return hub.statistics().commands[0]


def test_commands_begin_as_often_as_the_rate_of_their_key_says() -> None:
    async def main(hub: telex.Hub) -> None:
        begins: dict[str, list[float]] = {"a": [], "b": []}

        @hub.command("charge", limit="2/s", by=lambda customer: customer, concurrency=1)
        async def charge(customer: str) -> str:
            begins[customer].append(NOW().time())
            return customer

        async with hub:
            tickets = [await hub.send("charge", customer) for customer in "aaabbb"]
            await asyncio.sleep(0.1)
            assert (accounts(hub).limited, accounts(hub).running, accounts(hub).waiting) == (4, 0, 0)
            assert [await ticket for ticket in tickets] == list("aaabbb")
        assert [since(times) for times in begins.values()] == [[0.0, 0.5, 1.0]] * 2

    clock.run(main)


def test_no_more_commands_run_than_in_the_process_and_over_all_processes() -> None:
    async def main(hub: telex.Hub) -> None:
        running: list[int] = []
        top: dict[str, int] = {"all": 0}

        @hub.command("charge", limit=telex.Limit(concurrency=2), by=lambda number: number % 2, concurrency=3)
        async def charge(number: int) -> None:
            running.append(number)
            top["all"] = max(top["all"], len(running))
            for key in "01":
                top[key] = max(top.get(key, 0), sum(str(each % 2) == key for each in running))
            await asyncio.sleep(1)
            running.remove(number)

        async with hub:
            for ticket in [await hub.send("charge", number) for number in range(20)]:
                await ticket
        assert top == {"all": 3, "0": 2, "1": 2}

    clock.run(main)


async def test_a_waiting_command_is_cancelled(hub: telex.Hub) -> None:
    ran = []

    @hub.command("charge", limit="1/h", by="key")
    async def charge(number: int) -> None:
        ran.append(number)

    async with hub:
        await hub.call("charge", 1)
        ticket = await hub.send("charge", 2)
        await until(lambda: accounts(hub).limited == 1)
        assert [job.state for job in await hub.commands(name="charge") if job.id == ticket.id] == ["queued"]
        assert await ticket.cancel()
        with pytest.raises(telex.CommandFailed, match="cancel"):
            await ticket
        await until(lambda: accounts(hub).limited == 0)
        assert accounts(hub).executed == 1
    assert ran == [1]


async def test_a_waiting_command_expires_at_its_deadline(hub: telex.Hub) -> None:
    @hub.command("charge", limit="1/h")
    async def charge(number: int) -> None: ...

    async with hub:
        await hub.call("charge", 1)
        with pytest.raises(telex.CommandFailed, match="not begun") as failed:
            await (await hub.send("charge", 2, expires="50ms"))
        assert failed.value.code == "expired"
        assert (accounts(hub).expired, accounts(hub).executed) == (1, 1)


async def test_a_replay_takes_nothing_of_the_limit_and_a_command_that_expires_may_be_sent_again(hub: telex.Hub) -> None:
    @hub.command("charge", once=True, limit=telex.Limit(rate="1/h", burst=2))
    async def charge(number: int) -> int:
        return number

    async with hub:
        for _ in range(5):
            assert await hub.call("charge", 1, key="one") == 1
        assert await hub.call("charge", 2, key="two") == 2
        for _ in range(2):
            with pytest.raises(telex.CommandFailed, match="not begun"):
                await (await hub.send("charge", 3, key="three", expires="50ms"))
        assert accounts(hub).executed == 2


def test_every_attempt_of_a_command_that_runs_once_waits_for_the_limit() -> None:
    async def main(hub: telex.Hub) -> None:
        begins = []

        @hub.command("charge", once=True, limit="1/m", backoff="1s", max_attempts=3)
        async def charge(number: int) -> int:
            begins.append(NOW().time())
            if len(begins) < 3:
                raise ValueError("again")
            return number

        async with hub:
            assert await hub.call("charge", 7, key="k") == 7
        assert since(begins) == [0.0, 60.0, 120.0]

    clock.run(main)


async def test_an_error_of_by_is_the_error_of_the_command(hub: telex.Hub) -> None:
    async def charge(order: dict[str, Any]) -> None:
        raise AssertionError

    hub.command("charge", limit="1/s", by=lambda order: order["customer"])(charge)
    async with hub:
        with pytest.raises(telex.CommandFailed, match="KeyError: 'customer'"):
            await hub.call("charge", {})
        with pytest.raises(telex.CommandFailed, match="must return text, an int or None"):
            await hub.call("charge", {"customer": ["x"]})
        assert accounts(hub).limited == 0


def test_a_stream_holds_its_slot_until_it_ends() -> None:
    async def main(hub: telex.Hub) -> None:
        top = running = 0

        @hub.command("count", limit=telex.Limit(concurrency=1))
        async def count(to: int) -> AsyncIterator[int]:
            nonlocal top, running
            running += 1
            top = max(top, running)
            for number in range(to):
                await asyncio.sleep(0.1)
                yield number
            running -= 1

        async def read() -> list[Any]:
            return [part.content async for part in hub.stream("count", 3)]

        async with hub:
            assert list(await asyncio.gather(read(), read())) == [[0, 1, 2]] * 2
        assert top == 1

    clock.run(main)


def test_the_commands_with_a_higher_priority_get_the_limit_first() -> None:
    async def main(hub: telex.Hub) -> None:
        done: list[str] = []

        @hub.command("charge", limit="1/s")
        async def charge(name: str) -> None:
            done.append(name)

        async with hub:
            await hub.call("charge", "first")
            levels: tuple[Any, ...] = ("low", "normal", "high")
            for ticket in [await hub.send("charge", level, priority=level) for level in levels]:
                await ticket
        assert done == ["first", "high", "normal", "low"]

    clock.run(main)


@asynccontextmanager
async def serving(server: Server, ran: list[Any], **options: Any) -> AsyncIterator[telex.Hub]:
    hub = telex.Hub(PretendEngine(server))

    @hub.command("charge", **options)
    async def charge(number: int, context: telex.CommandContext[int]) -> int:
        ran.append((number, context.attempt))
        return number

    async with hub:
        yield hub


async def test_commands_that_wait_for_a_limit_go_to_another_process_when_theirs_closes() -> None:
    server = Server()
    ran: list[Any] = []
    limit = telex.Limit(rate="1000/s", burst=1)
    async with telex.Hub(PretendEngine(server)) as sender:
        async with serving(server, ran, limit=telex.Limit(concurrency=1, name="n"), by="key") as hub:
            slot = await limits_of(hub).limiter("name:n").ask("", 1)  # another handler has the slot
            assert slot.count == 1
            tickets = [await sender.send("charge", number) for number in range(5)]
            await until(lambda: accounts(hub).limited == 5)
            closing = NOW().time()
        assert NOW().time() - closing < 5, "it does not wait for the limit"
        assert ran == []
        async with serving(server, ran, limit=limit):
            assert [await ticket for ticket in tickets] == list(range(5))
    assert sorted(ran) == [(number, 1) for number in range(5)]


@pytest.mark.parametrize("priority", ["normal", "high"])
async def test_commands_that_wait_for_the_limit_of_their_key_do_not_delay_another_key(priority: Any) -> None:
    server = Server()
    ran: list[Any] = []
    limit = telex.Limit(concurrency=1, name="n")
    by = lambda number: "short" if number == 1000 else "long"  # noqa: E731  # as a user writes it
    async with serving(server, ran, limit=limit, by=by, concurrency=1) as hub:
        assert (await limits_of(hub).limiter("name:n").ask("long", 1)).count == 1  # another handler has the slot
        for number in range(50):
            await hub.send("charge", number, priority=priority)
        await until(lambda: accounts(hub).limited == 50)
        assert await hub.call("charge", 1000, timeout=5) == 1000
        assert (accounts(hub).running, accounts(hub).limited) == (0, 50)


async def test_priorities_of_an_engine_share_the_limit_and_the_calls() -> None:
    server = Server()
    ran: list[int] = []
    async with serving(server, ran, limit=telex.Limit(rate="100/s", burst=1), concurrency=2) as hub:
        tickets = [await hub.send("charge", number, priority="low") for number in range(5)]
        tickets += [await hub.send("charge", number, priority="high") for number in range(5, 10)]
        assert sorted([await ticket for ticket in tickets]) == list(range(10))
        await idle()
        assert (accounts(hub).limited, accounts(hub).running, accounts(hub).succeeded) == (0, 0, 10)


def test_a_limit_of_a_command_is_checked_where_it_is_declared() -> None:
    async def charge(number: int) -> None: ...

    hub, router = telex.Hub(), telex.Router("shop")
    for options, text in (
        ({"by": "key"}, "add limit="),
        ({"limit": "ten/s"}, "such as '10/s'"),
        ({"limit": 3}, r"telex\.Limit"),
    ):
        with pytest.raises(telex.BadOption, match=text):
            hub.command("charge", **options)(charge)
    router.command("charge", limit="1/s")(charge)
    hub.command("charge", limit="2/s")(charge)
    hub.include_router(router)
    hub.command("refund", limit=telex.Limit(rate="1/s", name="bank"))(charge)
    with pytest.raises(telex.BadOption, match="limits of one name must be equal"):
        hub.command("pay", limit=telex.Limit(rate="2/s", name="bank"))(charge)
