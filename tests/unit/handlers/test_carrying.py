"""A handler whose messages get the trace context and correlation id of the handled message."""

from typing import Any

import telex
from telex.handlers.carrying import carrying
from telex.observe.headers import Carrier, carried


def switch() -> tuple[Carrier, list[bool]]:
    changed: list[bool] = []
    return Carrier(lambda: changed.append(True)), changed


async def test_the_headers_are_set_while_the_function_runs_and_no_longer() -> None:
    carrier, changed = switch()

    async def handler(message: telex.Message[int]) -> Any:
        return dict(carried.get() or {})

    message = telex.Message.new(1, headers={"correlation-id": "7", "color": "red"})
    assert await carrying(handler, carrier)(message) == {"correlation-id": "7"}
    assert carrying(lambda message: dict(carried.get() or {}), carrier)(message) == {"correlation-id": "7"}
    assert carried.get() is None
    assert (carrier.active, changed) == (True, [True])


def test_a_message_without_such_headers_switches_nothing_on() -> None:
    carrier, changed = switch()
    call = carrying(lambda message: carried.get(), carrier)
    assert call(telex.Message.new(1)) is call(telex.Message.new(1, headers={"color": "red"})) is None
    assert (carrier.active, changed) == (False, [])
