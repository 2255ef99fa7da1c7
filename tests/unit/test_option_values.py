"""Every option of a public constructor and decorator refuses wrong types and values that are out of range.

The error is raised where the option is given, and names the option. The table has a row for each constructor and
decorator, with the kind of value of each of its options.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

import telex
import telex.blocking
import telex.codec
import telex.dashboard
import telex.middleware
import telex.observe
import telex.once
from telex.ext import fastapi, litestar, sse
from telex.gateway import AccessRules, Commands, Gateway, Limits, Monitoring, uvicorn_options

Values = tuple[Any, ...]
THING = object()
WHOLE: Values = (THING, "3", 1.5, math.nan, -1, 0, True, [], b"3")
NUMBER: Values = (THING, "3", math.nan, -1, True, [], None, math.inf)
POSITIVE = (*NUMBER, 0)
DURATION: Values = (THING, "soon", -1, math.nan, [], True, b"1s", math.inf)
LENGTH = (*DURATION, None)
FUNCTION: Values = ("x", 1, THING, [])
NAME = (1, b"x", THING, ["a"], True, 1.5, "a b")
FLAG = ("yes", 1, THING, None)
STEPS = (5, THING, [1], ["x"], "x", lambda step: step)
ONE_OF: Values = (1, "never", THING, [])
LIST = ("a", 5, THING, [1])
START: Values = (THING, "old", -1, 1.5, True, [])
OBJECT = (1, "x", THING)
OPTIONAL_FLAG = ("yes", 1, THING)


async def handle(content: object) -> None: ...


def on(**options: Any) -> object:
    return telex.Hub().on("x", **options)(handle)


def command(**options: Any) -> object:
    return telex.Hub().command("x", **options)(handle)


def when(**options: Any) -> object:
    hub = telex.Hub()
    return hub.when(**{"condition": hub.variable("n", 0) > 3, "topic": "t", **options})


def with_hub(make: Callable[..., object], **usual: Any) -> Callable[..., object]:
    """Return ``make`` of a new hub and of the usual options."""
    return lambda **options: make(telex.Hub(), **{**usual, **options})


def timed(name: str, **usual: Any) -> Callable[..., object]:
    return lambda **options: getattr(telex.Hub(), name)(**{"topic": "t", **usual, **options})


TIMED = {"topic": NAME, "name": NAME, "misfire": (*ONE_OF, None), "run_in": ONE_OF}
OF_THE_GATEWAY = {
    "rules": (*OBJECT, {}, None),
    "limits": (*OBJECT, {}, None),
    "origins": (*LIST, "https://a", ["*"], ["a.example"], ["https://a/"]),
    "hosts": LIST,
    "local": OPTIONAL_FLAG,
}
TABLE: dict[str, tuple[Callable[..., object], dict[str, Values]]] = {
    "Retry": (
        telex.Retry,
        {"attempts": WHOLE, "first": LENGTH, "factor": (*NUMBER, 0.5), "most": LENGTH, "jitter": (*NUMBER, 1.1)},
    ),
    "Depends": (partial(telex.Depends, handle), {"scope": (*ONE_OF, None)}),
    "Depends of a factory": (telex.Depends, {"factory": FUNCTION}),
    "Hub": (
        telex.Hub,
        {
            "url": (1, THING, "nope://x", "", b"x", []),
            "timeout": DURATION,
            "close_timeout": LENGTH,
            "lifespan": FUNCTION,
            "middleware": STEPS,
            "clock": FUNCTION,
            "observe": (*OBJECT, [1]),
            "codecs": (*OBJECT, [1]),
            "transforms": (*OBJECT, [1]),
            "content_type": (*NAME, "x/y"),
            "content_encoding": (*NAME, "zz"),
            "threads": (*WHOLE, None),
            "processes": WHOLE,
            "overrides": (1, "x", [1], {1: 2}, {handle: 1}, THING),
        },
    ),
    "blocking.Hub": (telex.blocking.Hub, {"timeout": DURATION, "middleware": STEPS, "threads": WHOLE}),
    "Router": (telex.Router, {"prefix": NAME, "middleware": STEPS}),
    "on": (
        on,
        {
            "concurrency": WHOLE,
            "buffer": (*WHOLE, None),
            "buffer_bytes": WHOLE,
            "overflow": (*ONE_OF, None),
            "key": FUNCTION,
            "block_timeout": LENGTH,
            "middleware": STEPS,
            "run_in": ONE_OF,
        },
    ),
    "on of a group": (
        partial(on, group="g"),
        {
            "group": NAME,
            "retry": (*OBJECT, {}),
            "lease": (*DURATION, 0, "10ms"),
            "dead_letter": NAME,
            "start": START,
            "tx": FLAG,
            "batch": WHOLE,
        },
    ),
    "on of batches": (partial(on, group="g", batch=3), {"within": LENGTH}),
    "command": (
        command,
        {
            "once": FLAG,
            "lease": (*LENGTH, 0),
            "keep": (*DURATION, 0),
            "concurrency": WHOLE,
            "middleware": STEPS,
            "run_in": ONE_OF,
        },
    ),
    "command that runs once": (
        partial(command, once=True),
        {
            "keep": (*DURATION, 0),
            "max_attempts": WHOLE,
            "backoff": DURATION,
            "version": WHOLE,
            "store": OBJECT,
            "run_anyway": FLAG,
        },
    ),
    "command by name": (lambda name: telex.Hub().command(name)(handle), {"name": NAME}),
    "every": (timed("every", period="1s"), {"period": (*LENGTH, 0), "jitter": LENGTH, **TIMED}),
    "cron": (
        timed("cron", expression="* * * * *"),
        {"expression": (*NAME, "61 * * * *"), "tz": ("Mars", None, 1, ""), "jitter": LENGTH, **TIMED},
    ),
    "at": (timed("at", when=datetime.now(UTC)), {"when": (*OBJECT, None, datetime(2030, 1, 1)), **TIMED}),  # noqa: DTZ001  # naive on purpose
    "after": (timed("after", delay="1s"), {"delay": LENGTH, **TIMED}),
    "when": (
        when,
        {
            "condition": (*OBJECT, None, True),
            "every": ("1s",),
            "topic": NAME,
            "name": NAME,
            "rising": FLAG,
            "hysteresis": NUMBER,
            "keys": WHOLE,
            "run_in": ONE_OF,
        },
    ),
    "when of a function": (
        partial(when, condition=lambda: True, every="1s"),
        {"every": (*LENGTH, 0), "rising": FLAG, "run_in": (*ONE_OF, "process")},
    ),
    "variable": (with_hub(telex.Hub.variable, name="n", initial=0), {"name": NAME, "type": OBJECT}),
    "rate": (with_hub(telex.Hub.rate, pattern="a", per="1s"), {"pattern": NAME, "per": (*LENGTH, 0), "by": (1, THING)}),
    "topic": (
        with_hub(telex.Hub.topic, id="n"),
        {"id": NAME, "type": OBJECT, "content_type": (*NAME, "x/y"), "content_encoding": (*NAME, "zz")},
    ),
    "retain": (
        with_hub(telex.Hub.retain, pattern="n"),
        {"pattern": NAME, "messages": ("3", -1, 1.5, True), "age": DURATION, "bytes": ("3", -1, 1.5, True)},
    ),
    "subscribe": (
        lambda **options: telex.Hub().topic("t").subscribe(**options),
        {
            "start": START,
            "buffer": WHOLE,
            "buffer_bytes": WHOLE,
            "overflow": ONE_OF,
            "key": FUNCTION,
            "report_lost": FLAG,
            "block_timeout": LENGTH,
            "timeout": DURATION,
        },
    ),
    "Limits": (Limits, dict.fromkeys(Limits.__struct_fields__, POSITIVE)),
    "AccessRules": (AccessRules, dict.fromkeys(AccessRules.__struct_fields__, (*LIST, ("a b",), iter("a"), None))),
    "Gateway": (with_hub(Gateway), {"authorizer": ("x", 1, THING), **OF_THE_GATEWAY}),
    "Gateway of a hub": (Gateway, {"hub": OBJECT}),
    "Commands": (with_hub(Commands), OF_THE_GATEWAY),
    "Commands of a hub": (Commands, {"hub": OBJECT}),
    "Monitoring": (with_hub(Monitoring), {"metrics": OBJECT, "allow": (*LIST, ["x"])}),
    "Monitoring of a hub": (Monitoring, {"hub": OBJECT}),
    "uvicorn_options": (uvicorn_options, {"limits": (*OBJECT, {}, None)}),
    "Dashboard": (with_hub(telex.dashboard.Dashboard), {"auth": ("x", 1, THING), "hosts": LIST}),
    "Dashboard of a hub": (telex.dashboard.Dashboard, {"hub": (*OBJECT, telex.blocking.Hub())}),
    "OpenTelemetry": (telex.observe.OpenTelemetry, {"provider": OBJECT, "sample": (*NUMBER, 2)}),
    "Prometheus": (telex.observe.Prometheus, {"registry": (*OBJECT, 0), "topics": (*LIST, ["a b"])}),
    "Monitor": (with_hub(telex.observe.Monitor), {"metrics": OBJECT}),
    "Monitor of a hub": (telex.observe.Monitor, {"hub": OBJECT}),
    "MonitorServer": (
        lambda **options: telex.observe.MonitorServer(
            **{"monitor": telex.observe.Monitor(telex.Hub()), "host": "127.0.0.1", "port": 0, **options}
        ),
        {"monitor": OBJECT, "host": (1, None, THING), "port": ("9100", -1, 65536, 1.5, True, None)},
    ),
    "middleware.deduplicate": (telex.middleware.deduplicate, {"key": FUNCTION, "keep": DURATION, "most": WHOLE}),
    "middleware.rate_limit": (
        partial(telex.middleware.rate_limit, calls=1),
        {"calls": POSITIVE, "per": (*LENGTH, 0), "burst": WHOLE},
    ),
    "middleware.retry": (
        telex.middleware.retry,
        {"attempts": WHOLE, "first": LENGTH, "factor": (*NUMBER, 0.5), "most": LENGTH},
    ),
    "middleware.timeout": (telex.middleware.timeout, {"limit": LENGTH}),
    "once.PostgresStore": (
        partial(telex.once.PostgresStore, conninfo="postgresql://x"),
        {"conninfo": (1, b"x", None), "table": (1, "a b", ""), "connections": WHOLE, "timeout": LENGTH},
    ),
    "sse.events": (
        lambda **options: sse.events(telex.Hub().topic("t"), **options),
        {"heartbeat": (*LENGTH, 0), "start": START, "last_event_id": (*OBJECT,)},
    ),
    "fastapi.lifespan": (fastapi.lifespan, {"hub": (*OBJECT, None)}),
    "litestar.TelexPlugin": (with_hub(litestar.TelexPlugin), {"name": (1, "", "a b")}),
}
CALLED = {"expression": "cron", "id": "name", "last_event_id": "position", "pattern": "name"}
"""Other words by which errors call positional arguments."""


@pytest.mark.parametrize("name", TABLE)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(name: str) -> None:
    make, options = TABLE[name]
    for option, values in options.items():
        for value in values:
            error = refusal(make, option, value)
            assert error is not None, f"{option}={value!r} is taken"
            named = getattr(error, "option", None)
            assert option in str(error) or named in (option, CALLED.get(option)), f"{option}={value!r}: {error}"


def refusal(make: Callable[..., object], option: str, value: object) -> telex.TelexError | None:
    try:
        make(**{option: value})
    except telex.TelexError as error:
        return error
    return None


def test_the_table_has_every_option_of_a_hub_and_of_a_retry() -> None:
    for cls in (telex.Retry, Limits, AccessRules):
        assert set(TABLE[cls.__name__][1]) == set(cls.__struct_fields__)
    assert set(TABLE["Hub"][1]) == set(telex.Hub.__init__.__annotations__) - {"return"}
