"""Three programs whose spans are one trace: `python -m tests.support.traced ROLE URL FILE`.

The roles are ``gateway``, which serves a page and the gateway, ``shop``, whose group takes the orders, and ``billing``,
which serves a command. Each writes its spans into the file, one JSON object a line.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import uvicorn
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute

import telex
from telex.gateway import AccessRules, Gateway, uvicorn_options
from telex.observe import OpenTelemetry


class FileExporter(SpanExporter):
    """Writes each span as a line of JSON, with the name of its program."""

    def __init__(self, role: str, path: Path) -> None:
        self._role = role
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._path.open("a") as file:
            for span in spans:
                parent = None if span.parent is None else f"{span.parent.span_id:016x}"
                fields = {"program": self._role, "name": span.name, "parent": parent, "start": span.start_time}
                fields |= {"trace": f"{span.context.trace_id:032x}", "span": f"{span.context.span_id:016x}"}
                file.write(json.dumps(fields) + "\n")
        return SpanExportResult.SUCCESS


def hub_of(role: str, url: str, path: str) -> telex.Hub:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(FileExporter(role, Path(path))))
    return telex.Hub(url, observe=OpenTelemetry(provider))


async def worker(role: str, hub: telex.Hub) -> None:
    """Serve until the standard input ends."""
    if role == "shop":

        @hub.on("orders:*", group="shop")
        async def take(order: int) -> None:
            await hub.call("bill", order, timeout=20)

    else:

        @hub.command("bill")
        async def bill(order: int) -> None:
            await hub.topic("receipts:web").publish(order)

    async with hub:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def app_of(hub: telex.Hub) -> Starlette:
    """A page without a script, the client of the chat page, and the gateway."""
    gateway = Gateway(hub, rules=AccessRules(publish=("orders:*",), subscribe=("receipts:*",)))

    async def page(request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>shop</title><link rel=icon href=data:,>")

    async def client(request: Request) -> Response:
        return Response((files("telex.chat") / "page" / "wire.js").read_bytes(), media_type="text/javascript")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield
            await gateway.aclose()

    routes = [Route("/", page), Route("/wire.js", client), WebSocketRoute("/ws", gateway)]
    return Starlette(routes=routes, lifespan=lifespan)


class Serving(uvicorn.Server):
    """Prints its port, and ends with the standard input."""

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        print("ready", self.servers[0].sockets[0].getsockname()[1], flush=True)
        self.ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        await asyncio.to_thread(sys.stdin.read)
        self.should_exit = True


if __name__ == "__main__":
    role, url, path = sys.argv[1:]
    hub = hub_of(role, url, path)
    if role == "gateway":
        options = uvicorn_options()
        Serving(uvicorn.Config(app_of(hub), host="127.0.0.1", port=0, log_level="warning", **options)).run()
    else:
        asyncio.run(worker(role, hub))
