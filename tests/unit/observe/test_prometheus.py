"""The counts of a hub as metrics of Prometheus."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import telex
from telex.engines.contract.groups import GroupInfo
from telex.observe import Prometheus
from telex.observe.prometheus import MAX_SERIES, CallTimes, Series
from telex.testing.clock import VirtualClock
from tests.support.loops import until

LABELS = ("handler", "pattern", "group", "topic", "command", "outcome", "trigger")
DASHBOARD = Path(telex.__file__).parents[2] / "examples" / "grafana.json"


def made(**options: Any) -> Prometheus:
    return Prometheus(CollectorRegistry(), **options)


def values(metrics: Prometheus) -> dict[tuple[str, ...], float]:
    """The samples, by name and the values of the labels."""
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_the_metrics_are_the_counts_of_the_hub(engine: str, tmp_path: Path) -> None:
    metrics = made()
    hub = telex.Hub("memory://" if engine == "memory" else f"sqlite:///{tmp_path}/x.db", observe=metrics)

    @hub.on("orders:*")
    async def live(content: int) -> None:
        if content == 2:
            raise ValueError("mine")

    @hub.on("bills", group="billing", retry=telex.Retry(attempts=2, first=0, jitter=0), run_in="loop")
    def bill(content: int) -> None:
        raise ValueError("mine")

    @hub.command("pay")
    async def pay(content: int) -> int:
        if content == 2:
            raise telex.CommandError("no", code="no")
        return content

    async with hub:
        for number in range(3):
            await hub.topic(f"orders:{number}").publish(number)
        await hub.topic("bills").publish(1)
        assert await hub.call("pay", 1) == 1
        with pytest.raises(telex.CommandFailed):
            await hub.call("pay", 2)
        await hub.idle()
        await metrics.refresh()
        found = values(metrics)
    at_orders = (live.__qualname__, "orders:*", "")
    at_bills = (bill.__qualname__, "bills", "billing")
    expected = {
        ("telex_published_total", "orders:*"): 3,
        ("telex_published_total", "bills"): 1,
        ("telex_delivered_total", *at_orders): 3,
        ("telex_failed_total", *at_orders): 1,
        ("telex_lost_total", *at_orders): 0,
        ("telex_in_flight", *at_orders): 0,
        ("telex_delivered_total", *at_bills): 2,
        ("telex_retried_total", *at_bills): 1,
        ("telex_dead_total", *at_bills): 1,
        ("telex_lag", "bills", "billing"): 0,
        ("telex_handler_seconds_count", *at_orders): 3,
        ("telex_handler_seconds_count", *at_bills): 2,
        ("telex_command_seconds_count", "pay"): 2,
        ("telex_commands_total", "pay", "succeeded"): 1,
        ("telex_commands_total", "pay", "failed"): 1,
        ("telex_commands_total", "pay", "expired"): 0,
        ("telex_connected",): 1,
    }
    assert {key: found.get(key) for key in expected} == expected


async def test_lost_messages_and_calls_that_run_are_counted() -> None:
    metrics = made()
    hub = telex.Hub(observe=metrics)
    begun, gate = asyncio.Event(), asyncio.Event()

    @hub.on("orders", buffer=2)
    async def slow(content: int) -> None:
        begun.set()
        await gate.wait()

    async with hub:
        hub.topic("orders").publish_nowait(0)
        await begun.wait()
        for number in range(5):
            hub.topic("orders").publish_nowait(number)
        found, labels = values(metrics), (slow.__qualname__, "orders", "")
        assert found["telex_in_flight", *labels] == 1
        assert found["telex_waiting", *labels] == 2
        gate.set()
        await hub.idle()
        assert values(metrics)["telex_lost_total", *labels] == 3


async def test_messages_and_commands_that_wait_for_a_limit_are_counted() -> None:
    metrics = made()
    hub = telex.Hub(observe=metrics, close_timeout=0.0)

    @hub.on("orders", group="billing", limit="1/h")
    async def bill(content: int) -> None: ...

    @hub.command("charge", limit="1/h")
    async def charge(content: int) -> None: ...

    async with hub:
        for number in range(2):
            hub.topic("orders").publish_nowait(number)
            await hub.send("charge", number)
        await until(lambda: values(metrics)["telex_limited", bill.__qualname__, "orders", "billing"] == 1)
        await until(lambda: values(metrics)["telex_commands_limited", "charge"] == 1)


async def test_the_lag_of_a_group_that_nobody_serves_here_is_that_of_the_engine(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    worker = telex.Hub(url)

    @worker.on("bills", group="billing", run_in="loop")
    def bill(content: int) -> None: ...

    async with worker:
        await worker.topic("bills").publish(0)
        await worker.idle()
    metrics = made()
    async with telex.Hub(url, observe=metrics) as hub:
        for number in range(3):
            await hub.topic("bills").publish(number)
        await metrics.refresh()
        assert values(metrics)["telex_lag", "bills", "billing"] == 3


async def test_a_scrape_during_another_one_gets_the_values_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = made()
    async with telex.Hub(observe=metrics) as hub:
        info = GroupInfo("billing", "bills", lag=3, leased=0, delayed=0, dead=0, paused=False)
        asked, answer = asyncio.Event(), asyncio.Event()

        async def listed() -> list[GroupInfo]:
            asked.set()
            await answer.wait()
            return [info]

        monkeypatch.setattr(hub.groups, "list", listed)
        answer.set()
        await metrics.refresh()
        asked.clear()
        answer.clear()
        slow = asyncio.create_task(metrics.refresh(0.0))
        await asked.wait()
        assert values(metrics)["telex_lag", "bills", "billing"] == 3
        answer.set()
        await slow


def test_a_trigger_that_is_late_shows() -> None:
    metrics, clock = made(), VirtualClock()
    hub = telex.Hub(observe=metrics, clock=clock)
    hub.every("10s", name="look", topic="looks")

    async def run() -> None:
        async with hub, hub.topic("looks").subscribe() as inbox:
            clock.advance(10.5)  # the machine slept
            assert values(metrics)["telex_trigger_overdue_seconds", "look"] == 0.5
            await inbox.receive(timeout=100)
            found = values(metrics)
            assert found["telex_trigger_late_seconds", "look"] == 0.5
            assert found["telex_trigger_overdue_seconds", "look"] == 0
            assert found["telex_trigger_fired_total", "look"] == 1

    clock.run(run())


async def test_names_of_topics_do_not_become_labels() -> None:
    metrics = made(topics=["rooms:*"])
    async with telex.Hub(observe=metrics) as hub:
        for number in range(50):
            await hub.topic(f"rooms:{number}").publish(1)
            await hub.topic(f"private:{number}").publish(1)
        found = values(metrics)
    published = {key: value for key, value in found.items() if key[0] == "telex_published_total"}
    assert published == {("telex_published_total", "rooms:*"): 50, ("telex_published_total", "other"): 50}


def test_further_label_sets_are_added_up_as_other() -> None:
    series = Series(("name",))
    for number in range(MAX_SERIES + 5):
        series.add((str(number),), 1)
    samples = {sample.labels["name"]: sample.value for sample in series.counter("x", "").samples}
    assert len(samples) == MAX_SERIES + 1
    assert samples["other"] == 5


def test_the_times_of_calls_are_a_histogram() -> None:
    times = CallTimes()
    for seconds in (0.001, 0.003, 100.0):
        times.add(seconds)
    buckets = dict(times.buckets())
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.005"], buckets["60.0"], buckets["+Inf"]) == (1, 1, 2, 2, 3)
    assert times.total == pytest.approx(100.004)


def test_one_object_observes_one_hub() -> None:
    metrics = made()
    telex.Hub(observe=metrics)
    with pytest.raises(telex.Misuse, match="one for each hub"):
        telex.Hub(observe=metrics)


def test_a_registry_has_the_metrics_of_one_hub() -> None:
    registry = CollectorRegistry()
    telex.Hub(observe=Prometheus(registry))
    with pytest.raises(telex.BadOption, match=r"CollectorRegistry\(\) of its own"):
        telex.Hub(observe=Prometheus(registry))


@pytest.mark.parametrize("wrong", ["orders:*", ["a b"]])
def test_patterns_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises((telex.BadOption, telex.BadName)):
        made(topics=wrong)


@pytest.mark.slow
def test_without_its_package_the_error_names_the_extra() -> None:
    program = "import sys; sys.modules['prometheus_client'] = None; from telex.observe import Prometheus"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'telex[prometheus]'" in run.stderr


async def test_the_panels_of_the_dashboard_ask_for_metrics_that_exist() -> None:
    metrics = made()
    hub = telex.Hub(observe=metrics)
    hub.on("orders", run_in="loop")(lambda content: None)
    hub.command("pay", run_in="loop")(lambda: None)
    hub.every("10s", topic="looks")
    async with hub:
        there = {
            sample
            for family in text_string_to_metric_families(metrics.text().decode())
            for sample in (family.name, *(sample.name for sample in family.samples))
        } | {f"telex_{name}_total" for name in ("published", "commands", "lost", "dead", "retried")}
    there |= {f"telex_{name}_seconds_{part}" for name in ("handler", "command") for part in ("bucket", "sum", "count")}
    board = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(asked) >= 10
    for query in asked:
        names = set(re.findall(r"\btelex_\w+", query))
        assert names
        assert names <= there, query
    assert board["title"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


async def test_expired_messages_are_counted_by_handler_and_by_topic() -> None:
    ahead, go, metrics = [0.0], asyncio.Event(), made(topics=["offers:*"])
    hub = telex.Hub("memory://", clock=lambda: time() + ahead[0], observe=metrics)

    @hub.on("offers:mail", group="mailing")
    async def mail(number: int) -> None:
        await go.wait()

    @hub.on("offers:mail")
    async def show(number: int) -> None:
        await go.wait()

    async with hub, hub.topic("offers:mail").subscribe() as inbox, hub.topic("offers:*").subscribe() as every:
        assert values(metrics)["telex_expired_total", mail.__qualname__, "offers:mail", "mailing"] == 0
        for number, ttl in enumerate((None, "10s", "10s", None)):
            await hub.topic("offers:mail").publish(number, ttl=ttl)
        ahead[0] = 11.0
        go.set()
        await hub.idle()
        assert [(await inbox.receive()).content for _ in range(2)] == [0, 3]
        found = values(metrics)
        assert found["telex_expired_total", mail.__qualname__, "offers:mail", "mailing"] == 2
        assert found["telex_expired_total", show.__qualname__, "offers:mail", ""] == 2
        assert found["telex_topic_expired_total", "offers:*"] == hub.topic("offers:mail").statistics().expired == 2
        assert every.receive_many_nowait()[0].content == 0
        assert every.receive_nowait().content == 3
        assert values(metrics)["telex_topic_expired_total", "offers:*"] == 4


async def test_the_time_of_a_command_that_yields_is_that_until_its_last_part() -> None:
    metrics, go = made(), asyncio.Event()
    hub = telex.Hub("memory://", observe=metrics)

    @hub.command("count")
    async def count(limit: int) -> AsyncIterator[int]:
        yield 1
        await go.wait()
        yield 2

    async with hub:
        parts = aiter(hub.stream("count", 2))
        await anext(parts)
        assert values(metrics)["telex_command_seconds_count", "count"] == 0
        go.set()
        async for _ in parts:
            pass
        await hub.idle()
        assert values(metrics)["telex_command_seconds_count", "count"] == 1
