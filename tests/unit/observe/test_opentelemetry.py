"""Spans of published and handled messages, by the semantic conventions for messaging."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import telex
from telex.observe import OpenTelemetry
from tests.support.loops import until

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    """A provider, and its finished spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> list[ReadableSpan]:
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.all if span.name == name]
        return span

    def tree(self) -> list[str]:
        by_id = {span.context.span_id: span for span in self.all}

        def depth(span: ReadableSpan) -> int:
            above = by_id.get(span.parent.span_id) if span.parent else None
            return 0 if above is None else 1 + depth(above)

        return [depth(span) * "  " + span.name for span in self.all]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def hub_on(engine: str, folder: Path, spans: Spans, **options: Any) -> telex.Hub:
    url = "memory://" if engine == "memory" else f"sqlite:///{folder}/x.db"
    return telex.Hub(url, observe=OpenTelemetry(spans.provider, **options))


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_a_message_and_everything_that_it_causes_are_one_tree(engine: str, tmp_path: Path, spans: Spans) -> None:
    hub = hub_on(engine, tmp_path, spans)

    @hub.on("orders:*")
    async def take(content: int) -> None:
        await hub.topic("bills").publish(content)

    @hub.on("bills", group="billing")
    async def bill(content: int) -> None:
        await hub.call("pay", content)

    @hub.command("pay")
    async def pay(content: int) -> None:
        await hub.topic("paid").publish(content)

    async with hub:
        await hub.topic("orders:1").publish(7)
        await hub.idle()
    assert spans.tree() == [
        "send orders:1",
        "  process orders:*",
        "    send bills",
        "      process bills",
        "        send $command:pay:request",
        "          process $command:pay:request",
        "            send paid",
    ]
    assert len({span.context.trace_id for span in spans.all}) == 1


async def test_spans_have_the_attributes_of_the_conventions(tmp_path: Path, spans: Spans) -> None:
    hub = hub_on("sqlite", tmp_path, spans)

    @hub.on("bills:*", group="billing")
    async def bill(content: int) -> None: ...

    async with hub:
        message = await hub.topic("bills:1").publish(7, headers={"correlation-id": "order 7", "traceparent": PARENT})
        await hub.idle()
    both = {
        "messaging.system": "telex",
        "messaging.destination.name": "bills:1",
        "messaging.message.id": message.id,
        "messaging.message.conversation_id": "order 7",
    }
    sent, processed = spans.all
    assert sent.attributes == both | {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert processed.attributes == both | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "billing",
        "messaging.destination.template": "bills:*",
        "telex.handler": bill.__qualname__,
    }
    assert (sent.kind.name, processed.kind.name) == ("PRODUCER", "CONSUMER")
    assert sent.parent is not None
    assert f"{sent.parent.span_id:016x}" == PARENT[36:52]
    assert f"{sent.context.span_id:016x}" in message.headers["traceparent"]


async def test_a_handler_that_raises_ends_its_span_as_an_error(tmp_path: Path, spans: Spans) -> None:
    hub = hub_on("memory", tmp_path, spans)

    @hub.on("orders", run_in="loop")
    def take(content: int) -> None:
        raise ValueError("mine")

    async with hub:
        hub.topic("orders").publish_nowait(1)
        await hub.idle()
    span = spans.named("process orders")
    assert (span.status.status_code.name, span.status.description) == ("ERROR", "mine")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert span.events[0].name == "exception"


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_a_command_that_fails_ends_its_span_as_an_error(
    engine: str, once: bool, tmp_path: Path, spans: Spans
) -> None:
    hub = hub_on(engine, tmp_path, spans)

    @hub.command("pay", once=once)
    async def pay(content: int) -> None:
        raise telex.CommandError("card declined", code="declined")

    async with hub:
        with pytest.raises(telex.CommandFailed):
            await hub.call("pay", 1, key="k" if once else None)
        await hub.idle()
    span = spans.named("process $command:pay:request")
    assert (span.status.status_code.name, span.status.description) == ("ERROR", "card declined")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "CommandError"
    assert dict(span.events[0].attributes or {}) == {
        "exception.type": "CommandError",
        "exception.message": "card declined",
    }


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_everything_that_a_trigger_publishes_is_one_tree(engine: str, tmp_path: Path, spans: Spans) -> None:
    hub = hub_on(engine, tmp_path, spans)

    @hub.every("24h", name="mornings")
    async def remind() -> None:
        await hub.topic("mails").publish(1)
        await hub.topic("letters").publish(2)

    async with hub:
        await hub.trigger("mornings").fire()
        await until(lambda: len(spans.all) == 3)
    assert spans.tree() == ["process $trigger:mornings", "  send mails", "  send letters"]


async def test_a_publish_that_fails_ends_its_span_as_an_error(tmp_path: Path, spans: Spans) -> None:
    hub = hub_on("sqlite", tmp_path, spans)
    async with hub:
        with pytest.raises(telex.ContentError):
            await hub.topic("orders").publish(object())
    assert spans.named("send orders").status.status_code.name == "ERROR"


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_a_trace_that_is_not_sampled_goes_on_without_spans(engine: str, tmp_path: Path, spans: Spans) -> None:
    hub = hub_on(engine, tmp_path, spans)
    unsampled = PARENT[:-1] + "0"

    @hub.on("orders", group="g")
    async def take(content: int) -> None:
        await hub.topic("bills").publish(content)

    async with hub:
        await hub.topic("orders").publish(1, headers={"traceparent": unsampled})
        await hub.idle()
        found = [message.headers["traceparent"] async for message in hub.topic("bills").history()]
    assert found == [unsampled]
    assert spans.all == []


async def test_a_share_of_the_messages_begins_a_trace(tmp_path: Path, spans: Spans) -> None:
    hub = hub_on("memory", tmp_path, spans, sample=0.1)
    async with hub:
        for number in range(2000):
            await hub.topic("orders").publish(number)
    assert 120 < len(spans.all) < 280


async def test_no_message_begins_a_trace_with_a_sample_of_0(tmp_path: Path, spans: Spans) -> None:
    hub = hub_on("memory", tmp_path, spans, sample=0)
    async with hub:
        await hub.topic("orders").publish(1)
        await hub.topic("orders").publish(1, headers={"traceparent": PARENT})
    assert [span.name for span in spans.all] == ["send orders"]


async def test_the_span_of_a_batch_links_to_the_trace_of_each_message(tmp_path: Path, spans: Spans) -> None:
    observe = OpenTelemetry(spans.provider)
    async with telex.Hub(observe=observe) as hub, hub.topic("orders").subscribe() as inbox:
        for number in range(3):
            await hub.topic("orders").publish(number)
        batch = await inbox.receive_many(3)
        with observe.process(batch):
            await hub.topic("bills").publish(1)
    sent = {span.context.span_id for span in spans.all if span.name == "send orders"}
    span = spans.named("process orders")
    assert {link.context.span_id for link in span.links} == sent
    assert spans.named("send bills").parent == span.context


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_the_span_of_a_handler_of_batches_links_to_the_trace_of_each_message(
    engine: str, tmp_path: Path, spans: Spans
) -> None:
    hub = hub_on(engine, tmp_path, spans)

    @hub.on("orders", group="shop", batch=3, within="1h")
    async def bill(orders: list[int], hub: telex.Hub) -> None:
        await hub.topic("bills").publish(len(orders))

    async with hub:
        for number in range(3):
            await hub.topic("orders").publish(number)
        await hub.idle()
    sent = {span.context.span_id for span in spans.all if span.name == "send orders"}
    span = spans.named("process orders")
    assert {link.context.span_id for link in span.links} == sent
    assert (len(sent), span.parent) == (3, None)
    assert spans.named("send bills").parent == span.context
    attributes = dict(span.attributes or {})
    assert attributes["messaging.batch.message_count"] == 3
    assert attributes["messaging.consumer.group.name"] == "shop"


async def test_a_batch_of_messages_that_are_not_recorded_has_no_span(tmp_path: Path, spans: Spans) -> None:
    hub, handled = hub_on("memory", tmp_path, spans), list[int]()

    @hub.on("orders", group="shop", batch=2, within="1h")
    async def bill(orders: list[int]) -> None:
        handled.extend(orders)

    async with hub:
        for number in range(2):
            await hub.topic("orders").publish(number, headers={"traceparent": PARENT.removesuffix("01") + "00"})
        await hub.idle()
    assert (handled, spans.all) == ([0, 1], [])


async def publish_in_the_thread_of_the_hub(hub: telex.Hub, **options: Any) -> None:
    hub.topic("orders").publish_threadsafe(1, **options).result(0)


async def publish_in_another_thread(hub: telex.Hub, **options: Any) -> None:
    await asyncio.to_thread(lambda: hub.topic("orders").publish_threadsafe(1, **options).result(10))


async def publish_later_in_another_thread(hub: telex.Hub, **options: Any) -> None:
    await publish_in_another_thread(hub, delay=0.0, **options)


@pytest.mark.parametrize(
    "publish", [publish_in_the_thread_of_the_hub, publish_in_another_thread, publish_later_in_another_thread]
)
@pytest.mark.parametrize("given", [False, True])
async def test_a_message_of_another_thread_has_a_span_below_that_of_the_thread(
    publish: Callable[..., Awaitable[None]], given: bool, tmp_path: Path, spans: Spans
) -> None:
    async with hub_on("memory", tmp_path, spans) as hub, hub.topic("orders").subscribe() as inbox:
        with spans.provider.get_tracer("mine").start_as_current_span("mine") as mine:
            await publish(hub, headers={"traceparent": PARENT} if given else None)
        message = await inbox.receive(timeout=10)
    span = spans.named("send orders")
    assert span.context is not None
    assert span.parent is not None
    assert span.parent.span_id == (int(PARENT.split("-")[2], 16) if given else mine.get_span_context().span_id)
    assert message.headers["traceparent"].split("-")[2] == f"{span.context.span_id:016x}"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_messages_of_a_joined_transaction_have_spans(asynchronous: bool, tmp_path: Path, spans: Spans) -> None:
    path, hub, billed = tmp_path / "x.db", hub_on("sqlite", tmp_path, spans), list[int]()

    @hub.command("bill")
    async def bill(order: int) -> None:
        billed.append(order)

    def write() -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            hub.join(connection).publish("orders", 1, headers={"color": "red"})
            hub.join(connection).send("bill", 1)

    async def write_async() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        async with AsyncSession(engine) as session:
            tx = hub.join(session)
            await tx.publish("orders", 1, headers={"color": "red"})
            await tx.send("bill", 1)
            await session.commit()
        await engine.dispose()

    async with hub, hub.topic("orders").subscribe() as inbox:
        with spans.provider.get_tracer("mine").start_as_current_span("mine") as mine:
            await (write_async() if asynchronous else asyncio.to_thread(write))
        message = await inbox.receive(timeout=10)
        await until(lambda: bool(billed))
        await hub.idle()
    for name in ("send orders", "send $command:bill:request"):
        assert spans.named(name).parent == mine.get_span_context()
    span = spans.named("send orders")
    assert span.context is not None
    assert dict(span.attributes or {})["messaging.message.id"] == message.id
    assert message.headers["color"] == "red"
    assert message.headers["traceparent"].split("-")[2] == f"{span.context.span_id:016x}"
    parent, sent = (
        spans.named("process $command:bill:request").parent,
        spans.named("send $command:bill:request").context,
    )
    assert parent is not None
    assert sent is not None
    assert parent.span_id == sent.span_id


async def test_a_joined_transaction_in_a_handler_has_the_correlation_id_of_its_message(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/x.db")

    @hub.on("orders", group="shop")
    def bill(order: int) -> None:
        with closing(sqlite3.connect(tmp_path / "x.db")) as connection, connection:
            hub.join(connection).publish("bills", order)

    async with hub, hub.topic("bills").subscribe() as inbox:
        await hub.topic("orders").publish(1, headers={"correlation-id": "7"})
        assert (await inbox.receive(timeout=10)).headers == {"correlation-id": "7"}


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_the_span_of_a_stream_lasts_until_its_last_part(engine: str, tmp_path: Path, spans: Spans) -> None:
    hub, go = hub_on(engine, tmp_path, spans), asyncio.Event()

    @hub.command("count")
    async def count(limit: int, hub: telex.Hub) -> AsyncIterator[int]:
        yield 1
        await go.wait()
        await hub.topic("counted").publish(limit)
        yield 2

    async with hub:
        parts = hub.stream("count", 2)
        assert (await anext(aiter(parts))) is not None
        assert "process $command:count:request" not in [span.name for span in spans.all]
        go.set()
        assert [part async for part in parts][-1] is not None
        await hub.idle()
    span = spans.named("process $command:count:request")
    assert spans.named("send counted").parent == span.context


async def test_a_span_of_the_program_is_the_parent(tmp_path: Path, spans: Spans) -> None:
    tracer = spans.provider.get_tracer("mine")
    async with hub_on("memory", tmp_path, spans, sample=0) as hub:
        with tracer.start_as_current_span("mine"):
            await hub.topic("orders").publish(1)
    assert spans.tree() == ["mine", "  send orders"]


@pytest.mark.parametrize("sample", [5e-324, 1e-300, 1e-17])
def test_a_tiny_sample_is_a_sample(sample: float) -> None:
    assert OpenTelemetry(sample=sample).skips()


@pytest.mark.parametrize("wrong", [-0.1, 1.5, True, "1 %"])
def test_a_sample_that_is_no_share_is_refused(wrong: Any) -> None:
    with pytest.raises(telex.BadOption, match="from 0 to 1"):
        OpenTelemetry(sample=wrong)


def test_an_empty_batch_has_no_span(spans: Spans) -> None:
    with pytest.raises(telex.Misuse, match="empty batch"), OpenTelemetry(spans.provider).process([]):
        pass


@pytest.mark.slow
def test_without_its_package_the_error_names_the_extra() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; from telex.observe import OpenTelemetry"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'telex[otel]'" in run.stderr
