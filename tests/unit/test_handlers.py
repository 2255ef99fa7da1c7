"""Declared functions: how they are called, what happens when they fail, and when they are too slow."""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import telex
from tests.support.loops import idle

if TYPE_CHECKING:
    from telex import Message

Got = list[Any]


def errors(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "telex.handlers" and r.levelno == level]


# -- how they are called


class Callables:
    """Objects and methods that are called as functions are."""

    def __init__(self, got: Got) -> None:
        self.got = got

    def method(self, content: int) -> None:
        self.got.append(content)

    async def method_async(self, message: telex.Message[int]) -> None:
        self.got.append(message.content)

    async def __call__(self, content: int) -> None:
        self.got.append(content)


def called_by(got: Got) -> dict[str, Callable[..., object]]:  # noqa: C901  # many little functions
    """Functions of every form; each puts the content into ``got``."""

    def nothing() -> None:
        got.append(5)

    def content(content: int) -> None:
        got.append(content)

    def message(message: telex.Message[int]) -> None:
        got.append(message.content)

    def bare_message(message: telex.Message) -> None:  # type: ignore[type-arg]
        got.append(message.content)

    def by_name(message: "Message[int]") -> None:
        got.append(message.content)

    def all_three(hub: telex.Hub, message: telex.Message[int], content: int) -> None:
        assert isinstance(hub, telex.Hub)
        assert message.content == content
        got.append(content)

    def with_default(content: int, factor: int = 1, *, other: int = 1) -> None:
        got.append(content * factor * other)

    def any_arguments(*arguments: Any, **options: Any) -> None:
        assert not options
        got.extend(arguments)

    def given_first(where: Got, content: int) -> None:
        where.append(content)

    async def asynchronous(content: int) -> None:
        await asyncio.sleep(0)
        got.append(content)

    def returns_awaitable(content: int) -> Any:
        return asynchronous(content)

    def decorated(content: int) -> None:
        got.append(content)

    @functools.wraps(decorated)
    def decorator(*arguments: Any, **options: Any) -> None:
        decorated(*arguments, **options)

    callables = Callables(got)
    return {
        "nothing": nothing,
        "content": content,
        "message": message,
        "bare message": bare_message,
        "by name": by_name,
        "all three": all_three,
        "with default": with_default,
        "any arguments": any_arguments,
        "asynchronous": asynchronous,
        "returns an awaitable": returns_awaitable,
        "decorated": decorator,
        "partial": functools.partial(given_first, got),
        "partial of async": functools.partial(asynchronous),
        "lambda": lambda content: got.append(content),
        "builtin": got.append,
        "method": callables.method,
        "async method": callables.method_async,
        "object": callables,
    }


@pytest.mark.parametrize("name", called_by([]))
async def test_a_function_is_called_with_what_it_asks_for(name: str) -> None:
    got: Got = []
    function = called_by(got)[name]
    hub = telex.Hub()
    assert hub.on("a", run_in="loop")(function) is function
    async with hub:
        await hub.topic("a").publish(5)
        await idle()
        assert got == [5]
        (statistics,) = hub.statistics().handlers
    assert (statistics.pattern, statistics.handled, statistics.failed) == ("a", 1, 0)


async def test_content_passes_by_reference() -> None:
    hub, got = telex.Hub(), list[object]()
    hub.on("a")(got.append)
    content = object()
    async with hub:
        await hub.topic("a").publish(content)
    assert got[0] is content


# -- failing


# -- being slow


# -- declaring


async def test_declaring_on_a_running_hub_takes_effect_at_once() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        early, late = list[int](), list[int]()
        topic.publish_nowait(0)
        hub.on("a")(early.append)
        topic.publish_nowait(1)
        hub.on(int)(late.append)
        topic.publish_nowait(2)
        await idle()
        assert early == [1, 2]
        assert late == [2]


async def test_a_handler_may_declare_another() -> None:
    hub, got = telex.Hub(), list[str]()

    @hub.on("a", run_in="loop")
    def declares(content: str) -> None:
        if content == "first":
            hub.on("a", run_in="loop")(lambda content: got.append(content))

    async with hub:
        await hub.topic("a").publish("first")
        await idle()
        await hub.topic("a").publish("second")
    assert got == ["second"]


async def test_a_declaration_is_no_call() -> None:
    hub, got = telex.Hub(), list[int]()
    hub.on("a")(got.append)
    hub.topic("a")
    async with hub:
        await idle()
    assert got == []


# -- routers
