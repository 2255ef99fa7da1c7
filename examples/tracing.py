"""Spans of messages: `python examples/tracing.py [URL]`, with `pip install 'telex[otel]' opentelemetry-sdk`."""

import asyncio
import sys

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import telex
from telex.observe import OpenTelemetry

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
hub = telex.Hub(sys.argv[1] if len(sys.argv) > 1 else "memory://", observe=OpenTelemetry(provider))


@hub.on("orders:*", group="shop")
async def take(order: int, hub: telex.Hub) -> None:
    """Let an order be paid."""
    print("receipt:", await hub.call("bill", order))


@hub.command("bill")
async def bill(order: int) -> str:
    """Say that an order is paid."""
    return f"order {order} is paid"


async def main() -> None:
    """Publish an order, and show the spans of its trace."""
    async with hub:
        message = await hub.topic("orders:web").publish(7, headers={"correlation-id": "order 7"})
        await hub.idle()
    for span in sorted(spans.get_finished_spans(), key=lambda span: span.start_time or 0):
        print(span.name, "in the trace" if f"{span.context.trace_id:032x}" in str(message.headers) else "elsewhere")


asyncio.run(main())
