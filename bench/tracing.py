"""The cost of tracing: a message, its handler and a command with tracing off, and with one trace in a hundred."""

from collections.abc import Awaitable, Callable
from functools import partial

from bench.latency import paced
from bench.peers import CONTENT
from bench.question import Contestant, Question
from bench.worker import run

SECONDS = 0.04

QUESTION = Question(
    name="tracing",
    title="The cost of tracing",
    method=(
        "Publish: one task publishes to a topic that nobody reads. Handler: one task publishes and yields to the event "
        "loop until a handler has run. Call: one task calls a command and gets its result. In memory; on: "
        "`OpenTelemetry(sample=0.01)` with a provider of the SDK that discards the spans. Metrics: `Prometheus()`."
    ),
    unit="microseconds",
    better="less",
    cases={"publish": "publish", "handler": "publish and handle", "call": "call a command"},
    contestants=(
        Contestant("off", "off"),
        Contestant("on", "on, 1 %"),
        Contestant("metrics", "metrics"),
    ),
    rounds=9,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Microseconds a message."""
    return run(_measured(contestant, case, 0.0 if quick else SECONDS)), 0


def _observer(contestant: str) -> object:
    if contestant == "off":
        return None
    if contestant == "metrics":
        from prometheus_client import CollectorRegistry

        from telex.observe import Prometheus

        return Prometheus(CollectorRegistry())
    from opentelemetry.sdk.trace import TracerProvider

    from telex.observe import OpenTelemetry

    return OpenTelemetry(TracerProvider(shutdown_on_exit=False), sample=0.01)


async def _measured(contestant: str, case: str, seconds: float) -> float:
    import asyncio

    import telex

    hub = telex.Hub("memory://", observe=_observer(contestant))  # type: ignore[arg-type]  # one of telex.observe
    handled = 0

    @hub.on("handled")
    async def handle(content: str) -> None:
        nonlocal handled
        handled += 1

    @hub.command("echo")
    async def echo(content: str) -> str:
        return content

    async with hub:
        topic = hub.topic("handled")

        async def there() -> None:
            before = handled
            await topic.publish(CONTENT)
            while handled == before:  # noqa: ASYNC110  # as in bench/latency.py
                await asyncio.sleep(0)

        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "publish": partial(hub.topic("unread").publish, CONTENT),
            "handler": there,
            "call": partial(hub.call, "echo", CONTENT),
        }
        return await paced(steps[case], seconds)
