"""Declarations of commands: names, options, arguments of the function, middleware."""

import msgspec
import pytest

import telex
import telex.middleware
from telex.commands.spec import KINDS


class Month(msgspec.Struct):
    number: int


def test_mistakes_in_declaring() -> None:
    hub = telex.Hub()

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    with pytest.raises(telex.BadOption, match="double carries it out already"):
        hub.command("double", run_in="loop")(lambda number: 3 * number)
    with pytest.raises(telex.BadHandler, match=r"@hub.command\('double'\), not @hub.command"):
        hub.command(double)  # type: ignore[arg-type]  # a name that was forgotten
    with pytest.raises(telex.BadName):
        hub.command("a b", run_in="loop")(double)
    with pytest.raises(telex.BadOption, match="only a command with once=True"):
        hub.command("other", version=2)(double)
    with pytest.raises(telex.BadOption, match="must be more than 0; leave it out to keep no outcomes"):
        hub.command("other", keep=0)(double)
    with pytest.raises(telex.BadOption, match="at least 1"):
        hub.command("other", concurrency=0, run_in="loop")(double)
    with pytest.raises(telex.BadOption, match=r"at least 0\.1 s"):
        hub.command("other", lease="1ms", run_in="loop")(double)
    with pytest.raises(telex.BadOption, match="longer than the lease"):
        hub.command("other", once=True, lease="1h", keep="1m", run_in="loop")(double)

    async def two(one: int, other: int) -> None: ...

    with pytest.raises(telex.BadHandler, match="one content"):
        hub.command("other", run_in="loop")(two)

    async def of_a_group(content: int, context: telex.Context[int]) -> None: ...

    with pytest.raises(telex.BadHandler, match=r"'context'.*in a command annotate telex\.CommandContext"):
        hub.command("other")(of_a_group)

    async def of_both(number: int, context: telex.Context[int] | None = None) -> None: ...

    hub.command("of_both")(of_both)

    async def late(content: int, tx: telex.Transaction) -> None: ...

    with pytest.raises(telex.BadHandler, match="once=True"):
        hub.command("other", run_in="loop")(late)

    def yields(content: int):  # type: ignore[no-untyped-def]  # on purpose
        yield 1

    with pytest.raises(telex.BadHandler, match="it is a generator; to stream parts write `async def`"):
        hub.command("other")(yields)


async def test_handlers_ask_for_what_they_want(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("one")
    async def one(ctx: telex.CommandContext[int], content: int, of: telex.Hub, message: telex.Message[int]) -> str:
        assert ctx.content == content == message.content
        assert of is hub
        assert ctx.id == message.id
        return f"{ctx.command} {ctx.attempt} {ctx.fence}"

    async with hub:
        assert await hub.call("one", 1) == "one 1 0"


async def test_a_router_has_commands() -> None:
    orders = telex.Router("orders")

    @orders.command("count")
    async def count() -> int:
        return 3

    hub = telex.Hub()
    hub.include_router(orders, "shop")
    async with hub:
        assert await hub.call("shop:orders:count") == 3


async def test_middleware_stands_around(url: str) -> None:
    seen = []

    def watched(next: telex.middleware.Next) -> telex.middleware.Next:
        async def step(message: telex.Message[object]) -> object:
            seen.append(message.content)
            return await next(message)

        return step

    hub = telex.Hub(url, middleware=[watched])

    @hub.command("double", run_in="loop")
    def double(number: int) -> int:
        return 2 * number

    async with hub:
        assert await hub.call("double", 21) == 42
    assert seen == [21]


async def test_middleware_the_message_and_the_context_have_content_of_the_annotated_type(url: str) -> None:
    hub = telex.Hub(url, middleware=[telex.middleware.timeout("5s")])

    @hub.command("content")
    async def content(month: Month) -> str:
        return repr(month)

    @hub.command("message")
    async def message(message: telex.Message[Month]) -> str:
        return repr(message.content)

    @hub.command("context")
    async def context(month: Month, context: telex.CommandContext[Month]) -> str:
        return repr(context.message.content)

    async with hub:
        for name in ("content", "message", "context"):
            assert await hub.call(name, Month(11)) == "Month(number=11)"


@pytest.mark.parametrize(
    ("hint", "wanted"),
    [
        ("telex.CommandContext[int]", "context"),
        ("Message[Order]", "message"),
        ("telex.Hub", "hub"),
        ("Transaction", "tx"),
        ("shop.Order", "content"),
        ("list[Message]", "content"),
    ],
)
def test_an_annotation_that_is_text_is_told_by_its_name(hint: str, wanted: str) -> None:
    assert KINDS.of(hint) == wanted
