"""The bars that telex promises to reach, in one table with the verdicts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.question import Answer
from bench.ratios import Spread, compact, ratios, spread


@dataclass(frozen=True)
class Bar:
    """A figure of telex, what it is divided by, and what the median over the rounds has to be.

    ``over`` is a contestant and a case, or a function of the answer that gives a divisor for every round; without it
    the figure stands for itself.
    """

    question: str
    what: str
    contestant: str
    case: str
    over: tuple[str, str] | Callable[[Answer], list[float]] | None
    bound: Literal["at least", "at most"]
    limit: float
    unit: str = "×"


def _fan_out(contestant: str, label: str, peer: str, peer_label: str, bars: Mapping[str, float]) -> list[Bar]:
    return [
        Bar("fanout", f"{label} to {case}, over {peer_label}", contestant, case, (peer, case), "at least", limit)
        for case, limit in bars.items()
    ]


def handler_allowance(answer: Answer) -> list[float]:
    """The time that a handler's message may take: 3 microseconds more than the call, or twice the queue and the
    call."""
    calls, queues = answer.values("bare_call", "handler"), answer.values("asyncio_queue", "handler")
    return [max(call + 3.0, 2.0 * queue) for call, queue in zip(calls, queues, strict=True)]


EVERY = ("1", "100", "1000")
KIB = 1024.0
MIB = KIB * KIB
QUEUE = "asyncio_queue"
THERE_AND_BACK = (("publish", "put"), ("publish_nowait", "put_nowait"))

MOST: tuple[Literal["at most"], float] = ("at most", 1.5)

BARS: tuple[Bar, ...] = (
    *_fan_out("telex_iterate", "async for", "go_seed", "the Go program", {"1": 1.5, "100": 1.0, "1000": 1.0}),
    *_fan_out("telex_batches", "batches()", "go_seed", "the Go program", {"100": 2.5, "1000": 2.5}),
    *_fan_out("telex_iterate", "async for", "asyncio_queue", "asyncio.Queue", {"100": 3.0, "1000": 3.0}),
    *_fan_out("telex_iterate", "async for", "faststream_nats", "FastStream", dict.fromkeys(EVERY, 100.0)),
    *_fan_out("telex_iterate", "async for", "bubus_bus", "bubus", dict.fromkeys(EVERY, 300.0)),
    *_fan_out("telex_iterate", "async for", "blinker_send", "blinker's send", dict.fromkeys(EVERY, 3.0)),
    *_fan_out("telex_iterate", "async for", "blinker_send_async", "blinker's send_async", dict.fromkeys(EVERY, 3.0)),
    Bar("publish_cost", "publish_nowait to 1000 busy, over 1 busy", "telex", "1000", ("telex", "1"), "at most", 1.5),
    *(
        Bar(
            "latency",
            f"{ours} to receive, over {theirs} to get",
            "telex",
            ours,
            ("asyncio_queue", ours),
            "at most",
            1.3,
        )
        for ours, theirs in THERE_AND_BACK
    ),
    Bar(
        "latency",
        "one message to a handler, over the larger of the call and 3 µs, or twice asyncio.Queue and the call",
        "telex",
        "handler",
        handler_allowance,
        "at most",
        1.0,
    ),
    *(
        Bar("memory", f"a subscriber that waits in {case}", "telex", case, None, "at most", KIB, " bytes")
        for case in ("async for", "receive", "batches")
    ),
    Bar("memory", "growth over a million publishes", "telex", "million", None, "at most", MIB, " bytes"),
    Bar("durable", "publishing, over raw SQLite", "telex", "publish", ("sqlite", "publish"), "at least", 0.6),
    *(
        Bar("durable", f"consuming with ack, over {peer}", "telex", "consume", (peer, "consume"), "at least", 5.0)
        for peer in ("persist_queue", "litequeue", "huey")
    ),
    Bar("durable", "reading history, over raw SQLite", "telex", "history", ("sqlite", "history"), "at least", 0.5),
    Bar("commands", "hub.call, over a queue and a future by hand", "telex", "call", ("queue", "call"), "at most", 2.5),
    *(
        Bar(
            "commands",
            f"FastStream's request, {what}, over hub.call",
            "faststream",
            case,
            ("telex", case),
            "at least",
            15,
        )
        for case, what in (("call", "one at a time"), ("calls", "64 at once"))
    ),
    *(
        Bar("commands", f"Powertools, {what}, over hub.call", "powertools", case, ("telex", case), "at least", 1.0)
        for case, what in (("once", "a new key"), ("replay", "replayed"))
    ),
    Bar("commands", "a replay from a file, 64 together", "telex_sqlite", "together", None, "at most", 50.0, " µs"),
    Bar("http", "a command by HTTP, over a FastAPI route", "telex", "plain", ("fastapi", "plain"), "at most", 1.5),
    Bar("http", "once, a new key, over a FastAPI route", "telex", "once", ("fastapi", "plain"), "at most", 1.5),
    *(
        Bar(
            "timers",
            f"{what} of 100 thousand, over one of a thousand",
            "telex",
            f"{case}_many",
            ("telex", f"{case}_few"),
            "at most",
            2,
        )
        for case, what in (("add", "adding a timer"), ("cancel", "cancelling one"), ("fire", "firing one"))
    ),
    Bar("timers", "lateness of triggers, over loop.call_at", "telex", "late", ("call_at", "late"), "at most", 1.2),
    *(
        Bar("timers", f"APScheduler, firing {what}, over telex", "apscheduler", case, ("telex", case), "at least", 20)
        for case, what in (
            ("fire_many", "100 thousand"),
            ("periodic", "100 thousand, periodic"),
        )
    ),
    Bar("timers", "idle with 10 thousand timers, of a second", "telex", "idle", None, "at most", 1000, " µs"),
    *(
        Bar("rates", f"to {case} with {what}, over without", watched, case, ("plain", case), "at least", 0.7)
        for watched, what in (("reached", "a rate"), ("below", "a rate that is not reached"), ("by_key", "1000 keys"))
        for case in EVERY
    ),
    Bar("postgres", "publishing, over psycopg", "telex", "publish", ("psycopg", "publish"), "at least", 0.5),
    Bar("postgres_latency", "to another process, over NOTIFY", "telex", "one", ("psycopg", "one"), "at most", 2.0),
    *(
        Bar("postgres_queues", f"consuming with ack, over {peer}", "telex", "consume", (peer, "consume"), "at least", 3)
        for peer in ("procrastinate", "pgqueuer")
    ),
    *(
        Bar("postgres_subscribers", f"{case} for 1000 subscribers, over 1", "thousand", case, ("one", case), *MOST)
        for case in ("statements", "bytes")
    ),
    Bar("postgres_idle", "four idle processes, of a core", "telex", "core", None, "at most", 1, " %"),
    Bar("postgres_idle", "their statements a second", "telex", "statements", None, "at most", 8, ""),
    *(
        Bar("postgres_size", f"{what} with 10 million messages, over 10 thousand", "many", case, ("few", case), *MOST)
        for case, what in (
            ("publish", "publishing"),
            ("end", "reading the last 100"),
            ("page", "a page of history"),
            ("group", "a group's message"),
        )
    ),
    Bar("import_time", "import telex, over what it stands on", "telex", "import", ("bases", "import"), "at most", 1.5),
    Bar("import_time", "web frameworks imported", "telex", "frameworks", None, "at most", 0, ""),
)


@dataclass(frozen=True)
class Verdict:
    """A bar and what became of it; ``measured`` is None when something was absent, and ``why`` says what."""

    bar: Bar
    measured: Spread | None
    why: str = ""

    @property
    def holds(self) -> bool | None:
        """True when the median reaches the bar; None when it was not measured."""
        if self.measured is None:
            return None
        if self.bar.bound == "at least":
            return self.measured.median >= self.bar.limit
        return self.measured.median <= self.bar.limit

    @property
    def word(self) -> str:
        """The verdict for a table."""
        return {True: "holds", False: "MISSES", None: f"not measured: {self.why}"}[self.holds]

    @property
    def bound(self) -> str:
        return f"{self.bar.bound} {amount(self.bar.limit, self.bar.unit)}"


def amount(value: float, unit: str) -> str:
    """A figure of a bar with its unit."""
    return f"{compact(value)}{unit}" if unit == "×" else f"{value:,.0f}{unit}".replace(",", " ")


def judge(answer: Answer) -> list[Verdict]:
    """The verdicts of all bars of one question."""
    return [_verdict(bar, answer) for bar in BARS if bar.question == answer.question.name]


def _verdict(bar: Bar, answer: Answer) -> Verdict:
    figures = answer.values(bar.contestant, bar.case)
    if bar.over is None:
        return Verdict(bar, spread(figures), answer.absent.get(bar.contestant, "no figure"))
    others = answer.values(*bar.over) if isinstance(bar.over, tuple) else bar.over(answer)
    missing = bar.contestant if not figures else bar.over[0] if isinstance(bar.over, tuple) else ""
    if not figures or not others:
        return Verdict(bar, None, answer.absent.get(missing, "no figure"))
    return Verdict(bar, spread(ratios(figures, others)))
