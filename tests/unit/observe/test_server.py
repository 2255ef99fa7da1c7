"""The HTTP server of `telex run --metrics`."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

import telex
from telex.observe import Monitor, MonitorServer, Prometheus
from telex.observe.server import MAX_HEAD_BYTES, parse_address


async def asked(server: MonitorServer, request: bytes) -> tuple[str, bytes]:
    """The first line of the answer, and its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return "", b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0].decode(), body


def request(path: str, host: str = "127.0.0.1:9100", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def test_it_answers_with_metrics_and_health() -> None:
    metrics = Prometheus(CollectorRegistry())
    hub = telex.Hub(observe=metrics)
    async with MonitorServer(Monitor(hub, metrics), "127.0.0.1", 0) as server:
        assert (await asked(server, request("/readyz")))[0] == "HTTP/1.1 503 Service Unavailable"
        async with hub:
            assert await asked(server, request("/healthz")) == ("HTTP/1.1 200 OK", b"ok\n")
            status, body = await asked(server, request("/metrics?x=1", "localhost"))
            assert status == "HTTP/1.1 200 OK"
            assert b"telex_connected 1.0" in body
            assert await asked(server, request("/healthz", method="HEAD")) == ("HTTP/1.1 200 OK", b"")


async def test_a_page_of_a_browser_cannot_read_it_by_a_name_of_its_own() -> None:
    async with MonitorServer(Monitor(telex.Hub()), "127.0.0.1", 0) as server:
        assert (await asked(server, request("/readyz", "evil.example")))[0] == "HTTP/1.1 403 Forbidden"


async def test_a_client_that_comes_when_the_server_stops_is_cut_off() -> None:
    client = Mock(spec=asyncio.StreamWriter)
    async with MonitorServer(Monitor(telex.Hub()), "127.0.0.1", 0) as server:
        server._accept(asyncio.StreamReader(), client)  # its task has not begun when the server stops
    client.transport.abort.assert_called_once_with()


async def test_a_collector_that_raises_is_logged_and_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Collector):
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> list[Metric]:
            raise LookupError("mine")

    registry = CollectorRegistry(support_collectors_without_names=True)
    metrics = Prometheus(registry)
    async with telex.Hub(observe=metrics) as hub, MonitorServer(Monitor(hub, metrics), "127.0.0.1", 0) as server:
        registry.register(Broken())
        status, body = await asked(server, request("/metrics"))
        assert (status, b"the log of the program has the error" in body) == ("HTTP/1.1 500 Internal Server Error", True)
    assert "LookupError: mine" in caplog.text


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", request("/healthz", method="POST"), b"GET x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
)
async def test_other_requests_are_refused(sent: bytes) -> None:
    async with MonitorServer(Monitor(telex.Hub()), "127.0.0.1", 0) as server:
        assert (await asked(server, sent))[0] == "HTTP/1.1 400 Bad Request"


async def test_a_head_without_end_is_cut_off() -> None:
    async with MonitorServer(Monitor(telex.Hub()), "127.0.0.1", 0) as server:
        assert await asked(server, b"GET /" + b"x" * 3 * MAX_HEAD_BYTES) == ("", b"")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9100", ("127.0.0.1", 9100)),
        ("9100", ("127.0.0.1", 9100)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:2", ("::1", 2)),
    ],
)
def test_an_address_without_a_host_is_of_this_machine(text: str, address: Any) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":", "host", ":70000", ":x"])
def test_an_address_without_a_port_is_refused(text: str) -> None:
    with pytest.raises(telex.BadOption, match=":9100"):
        parse_address(text)
