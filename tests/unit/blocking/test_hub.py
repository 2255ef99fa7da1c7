"""The facade for programs that are not async."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

import telex


def test_publish_and_receive() -> None:
    with telex.blocking.Hub("memory://", timeout=5) as hub:
        room = hub.topic("chatroom:1")
        with room.subscribe(timeout=5) as inbox:
            sent = room.publish("hello", id="one", headers={"from": "ann"})
            received = inbox.receive(timeout=5)
        assert received is sent
        assert (received.content, received.id, received.headers) == ("hello", "one", {"from": "ann"})
        assert hub.topics() == ["chatroom:1"]
        assert room.position().seq == room.statistics().published == 1


def test_iteration_takes_each_message_once_and_ends_when_the_topic_is_removed() -> None:
    with telex.blocking.Hub() as hub:
        topic = hub.topic("numbers")
        with topic.subscribe() as inbox:
            for number in range(1000):
                topic.publish(number)
            first = []
            for message in inbox:
                first.append(message.content)
                if message.content == 299:
                    break
            assert inbox.position.seq == 300  # not 512, where the hub's thread was asked to read on to
            one = inbox.receive(timeout=5).content
            hub.remove("numbers")
            assert [*first, one, *[m.content for m in inbox]] == list(range(1000))


def test_a_thread_that_waits_is_woken_by_another_one_that_publishes_and_by_closing() -> None:
    with telex.blocking.Hub() as hub:
        topic = hub.topic("numbers")
        inbox = topic.subscribe()
        inbox.__enter__()
        received: list[int] = []
        problems: list[Exception] = []
        took_two = threading.Event()

        def read() -> None:
            try:
                while True:
                    received.append(inbox.receive().content)
                    if len(received) == 2:
                        took_two.set()
            except telex.Closed as error:
                problems.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        topic.publish(1)
        topic.publish(2)
        assert took_two.wait(10)
        inbox.close()
        reader.join(10)
        assert received == [1, 2]
        assert len(problems) == 1


def test_handlers_are_called_and_finish_before_the_hub_closes() -> None:
    handled: list[object] = []
    hub = telex.blocking.Hub(close_timeout=10)
    hub.retain("a:*", messages=2)
    router = telex.Router("a")

    @router.on("*")
    async def slow(content: int) -> None:
        await asyncio.sleep(0)
        handled.append(content)

    @hub.on(str)
    def text(content: str) -> None:
        handled.append(content)

    hub.include_router(router)
    with hub:
        for number in range(5):
            hub.topic("a:1").publish(number)
        hub.topic("a:1").publish("end")
        assert [m.content for m in hub.topic("a:1").history() if not isinstance(m, telex.Lost)] == [4, "end"]
    assert sorted(map(str, handled)) == ["0", "1", "2", "3", "4", "end", "end"]


def test_timeouts_and_would_block() -> None:
    with telex.blocking.Hub() as hub, hub.topic("quiet").subscribe() as inbox:
        with pytest.raises(telex.WouldBlock):
            inbox.receive_nowait()
        with pytest.raises(telex.Timeout):
            inbox.receive(timeout=timedelta(milliseconds=1))
        assert inbox.lost == 0
        assert inbox.statistics().published == 0


def test_a_lifespan_that_fails_leaves_no_thread() -> None:
    @asynccontextmanager
    async def fails(hub: telex.Hub) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    hub = telex.blocking.Hub(lifespan=fails)
    before = threading.active_count()
    with pytest.raises(OSError, match="no database"):
        hub.__enter__()
    assert threading.active_count() == before


def test_use_before_opening_and_after_closing() -> None:
    hub = telex.blocking.Hub()
    with pytest.raises(telex.Closed, match="with hub"):
        hub.topic("a")
    with hub:
        topic = hub.topic("a")
        with pytest.raises(telex.Closed, match="opened once"):
            hub.__enter__()
    hub.close()
    assert hub.closed
    for use in (lambda: topic.publish(1), hub.topics, lambda: topic.subscribe().__enter__()):
        with pytest.raises(telex.Closed, match="it was closed"):
            use()


def test_waiting_for_the_hub_in_its_own_thread_is_refused() -> None:
    hub = telex.blocking.Hub()
    problems: list[Exception] = []

    @hub.on("a")
    def handler(content: object) -> None:
        try:
            hub.topic("b")
        except telex.WrongThread as error:
            problems.append(error)

    with hub:
        hub.topic("a").publish(1)
    assert len(problems) == 1
    assert "an argument `hub: telex.Hub`" in str(problems[0])


def test_many_at_once_and_what_waits() -> None:
    with telex.blocking.Hub() as hub, hub.topic("numbers").subscribe() as inbox:
        for number in range(10):
            hub.topic("numbers").publish(number)
        assert inbox.waiting == 10
        assert next(iter(inbox)).content == 0
        assert inbox.waiting == 9
        assert [m.content for m in inbox.receive_many(4)] == [1, 2, 3, 4]
        assert [m.content for m in inbox.receive_many()] == [5, 6, 7, 8, 9]
        assert inbox.ended is None
        with pytest.raises(telex.Timeout):
            inbox.receive_many(timeout=0.001)
        hub.remove("numbers")
        assert inbox.ended == "removed"


def test_closing_in_a_handler_is_refused() -> None:
    hub = telex.blocking.Hub()
    problems: list[Exception] = []

    @hub.on("a")
    def handler(content: object) -> None:
        try:
            hub.close()
        except telex.WrongThread as error:
            problems.append(error)

    with hub:
        hub.topic("a").publish(1)
    assert len(problems) == 1


async def test_async_with_is_refused() -> None:
    with pytest.raises(telex.Misuse, match="enter it with `with`"):
        async with telex.blocking.Hub():
            raise AssertionError("it was entered")


# -- commands


def test_send_call_and_what_became_of_it() -> None:
    hub = telex.blocking.Hub()

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    @hub.command("charge", once=True)
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

    @hub.command("open")
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


def test_who_waits_for_a_ticket_is_told_when_the_hub_is_closed() -> None:
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

    @hub.command("report:build")
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
