"""Declarations of handlers: options are checked where they are given, and calling is worked out once."""

import logging
from collections.abc import Callable
from typing import Any, NewType, TypedDict

import pytest

import telex
from telex.codec.content import Content
from telex.engines.memory.engine import MemoryEngine
from telex.handlers import spec as module
from telex.handlers.spec import GroupSpec, HandlerSpec, declare
from telex.log.options import Options
from telex.middleware import Next
from telex.runtime import Runtime
from tests.support.pretend import PretendEngine, Server

DEFAULTS: dict[str, Any] = {"concurrency": 1, "buffer": 1024, "buffer_bytes": None, "overflow": "drop_newest"}
DEFAULTS |= {"key": None, "block_timeout": 30.0, "group": None, "retry": None, "lease": None, "dead_letter": None}
DEFAULTS |= {"start": None, "tx": False, "middleware": (), "run_in": "loop", "batch": None, "within": 1.0}
DEFAULTS |= {"limit": None, "by": None}


class Row(TypedDict):
    a: int


Id = NewType("Id", int)


def plain(content: int) -> None: ...


async def waits(content: int) -> None: ...


async def settles(content: int, ctx: telex.Context[int]) -> None: ...


async def writes(content: int, tx: telex.Transaction) -> None: ...


async def writes_and_settles(content: int, tx: telex.Transaction, ctx: telex.Context[int]) -> None: ...


async def of_batches(ctx: telex.BatchContext[int]) -> None: ...


async def of_a_command(content: int, ctx: telex.CommandContext[int]) -> None: ...


def spec(function: Callable[..., object], *what: object, prefix: str = "", **options: Any) -> HandlerSpec:
    return declare(function, what or ("a",), prefix, DEFAULTS | options)


def test_a_declaration_keeps_what_it_was_given() -> None:
    found = spec(waits, "a:*", int, prefix="shop", concurrency=4, buffer=7, overflow="drop_oldest", block_timeout="1m")
    assert found.name.endswith("waits")
    assert (found.function, found.patterns, found.types) == (waits, ("shop:a:*",), (int,))
    assert (found.concurrency, found.is_async, found.group, found.takes) == (4, True, None, None)
    assert found.options == Options("drop_oldest", 7, report_lost=True, block_timeout=60.0)


def test_types_alone_mean_every_topic_under_the_prefix() -> None:
    assert spec(plain, int).patterns == (">",)
    assert spec(plain, int, prefix="shop").patterns == ("shop:>",)


def test_the_parts_of_a_union_are_types() -> None:
    assert spec(plain, int | str, float).types == (int, str, float)
    assert spec(plain, int | None).types == (int, type(None))


@pytest.mark.parametrize(
    ("what", "error", "fix"),
    [
        ((), telex.BadOption, "give a pattern such as"),
        (("a", "a"), telex.BadName, "give each pattern once"),
        (("a b",), telex.BadName, "white"),
        ((list[int],), telex.BadOption, "dispatch is by class"),
        ((5,), telex.BadOption, "give patterns as text"),
        ((Id,), telex.BadOption, "a NewType is its base"),
        ((telex.Message,), telex.BadOption, "every message is a Message"),
        ((Any,), telex.BadOption, "bad type typing.Any: Any is no class to dispatch by: give object"),
        ((Row,), telex.BadOption, "a TypedDict is a dict"),
    ],
    ids=str,
)
def test_a_handler_is_for_patterns_and_classes(what: tuple[object, ...], error: type[Exception], fix: str) -> None:
    with pytest.raises(error, match=fix):
        declare(plain, what, "", DEFAULTS)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "4"])
def test_a_concurrency_is_at_least_1(value: object) -> None:
    with pytest.raises(telex.BadOption, match="at least 1") as raised:
        spec(waits, concurrency=value)
    assert raised.value.option == "concurrency"


def test_a_plain_function_is_called_once_at_a_time() -> None:
    with pytest.raises(telex.BadOption, match="one after the other"):
        spec(plain, concurrency=2)
    assert spec(plain, concurrency=2, middleware=[lambda inner: inner]).is_async


# -- groups


def test_the_group_of_a_handler() -> None:
    retry = telex.Retry(attempts=2)
    found = spec(writes, group="g", retry=retry, lease="10s", dead_letter="dead", start="new", tx=True)
    assert found.group == GroupSpec("g", retry, 10.0, "dead", "new", True)
    assert spec(waits, group="g").group == GroupSpec("g", telex.Retry(), 30.0, None, "earliest", False)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retry", telex.Retry()),
        ("lease", 5),
        ("dead_letter", "dead"),
        ("start", "new"),
        ("start", "earliest"),
        ("lease", 30.0),
        ("tx", True),
    ],
)
def test_options_of_a_group_need_a_group(option: str, value: Any) -> None:
    with pytest.raises(telex.BadOption, match="group") as raised:
        spec(waits, **{option: value})
    assert raised.value.option == option


@pytest.mark.parametrize(
    ("option", "value"),
    [("buffer", 7), ("buffer_bytes", 9), ("overflow", "block"), ("key", len), ("block_timeout", 5)],
)
def test_a_group_has_no_options_of_a_subscriber(option: str, value: Any) -> None:
    with pytest.raises(telex.BadOption) as raised:
        spec(waits, group="g", **{option: value})
    assert raised.value.option == option


@pytest.mark.parametrize(
    ("function", "options", "error", "fix"),
    [
        (settles, {}, telex.BadHandler, "only a handler of a group has a Context"),
        (of_a_command, {}, telex.BadHandler, r"'ctx'.*in a handler with group= annotate telex\.Context"),
        (of_batches, {"group": "g"}, telex.BadHandler, r"'ctx'.*give batch=, such as batch=100"),
        (of_a_command, {"group": "g", "batch": 2}, telex.BadHandler, r"with batch= annotate telex\.BatchContext"),
        (of_a_command, {"group": "g"}, telex.BadHandler, r"in a handler with group= annotate telex\.Context"),
        (writes, {}, telex.BadHandler, r"group='name', tx=True"),
        (writes, {"group": "g"}, telex.BadHandler, "give tx=True"),
        (waits, {"group": "g", "tx": True}, telex.BadHandler, "tx: telex.Transaction"),
        (writes_and_settles, {"group": "g", "tx": True}, telex.BadHandler, "take no Context"),
        (plain, {"group": "g", "tx": True}, telex.BadHandler, "async def"),
        (waits, {"group": "g", "tx": 1}, telex.BadOption, "True or False"),
        (waits, {"group": 5}, telex.BadOption, "such as 'billing'"),
        (waits, {"group": "a b"}, telex.BadName, "white"),
        (waits, {"group": "g", "retry": 3}, telex.BadOption, "telex.Retry"),
        (waits, {"group": "g", "lease": 0.09}, telex.BadOption, r"at least 0\.1 s"),
        (waits, {"group": "g", "dead_letter": "a:*"}, telex.BadName, "patterns"),
        (waits, {"group": "g", "start": -1}, telex.BadOption, "not be negative"),
    ],
)
def test_mistakes_about_groups_name_the_fix(
    function: Callable[..., object], options: dict[str, Any], error: type[Exception], fix: str
) -> None:
    with pytest.raises(error, match=fix) as raised:
        spec(function, **options)
    if isinstance(raised.value, telex.BadHandler):
        assert raised.value.handler.endswith(function.__name__)


def test_a_group_says_which_pattern_it_takes_from() -> None:
    with pytest.raises(telex.BadOption, match="which pattern it takes from"):
        spec(waits, int, group="g")


# -- routers and middleware


def test_a_prefix_comes_before_every_pattern() -> None:
    found = spec(plain, "a", "b:*")
    assert found.under("shop").patterns == ("shop:a", "shop:b:*")
    assert found.under("") is found
    with pytest.raises(telex.BadName):
        found.under("x" * 255)


def test_outer_middleware_comes_first_and_makes_the_call_async() -> None:
    def outer(next: Next) -> Next:
        return next

    def own(next: Next) -> Next:
        return next

    found = spec(plain, middleware=[own])
    assert found.within([outer]).middleware == (outer, own)
    assert found.within(()) is found
    assert not spec(plain).is_async
    assert spec(plain).within([outer]).is_async


# -- calling


def runtime(engine: Any = None) -> Runtime:
    return Runtime(MemoryEngine() if engine is None else engine, "memory://", "the hub")


def test_a_call_passes_what_the_function_asks_for() -> None:
    got: list[object] = []

    def function(of: telex.Hub, message: telex.Message[int], content: int) -> None:
        got.extend((of, message, content))

    message = telex.Message.new(5)
    spec(function).bind(runtime())(message)
    assert got == ["the hub", message, 5]


def test_content_is_converted_only_where_it_comes_from_outside() -> None:
    typed, bare, dispatched = spec(plain), spec(lambda content: None), spec(plain, "a", int)
    inside, outside = runtime(), runtime(PretendEngine(Server()))
    assert typed.content(inside) is None
    taken = typed.content(outside)
    assert isinstance(taken, Content)
    assert taken.declared is int
    assert bare.content(outside) is None
    assert dispatched.content(outside) is None
    with pytest.raises(telex.ContentError):
        typed.bind(outside)(telex.Message.new("text"))
    typed.bind(inside)(telex.Message.new("text"))


def test_a_plain_function_that_blocks_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def blocks(seconds: float) -> None:
        now[0] += seconds

    call = spec(blocks).bind(runtime())
    for took in (0.09, 0.2, 0.3):
        call(telex.Message.new(took))
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "blocks blocked the event loop for 200 ms" in record.getMessage()


def test_a_function_that_raises_late_is_logged_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def blocks(seconds: float) -> None:
        now[0] += seconds
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        spec(blocks).bind(runtime())(telex.Message.new(0.5))
    assert "for 500 ms" in caplog.text
