"""Mistakes that a new user makes: each is told where it is made, by an error that names its mend.

Every line of the table is one mistake. The words are those of the mend: they have to be in the text.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

import telex
from telex.topics.subscription import enter

Code = Callable[[telex.Hub], object]
"""What a user writes, given a hub; what it returns is awaited if it can be."""


class Author(msgspec.Struct):
    name: str


class Chat(msgspec.Struct):
    text: str
    author: Author


@dataclass(frozen=True)
class Mistake:
    name: str
    code: Code
    error: type[BaseException]
    mend: tuple[str, ...]
    before: bool = False
    """Whether it is made before the hub is opened."""


async def first(items: Any) -> object:
    async for item in items:
        return item
    return None


async def in_a_thread(function: Callable[[], object]) -> object:
    return await asyncio.to_thread(function)


async def after_closing(hub: telex.Hub, use: Callable[[telex.Topic[Any]], object]) -> object:
    topic = hub.topic("chat")
    await hub.aclose()
    result = use(topic)
    return await result if isinstance(result, Awaitable) else result


async def received(hub: telex.Hub) -> telex.Message[Any]:
    async with hub.topic("chat").subscribe() as inbox:
        await hub.topic("chat").publish({"text": "hello"})
        return await inbox.receive()


async def set_content(hub: telex.Hub) -> None:
    message = await received(hub)
    message.content = "other"


async def set_topic(hub: telex.Hub) -> None:
    message = await received(hub)
    message.topic = "other"


async def without_async_with(hub: telex.Hub) -> object:
    inbox = hub.topic("chat").subscribe()
    return await inbox.receive()


async def iterate_without_async_with(hub: telex.Hub) -> object:
    return await first(hub.topic("chat").subscribe())


async def enter_twice(hub: telex.Hub) -> None:
    async with hub:
        raise AssertionError("it was entered twice")


async def enter_a_subscription_twice(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe() as inbox, inbox:
        raise AssertionError("it was entered twice")


def with_hub(hub: telex.Hub) -> None:
    with hub:
        raise AssertionError("it was entered")


def with_subscription(hub: telex.Hub) -> None:
    with hub.topic("chat").subscribe():
        raise AssertionError("it was entered")


async def with_topic(hub: telex.Hub) -> None:
    async with hub.topic("chat"):
        raise AssertionError("it was entered")


async def for_subscription(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe() as inbox:
        for _message in inbox:  # type: ignore[var-annotated]
            raise AssertionError("it was iterated")


async def await_subscription(hub: telex.Hub) -> None:
    await hub.topic("chat").subscribe()


async def iterate_a_topic(hub: telex.Hub) -> None:
    async for _message in hub.topic("chat"):
        raise AssertionError("it was iterated")


def loop_over_a_topic(hub: telex.Hub) -> None:
    for _message in hub.topic("chat"):  # type: ignore[var-annotated]
        raise AssertionError("it was iterated")


async def two_tasks_iterate(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe() as inbox:
        other = asyncio.create_task(first(inbox))
        await asyncio.sleep(0)
        try:
            await first(inbox)
        finally:
            other.cancel()
            await asyncio.wait([other])


async def two_tasks_share_batches(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe() as inbox:
        batches = inbox.batches()
        other = asyncio.create_task(first(batches))
        await asyncio.sleep(0)
        try:
            await first(batches)
        finally:
            other.cancel()
            await asyncio.wait([other])


async def close_in_a_handler(hub: telex.Hub) -> None:
    problem: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    @hub.on("chat")
    async def stop(content: object) -> None:
        try:
            await hub.aclose()
        except telex.TelexError as error:
            problem.set_result(error)

    await hub.topic("chat").publish("stop")
    error = await problem
    if error is not None:
        raise error


async def receive_after_the_end(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe() as inbox:
        await hub.aclose()
        await inbox.receive()


async def receive_after_leaving(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe() as inbox:
        pass
    await inbox.receive()


async def receive_nowait(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe() as inbox:
        inbox.receive_nowait()


async def publish_nowait_under_block(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe(overflow="block", buffer=1):
        for _ in range(2):
            hub.topic("chat").publish_nowait("more than one")


async def publish_under_fail(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe(overflow="fail", buffer=1):
        for _ in range(2):
            await hub.topic("chat").publish("more than one")


async def too_slow(hub: telex.Hub) -> None:
    async with hub.topic("chat").subscribe(overflow="close", buffer=1) as inbox:
        for _ in range(2):
            await hub.topic("chat").publish("more than one")
        async for _message in inbox:
            pass


async def subscribe_in_a_thread(hub: telex.Hub) -> object:
    return await in_a_thread(partial(enter, hub.topic("chat").subscribe()))


async def second_type(hub: telex.Hub) -> None:
    hub.topic("chat", Chat)
    hub.topic("chat", list[int])


async def wrong_content(hub: telex.Hub) -> None:
    topic: telex.Topic[Any] = hub.topic("chat", Chat)
    await topic.publish({"text": "hello", "author": {"name": 3}})


def two_arguments(topic: str, content: str) -> None: ...


def keyword_only(*, content: str) -> None: ...


def yields(content: str) -> Any:
    yield content


def takes_one(content: str) -> None: ...


async def takes_one_async(content: str) -> None: ...


async def not_a_lifespan(hub: telex.Hub) -> None: ...


def includes_itself(hub: telex.Hub) -> None:
    router = telex.Router("orders")
    router.include_router(router)


def included_twice(hub: telex.Hub) -> None:
    router = telex.Router("orders")
    hub.include_router(router)
    hub.include_router(router)


MISTAKES = [
    # names
    Mistake("an empty name", lambda hub: hub.topic(""), telex.BadName, ("must not be empty", "'chatroom:12345'")),
    Mistake("a number", lambda hub: hub.topic(12345), telex.BadName, ("must be text", "not int")),  # type: ignore[call-overload]
    Mistake(
        "an empty token",
        lambda hub: hub.topic("chat::1"),
        telex.BadName,
        ("must not be empty", "before and after each"),
    ),
    Mistake("a colon last", lambda hub: hub.topic("chat:"), telex.BadName, ("must not be empty", "after each ':'")),
    Mistake("a space", lambda hub: hub.topic("chat room"), telex.BadName, ("must not contain whitespace", "' '")),
    Mistake("a long name", lambda hub: hub.topic("a" * 256), telex.BadName, ("at most 255", "this one has 256")),
    Mistake("a star in a token", lambda hub: hub.topic("chat*"), telex.BadName, ("whole tokens", "'chat*'")),
    Mistake("'>' first", lambda hub: hub.topic(">:a"), telex.BadName, ("last token", "'*'")),
    Mistake(
        "publishing to a pattern",
        lambda hub: hub.topic("chat:*").publish(1),
        telex.BadName,
        ("to subscribe to", "publish to one topic"),
    ),
    Mistake("removing a pattern", lambda hub: hub.remove("chat:*"), telex.BadName, ("one topic id", "hub.topics(")),
    Mistake("a prefix with a colon", lambda hub: telex.Router("orders:"), telex.BadName, ("must not be empty",)),
    # options
    Mistake(
        "an unknown policy",
        lambda hub: hub.topic("chat").subscribe(overflow="drop"),  # type: ignore[call-overload]
        telex.BadOption,
        ("overflow", "'drop'", "drop_newest, drop_oldest, latest, block, fail, close, catch_up"),
    ),
    Mistake("no buffer", lambda hub: hub.topic("chat").subscribe(buffer=0), telex.BadOption, ("buffer", "at least 1")),
    Mistake(
        "a buffer of bytes that is a text",
        lambda hub: hub.topic("chat").subscribe(buffer_bytes="1 MB"),  # type: ignore[call-overload]
        telex.BadOption,
        ("buffer_bytes", "number of bytes"),
    ),
    Mistake(
        "a key without latest",
        lambda hub: hub.topic("chat").subscribe(key=lambda message: message.topic),
        telex.BadOption,
        ("key", "overflow='latest'"),
    ),
    Mistake(
        "a key that is no function",
        lambda hub: hub.topic("chat").subscribe(key="user", overflow="latest"),  # type: ignore[call-overload]
        telex.BadOption,
        ("key", "a sync function of the message", "lambda m:"),
    ),
    Mistake(
        "a naive datetime",
        lambda hub: hub.topic("chat").subscribe(start=datetime(2026, 1, 1)),  # noqa: DTZ001  # the mistake
        telex.BadOption,
        ("start", "time zone", "datetime.now(timezone.utc)"),
    ),
    Mistake(
        "a time to come",
        lambda hub: hub.topic("chat").subscribe(start=timedelta(days=-1)),
        telex.BadOption,
        ("start", "a time ago", "not be negative"),
    ),
    Mistake(
        "a start that is no start",
        lambda hub: hub.topic("chat").subscribe(start="oldest"),  # type: ignore[call-overload]
        telex.BadOption,
        ("start", "'earliest'", "a Position"),
    ),
    Mistake(
        "a negative timeout",
        lambda hub: hub.topic("chat").subscribe(timeout=-1),
        telex.BadOption,
        ("timeout", "-1", "not negative"),
    ),
    Mistake(
        "a timeout in parsecs",
        lambda hub: hub.topic("chat").publish("hello", timeout="5 parsecs"),
        telex.BadOption,
        ("timeout", "'5 parsecs'", "'10s'"),
    ),
    Mistake("a hub's timeout", lambda hub: telex.Hub(timeout="soon"), telex.BadOption, ("timeout", "'soon'", "'10s'")),
    Mistake(
        "a number of milliseconds as text",
        lambda hub: telex.Hub(close_timeout="500"),
        telex.BadOption,
        ("close_timeout", "'500'", "'250ms'"),
    ),
    Mistake(
        "a limit below nothing",
        lambda hub: first(hub.topic("chat").history(limit=-1)),
        telex.BadOption,
        ("limit", "-1", "a number of messages"),
    ),
    Mistake(
        "an unknown URL scheme", lambda hub: telex.Hub("redis://h:1"), telex.BadOption, ("url", "redis", "'memory://'")
    ),
    Mistake("memory: without slashes", lambda hub: telex.Hub("memory"), telex.BadOption, ("url", "write 'memory://'")),
    Mistake(
        "a time in place of a clock",
        lambda hub: telex.Hub(clock=5),  # type: ignore[arg-type]
        telex.BadOption,
        ("clock", "5", "time.time"),
    ),
    Mistake(
        "headers that are not text",
        lambda hub: hub.topic("chat").publish(1, headers={"attempt": 3}),  # type: ignore[dict-item]
        telex.BadOption,
        ("headers", "'attempt': 3", "write str(value)"),
    ),
    Mistake(
        "an id that is a number",
        lambda hub: hub.topic("chat").publish(1, id=7),  # type: ignore[arg-type]
        telex.BadOption,
        ("id", "UUID", "leave it out"),
    ),
    Mistake("retaining nothing said", lambda hub: hub.retain("chat:*"), telex.BadOption, ("messages=", "age=")),
    Mistake(
        "retaining a negative number",
        lambda hub: hub.retain("chat:*", messages=-5),
        telex.BadOption,
        ("messages", "-5", "at least 0"),
    ),
    Mistake(
        "an unknown argument",
        lambda hub: hub.topic("chat").subscribe(buffersize=5),  # type: ignore[call-overload]
        TypeError,
        ("subscribe()", "'buffersize'"),
    ),
    # types
    Mistake(
        "a type's name",
        lambda hub: hub.topic("chat", "Chat"),  # type: ignore[call-overload]
        telex.BadOption,
        ("type", "'Chat'", "give a class"),
    ),
    Mistake("a second type for a topic", second_type, telex.BadOption, ("declared with Chat", "use one type")),
    Mistake("wrong content", wrong_content, telex.ContentError, ("$.author.name", "str", "Chat")),
    # life
    Mistake(
        "publishing before opening",
        lambda hub: hub.topic("chat").publish(1),
        telex.Closed,
        ("not open yet", "async with hub"),
        before=True,
    ),
    Mistake(
        "asking for topics before opening",
        lambda hub: hub.topics(),
        telex.Closed,
        ("this hub", "it is not open yet", "async with hub"),
        before=True,
    ),
    Mistake(
        "publishing after closing",
        lambda hub: after_closing(hub, lambda topic: topic.publish(1)),
        telex.Closed,
        ("'chat'", "was closed", "make another"),
    ),
    Mistake(
        "publishing from a thread after closing",
        lambda hub: after_closing(hub, lambda topic: topic.publish_threadsafe(1)),
        telex.Closed,
        ("'chat'", "was closed", "make another"),
    ),
    Mistake(
        "a topic after closing",
        lambda hub: after_closing(hub, lambda topic: hub.topic("chat")),
        telex.Closed,
        ("this hub", "it was closed", "make another with telex.Hub()"),
    ),
    Mistake("entering the hub twice", enter_twice, telex.Closed, ("cannot use this hub", "opened once", "another")),
    Mistake("`with hub`", with_hub, telex.Misuse, ("async with", "telex.blocking.Hub")),
    Mistake("closing in a handler", close_in_a_handler, telex.Misuse, ("waits for the handlers", "asyncio.Event")),
    Mistake(
        "a lifespan that is a plain coroutine",
        lambda hub: telex.Hub(lifespan=not_a_lifespan),  # type: ignore[arg-type]
        telex.BadOption,
        ("lifespan", "yield", "asynccontextmanager"),
    ),
    # subscriptions
    Mistake("`with subscription`", with_subscription, telex.Misuse, ("async with",)),
    Mistake("`for message in subscription`", for_subscription, telex.Misuse, ("async for",)),
    Mistake("awaiting subscribe", await_subscription, telex.Misuse, ("async with topic.subscribe(...) as inbox:",)),
    Mistake("no async with, receive", without_async_with, telex.Closed, ("enter it first", "async with")),
    Mistake("no async with, iterate", iterate_without_async_with, telex.Closed, ("enter it first", "async with")),
    Mistake("entering it twice", enter_a_subscription_twice, telex.Closed, ("entered once", "subscribe() again")),
    Mistake("receiving after leaving it", receive_after_leaving, telex.Closed, ("was closed", "subscribe again")),
    Mistake("receiving after the hub closed", receive_after_the_end, telex.Closed, ("was closed", "subscribe again")),
    Mistake("`async for` over a topic", iterate_a_topic, telex.Misuse, ("topic.subscribe()", "async with")),
    Mistake("`for` over a topic", loop_over_a_topic, telex.Misuse, ("topic.subscribe()", "async with")),
    Mistake("`async with` a topic", with_topic, telex.Misuse, ("topic.subscribe()", "async with")),
    Mistake("two tasks iterate one", two_tasks_iterate, telex.Misuse, ("another task", "subscribe once more")),
    Mistake("two tasks share batches", two_tasks_share_batches, telex.Misuse, ("another task", "once for each")),
    Mistake("receive_nowait of nothing", receive_nowait, telex.WouldBlock, ("no message waits", "without _nowait")),
    Mistake("publish_nowait under block", publish_nowait_under_block, telex.WouldBlock, ("no room", "without _nowait")),
    Mistake("publishing to a full one", publish_under_fail, telex.BufferFull, ("nothing was published", "another")),
    Mistake("reading too slowly", too_slow, telex.SlowSubscriber, ("start=subscription.position", "larger buffer")),
    # messages and threads
    Mistake("setting a message's content", set_content, AttributeError, ("immutable", "publish a new message")),
    Mistake("setting a message's topic", set_topic, AttributeError, ("immutable", "publish a new message")),
    Mistake(
        "publishing from another thread",
        lambda hub: in_a_thread(lambda: hub.topic("chat").publish_nowait(1)),
        telex.WrongThread,
        ("publish_threadsafe", "telex.blocking.Hub"),
    ),
    Mistake("subscribing in another thread", subscribe_in_a_thread, telex.WrongThread, ("telex.blocking.Hub",)),
    # handlers
    Mistake("two arguments", lambda hub: hub.on("chat")(two_arguments), telex.BadHandler, ("'content'", "each once")),
    Mistake("keyword only", lambda hub: hub.on("chat")(keyword_only), telex.BadHandler, ("'content'", "by position")),
    Mistake("a generator", lambda hub: hub.on("chat")(yields), telex.BadHandler, ("yields", "publish")),
    Mistake("@hub.on without what", lambda hub: hub.on(takes_one), telex.BadHandler, ("@hub.on('chatroom:*')",)),  # type: ignore[arg-type]
    Mistake("@hub.on()", lambda hub: hub.on()(takes_one), telex.BadOption, ("give a pattern", "'chatroom:*'")),
    Mistake("a class as handler", lambda hub: hub.on("chat")(Chat), telex.BadHandler, ("decorate a function",)),
    Mistake(
        "a type of items",
        lambda hub: hub.on(list[int])(takes_one),
        telex.BadOption,
        ("list, not list[int]", "by class"),
    ),
    Mistake("every message", lambda hub: hub.on(telex.Message)(takes_one), telex.BadOption, ("type of its content",)),
    Mistake(
        "concurrency of a sync handler",
        lambda hub: hub.on("chat", concurrency=4, run_in="loop")(takes_one),
        telex.BadOption,
        ("concurrency", "one after the other", "leave out"),
    ),
    Mistake(
        "no concurrency",
        lambda hub: hub.on("chat", concurrency=0)(takes_one_async),
        telex.BadOption,
        ("concurrency", "at least 1"),
    ),
    Mistake("one pattern twice", lambda hub: hub.on("a", "a")(takes_one), telex.BadName, ("each pattern once",)),
    Mistake(
        "a hub for a router",
        lambda hub: hub.include_router(telex.Hub()),  # type: ignore[arg-type]
        telex.BadOption,
        ("router", "telex.Router"),
    ),
    Mistake("a router in itself", includes_itself, telex.BadOption, ("router", "itself")),
    Mistake("a router twice", included_twice, telex.BadOption, ("router", "already", "prefix")),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
async def test_the_error_names_the_mend(mistake: Mistake) -> None:
    hub = telex.Hub()

    async def make() -> None:
        async with AsyncExitStack() as stack:
            if not mistake.before:
                await stack.enter_async_context(hub)
            result = mistake.code(hub)
            if isinstance(result, Awaitable):
                await result

    with pytest.raises(mistake.error) as caught:
        await make()
    text = str(caught.value)
    assert all(words in text for words in mistake.mend), text
    assert len(text) < 400
    assert "\n" not in text


def test_the_list_is_long_enough() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 25


async def test_a_forgotten_await_is_told_by_python() -> None:
    async with telex.Hub() as hub:
        with pytest.warns(RuntimeWarning, match=re.escape(".publish' was never awaited")):
            hub.topic("chat").publish("hello")  # type: ignore[unused-coroutine]
        assert hub.topic("chat").statistics().published == 0


async def test_a_mistake_in_a_loop_over_nothing_is_told_as_well() -> None:
    """Not only when there is something to wait for: these are told at once."""
    async with telex.Hub() as hub, hub.topic("chat").subscribe() as inbox:
        hub.topic("chat").publish_nowait(1)
        with pytest.raises(telex.BadOption, match="timeout"):
            await inbox.receive(timeout="5 parsecs")
        with pytest.raises(telex.BadOption, match="timeout"):
            await inbox.receive_many(timeout=-1)
        assert inbox.waiting == 1
