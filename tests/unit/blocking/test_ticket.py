"""Commands without asyncio: tickets, results, and following."""

import asyncio
import threading

import pytest

import telex


def test_a_command_is_sent_called_and_followed_up() -> None:
    hub = telex.blocking.Hub()

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    @hub.command("charge", once=True, run_in="loop")
    def charge(number: int) -> int:
        if number < 0:
            raise telex.CommandError("the card was declined", code="declined", data={"number": number})
        return number

    with hub:
        assert hub.call("double", 21) == 42
        assert hub.call("double", 21, type=int, timeout="5s") == 42
        ticket = hub.send("charge", 7, key="order-1")
        assert (ticket.command, ticket.key) == ("charge", "order-1")
        assert ticket.result(timeout=5) == 7
        assert ticket.done
        assert ticket.outcome().id == ticket.id
        assert not ticket.cancel()
        again = hub.send("charge", 7, key="order-1", duplicate="reject")
        assert again.outcome(timeout=5).replayed
        refused = hub.send("charge", -1, key="order-2")
        with pytest.raises(telex.CommandFailed) as failed:
            refused.result(timeout=5)
        assert (failed.value.code, failed.value.data) == ("declined", {"number": -1})
        assert isinstance(failed.value.__cause__, telex.CommandError)
        with pytest.raises(telex.KeyConflict):
            hub.call("charge", 8, key="order-1")
        with pytest.raises(telex.NoHandler):
            hub.call("nobody", 1)
        with pytest.raises(telex.BadOption, match="key"):
            hub.send("charge", 1)
    assert ticket.result() == 7  # what is known is known when the hub is closed, too
    with pytest.raises(telex.Closed):
        hub.call("double", 1)


def waiting_hub() -> telex.blocking.Hub:
    """A hub with a command ``wait``, which ends when a command ``open`` was carried out."""
    opened = asyncio.Event()
    hub = telex.blocking.Hub(close_timeout=0.0)

    @hub.command("wait")
    async def wait(content: object, context: telex.CommandContext[object]) -> str:
        context.progress(0.5, "half")
        await opened.wait()
        return "done"

    @hub.command("open", run_in="loop")
    def open_() -> None:
        opened.set()

    return hub


def test_a_ticket_is_waited_for_and_cancelled() -> None:
    with waiting_hub() as hub:
        ticket, other = hub.send("wait"), hub.send("wait")
        with pytest.raises(telex.Timeout):
            ticket.result(timeout=0.001)
        assert not ticket.done
        assert "open" in repr(ticket)
        steps = ticket.progress()
        assert next(steps).text == "half"
        assert other.cancel()
        assert other.outcome(timeout=5).error == telex.Failure("Cancelled", "cancelled", "its sender cancelled it")
        hub.call("open", timeout=5)
        assert ticket.result(timeout=5) == "done"
        assert list(steps) == []


def test_waiting_for_a_ticket_ends_when_the_hub_is_closed() -> None:
    told: list[object] = []

    def wait(ticket: telex.blocking.Ticket[object]) -> None:
        steps = ticket.progress()
        told.append(next(steps).fraction)
        waits.set()
        try:
            ticket.result()
        except telex.TelexError as error:
            told.append(type(error))

    waits = threading.Event()
    with waiting_hub() as hub:
        waiter = threading.Thread(target=wait, args=[hub.send("wait")])
        waiter.start()
        assert waits.wait(10)
    waiter.join(10)
    assert told == [0.5, telex.Closed]


def test_following() -> None:
    hub = telex.blocking.Hub()

    @hub.command("report:build", run_in="loop")
    def build(pages: int, context: telex.CommandContext[int]) -> int:
        context.progress(0.5, "half")
        return pages

    with hub, hub.follow("report:*", progress=True) as heard, hub.follow("report:build") as outcomes:
        hub.call("report:build", 3)
        hub.call("report:build", 4)
        first, second = heard.receive(timeout=5), heard.receive(timeout=5)
        assert isinstance(first, telex.Progress)
        assert isinstance(second, telex.Outcome)
        assert (first.text, second.result) == ("half", 3)
        every = iter(outcomes)
        assert [next(every).result, next(every).result] == [3, 4]  # type: ignore[union-attr]  # outcomes alone
        with pytest.raises(telex.Timeout):
            outcomes.receive(timeout=0.001)
        outcomes.close()
        assert list(every) == []
        outcomes.close()
    heard.close()
