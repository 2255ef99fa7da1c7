"""Deliveries and retries: the waits between attempts, settling by hand once, content of the handler's type."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import telex
from telex.codec.content import Content
from telex.engines.contract.groups import Action, Delivery
from telex.handlers.context import Misfit, delivery_of, shaped


class Order(msgspec.Struct):
    number: int


# -- retries


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        (telex.Retry(jitter=0), [1, 2, 4, 8, 16]),
        (telex.Retry(first="500ms", factor=10, most="1m", jitter=0), [0.5, 5, 50, 60, 60]),
        (telex.Retry(first=0, jitter=0), [0, 0, 0]),
        (telex.Retry(first=5, factor=1, jitter=0), [5, 5, 5]),
        (telex.Retry(first=3, most=3, jitter=0), [3, 3]),
    ],
)
def test_each_wait_is_longer_by_the_factor_up_to_the_longest(retry: telex.Retry, waits: list[float]) -> None:
    assert [retry.delay(attempt, 0.5) for attempt in range(1, len(waits) + 1)] == waits


def test_a_wait_differs_by_its_jitter() -> None:
    retry = telex.Retry(first=8, jitter=0.25)
    assert [retry.delay(1, chance) for chance in (0.0, 0.5, 1.0)] == [6, 8, 10]
    assert telex.Retry(first=8, jitter=1).delay(1, 0.0) == 0


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(1, 1e6), st.floats(0, 1), st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_wait_is_bounded_for_every_attempt(
    attempt: int, chance: float, factor: float, jitter: float, first: float, most: float
) -> None:
    first, most = sorted((first, most))
    wait = telex.Retry(first=first, factor=factor, most=most, jitter=jitter).delay(attempt, chance)
    assert 0 <= wait <= most * (1 + jitter)


@pytest.mark.parametrize(("first", "wait"), [(1, 300), (0, 0)])
def test_the_waits_after_many_attempts_are_the_longest(first: float, wait: float) -> None:
    assert telex.Retry(first=first, factor=65536, jitter=0).delay(10**9, 0.5) == wait


def test_the_longest_wait_cannot_be_shorter_than_the_first() -> None:
    with pytest.raises(telex.BadOption, match="it must be at least first, 3600 s"):
        telex.Retry(first="1h")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("attempts", value) for value in (0, -1, True, 1.5, "3", None)],
        *[("factor", value) for value in (0.9, 0, float("nan"))],
        *[("jitter", value) for value in (-0.1, 1.1, float("nan"))],
        *[(name, value) for name in ("first", "most") for value in (-1, "soon", None)],
    ],
)
def test_a_retry_out_of_range_is_refused(option: str, value: Any) -> None:
    with pytest.raises(telex.BadOption) as raised:
        telex.Retry(**{option: value})
    assert raised.value.option == option


# -- settling by hand


class Settled:
    """The engine's side: what was asked for, and whether it wins."""

    def __init__(self, *, wins: bool = True) -> None:
        self.asked: list[tuple[Action, float, str]] = []
        self.wins = wins
        self.fails = False

    async def _answer(self) -> bool:
        return self.wins

    def __call__(self, delivery: Delivery, action: Action, seconds: float, reason: str) -> Any:
        if self.fails:
            raise telex.Misuse("settle", "not here")
        self.asked.append((action, seconds, reason))
        return self._answer()


def delivery(content: object = 5, attempt: int = 2) -> Delivery:
    message: telex.Message[Any] = telex.Message.new(content, topic="orders:1", seq=7)
    return Delivery(message, 1, attempt, 1)


def context(settled: Settled, takes: Content[Any] | None = None, content: object = 5) -> telex.Context[Any]:
    return telex.Context(delivery(content), "billing", settled, takes)


async def test_a_context_says_what_was_delivered() -> None:
    given = delivery()
    found: telex.Context[int] = telex.Context(given, "billing", Settled())
    assert delivery_of(found) is given
    assert (found.message, found.attempt, found.group, found.settled) == (given.message, 2, "billing", None)
    assert repr(found) == "<Context of 'orders:1' 7, group 'billing', attempt 2>"


CALLS: dict[str, Any] = {
    "ack": lambda context: context.ack(),
    "nack": lambda context: context.nack("2s"),
    "reject": lambda context: context.reject("no"),
}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(CALLS, repeat=2)))
async def test_the_first_settlement_wins(first: str, second: str) -> None:
    settled = Settled()
    found = context(settled)
    assert await CALLS[first](found) is True
    assert await CALLS[second](found) is False
    assert found.settled == first
    expected = {"ack": ("ack", 0, ""), "nack": ("nack", 2, "the handler asked for a redelivery")}
    assert settled.asked == [expected.get(first, ("reject", 0, "no"))]


async def test_a_settlement_that_the_engine_refuses_has_not_won() -> None:
    found = context(Settled(wins=False))
    assert await found.ack() is False
    assert found.settled == "ack"


async def test_a_settlement_that_was_not_accepted_may_be_tried_again() -> None:
    settled = Settled()
    found = context(settled)
    settled.fails = True
    with pytest.raises(telex.Misuse):
        await found.ack()
    assert found.settled is None
    settled.fails = False
    assert await found.ack()


async def test_extending_settles_nothing() -> None:
    settled = Settled()
    found = context(settled)
    assert await found.extend("1m")
    assert await found.extend(5)
    assert await found.ack()
    assert settled.asked == [("extend", 60, ""), ("extend", 5, ""), ("ack", 0, "")]


@pytest.mark.parametrize("call", [lambda context: context.nack("soon"), lambda context: context.extend(-1)])
async def test_a_bad_duration_settles_nothing(call: Any) -> None:
    settled = Settled()
    found = context(settled)
    with pytest.raises(telex.BadOption):
        await call(found)
    assert (found.settled, settled.asked) == (None, [])


async def test_any_reason_is_stored_as_text() -> None:
    settled = Settled()
    await context(settled).reject(ValueError("caf\udce9"))  # type: ignore[arg-type]  # on purpose
    assert settled.asked == [("reject", 0, r"caf\udce9")]


# -- content of the handler's type


def test_content_from_outside_is_converted_and_the_rest_of_the_message_stays() -> None:
    message: telex.Message[Any] = telex.Message.new({"number": 3}, topic="t", seq=4, headers={"a": "b"})
    found = shaped(message, Content(Order))
    assert found.content == Order(3)
    assert (found.id, found.topic, found.seq, dict(found.headers)) == (message.id, "t", 4, {"a": "b"})
    assert context(Settled(), Content(Order), {"number": 3}).message.content == Order(3)


def test_content_that_fits_is_not_copied() -> None:
    message: telex.Message[Any] = telex.Message.new(Order(3))
    assert shaped(message, Content(Order)) is message


def test_content_that_does_not_fit_is_a_misfit_with_its_path() -> None:
    with pytest.raises(Misfit) as raised:
        shaped(telex.Message.new({"number": "x"}, topic="t"), Content(Order))
    assert (raised.value.topic, raised.value.path) == ("t", "$.number")


class Refuses(Content[int]):
    def check(self, content: object, topic: str, type: str | None = None) -> int:
        raise RuntimeError("the type's own code")


def test_an_error_of_the_type_itself_is_a_misfit_too() -> None:
    with pytest.raises(Misfit, match="int refuses it, RuntimeError: the type's own code") as raised:
        shaped(telex.Message.new(1, topic="t"), Refuses(int))
    assert isinstance(raised.value.__cause__, RuntimeError)
