"""Metrics and health over ASGI."""

from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

import telex
from telex.gateway import Gateway, Monitoring
from telex.observe import Prometheus


async def asked(app: Monitoring, path: str, client: str, headers: dict[str, str] | None = None) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, client=(client, 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.get(path, headers=headers)


@pytest.mark.parametrize(
    ("client", "headers", "allow", "status"),
    [
        ("127.0.0.1", {}, (), 200),
        ("127.0.0.1", {"x-forwarded-for": "8.8.8.8"}, (), 403),
        ("127.0.0.1", {"host": "evil.example"}, (), 403),
        ("10.1.2.3", {}, (), 403),
        ("10.1.2.3", {}, ("10.0.0.0/8",), 200),
        ("10.1.2.3", {}, "10.0.0.0/8", 200),
        ("11.1.2.3", {}, ("10.0.0.0/8",), 403),
        ("testclient", {}, ("10.0.0.0/8",), 403),
    ],
)
async def test_metrics_are_for_this_machine_and_for_allowed_networks(
    client: str, headers: dict[str, str], allow: Any, status: int
) -> None:
    metrics = Prometheus(CollectorRegistry())
    async with telex.Hub(observe=metrics) as hub:
        metrics.watch(Gateway(hub))
        answer = await asked(Monitoring(hub, metrics, allow=allow), "/metrics", client, headers)
    assert answer.status_code == status
    assert ("telex_gateway_connections 0.0" in answer.text) is (status == 200)


async def test_health_is_open_to_all_and_reasons_are_not() -> None:
    app = Monitoring(telex.Hub())
    assert (await asked(app, "/healthz", "8.8.8.8")).text == "ok\n"
    there = await asked(app, "/readyz", "8.8.8.8")
    assert (there.status_code, there.json()) == (503, {"ready": False})
    assert (await asked(app, "/readyz", "127.0.0.1")).json()["problems"]
    assert (await asked(app, "/metrics", "127.0.0.1")).status_code == 404


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", ["x"]])
def test_a_network_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(telex.BadOption, match=r"10\.0\.0\.0/8"):
        Monitoring(telex.Hub(), allow=wrong)
