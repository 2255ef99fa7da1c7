"""Spans of published and handled messages, by the semantic conventions for messaging."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import telex
from telex.observe import OpenTelemetry

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
