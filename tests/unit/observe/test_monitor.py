"""The answers at /metrics, /healthz and /readyz."""

import json

from prometheus_client import CollectorRegistry

import telex
from telex.hub import runtime_of
from telex.observe import Monitor, Prometheus
from tests.support.pretend import PretendEngine, Server


async def test_a_hub_is_ready_while_it_is_open_and_reaches_its_engine() -> None:
    server = Server()
    hub = telex.Hub(PretendEngine(server))
    monitor = Monitor(hub)
    hub.on("orders", group="g", run_in="loop")(lambda content: None)
    before = await monitor.answer("/readyz", trusted=True)
    assert (before.status, json.loads(before.body)["ready"]) == (503, False)
    async with hub:
        ready = await monitor.answer("/readyz", trusted=True)
        assert (ready.status, json.loads(ready.body)) == (200, {"ready": True, "problems": []})
        hub_runtime_lost(hub)
        lost = await monitor.answer("/readyz", trusted=True)
        assert (lost.status, json.loads(lost.body)["problems"][0].startswith("the connection to")) == (503, True)
        assert json.loads((await monitor.answer("/readyz", trusted=False)).body) == {"ready": False}
    after = await monitor.answer("/readyz", trusted=True)
    assert json.loads(after.body)["problems"] == ["the hub is not open: it is closed"]


def hub_runtime_lost(hub: telex.Hub) -> None:
    runtime_of(hub).connection.lost("the cable is out")


async def test_a_handler_that_has_stopped_is_a_problem() -> None:
    hub = telex.Hub()

    @hub.on("orders", run_in="loop")
    def take(content: int) -> None:
        raise SystemExit(3)

    monitor = Monitor(hub)
    assert monitor.problems() == ["the hub is not open: it is new"]
    async with hub:
        assert monitor.problems() == []


async def test_the_process_lives_whatever_the_hub_does() -> None:
    monitor = Monitor(telex.Hub())
    assert (await monitor.answer("/healthz", trusted=False)).status == 200


async def test_a_client_that_is_not_trusted_gets_no_metrics() -> None:
    metrics = Prometheus(CollectorRegistry())
    hub = telex.Hub(observe=metrics)
    async with hub:
        monitor = Monitor(hub, metrics)
        refused = await monitor.answer("/metrics", trusted=False)
        assert (refused.status, b"telex_" in refused.body) == (403, False)
        assert b"telex_connected 1" in (await monitor.answer("/metrics", trusted=True)).body
    assert (await Monitor(hub).answer("/metrics", trusted=True)).status == 404
    assert (await monitor.answer("/other", trusted=True)).status == 404
