"""`Prometheus`: the counts of a hub as metrics of Prometheus, read when they are scraped."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from inspect import isawaitable
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from telex.checks import instance, texts
from telex.errors import BadOption, Misuse, TelexError, reason_of
from telex.hub import Hub, runtime_of
from telex.names import Pattern, check_pattern, is_pattern
from telex.observe.instrument import Invoke, Processing

try:
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
except ModuleNotFoundError as _error:
    _problem = f"metrics need {_error.name}: pip install 'telex[prometheus]'"
    raise ModuleNotFoundError(_problem, name=_error.name) from _error

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from telex.gateway.app import Gateway

logger: logging.Logger = logging.getLogger("telex")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""The upper bounds of the buckets of the histograms, in seconds."""
MAX_SERIES = 200
"""The number of label sets of one metric. The values of further label sets are added up under the label "other"."""
MAX_KNOWN_TOPICS = 10_000
LAG_SECONDS, LAG_TIMEOUT_SECONDS = 5.0, 2.0
"""The age up to which a lag is not asked for again, and the time that the engine has for its answer."""
OTHER = "other"
HANDLER = ("handler", "pattern", "group")
COMMAND_PREFIX, COMMAND_SUFFIX = "$command:", ":request"


class Prometheus:
    """Metrics of a hub, for ``telex.Hub(observe=...)``. They are read from the counts of the hub when they are scraped;
    only the time of a handler's call is measured when it is called.

    ``registry`` gets the metrics (default: the global registry of ``prometheus_client``). ``topics`` are patterns: the
    messages of matching topics are counted under the pattern. Topics that match none of them are counted under the
    pattern of a handler, or under "other", so that names of topics cannot make metrics grow without end.

    Raises `BadName` for a bad pattern, `BadOption`; importing this class raises `ModuleNotFoundError` without the extra
    ``prometheus``.
    """

    sends: ClassVar[bool] = False
    """False: no message begins a span."""

    def __init__(self, registry: CollectorRegistry | None = None, *, topics: Sequence[str] = ()) -> None:
        fix = "it must be a prometheus_client.CollectorRegistry()"
        self.registry: CollectorRegistry = instance(
            REGISTRY if registry is None else registry, CollectorRegistry, "registry", fix
        )
        """The registry that has the metrics."""
        self._topics = [check_pattern(pattern, "topics") for pattern in texts(topics, "topics", "orders:*")]
        self._hub: Hub | None = None
        self._gateways: list[Gateway] = []
        self._times: dict[tuple[str, ...], CallTimes] = {}
        self._labels: dict[str, str] = {}  # by topic
        self._labelled: tuple[str, ...] = ()  # the patterns for which `_labels` holds
        self._lags: dict[tuple[str, str], int] = {}
        self._stored: dict[str, int] = {}  # the numbers of published messages by topic
        self._lags_at = -LAG_SECONDS

    def attach(self, hub: Hub) -> None:
        """Read the counts of ``hub``. Raises `Misuse` for a second hub, `BadOption` when the registry has another
        hub.
        """
        if self._hub is not None:
            raise Misuse("observe two hubs with one Prometheus", "make one for each hub, with a registry of its own")
        self._hub = hub
        try:
            self.registry.register(self)
        except ValueError:
            fix = "another hub has its metrics there; give each hub a prometheus_client.CollectorRegistry() of its own"
            raise BadOption("registry", self.registry, fix) from None

    def watch(self, gateway: Gateway) -> None:
        """Add the counts of a gateway."""
        self._gateways.append(gateway)

    def skips(self) -> bool:
        """Return true: published messages have no spans here."""
        return True

    def sending(self, topic: str, headers: object) -> None:
        """Return None: published messages are counted by their topics."""

    def processing(self, invoke: Invoke, of: Processing) -> Invoke:
        """Return a function that measures the time of each call."""
        if of.internal:
            return invoke
        times = self._times_of(of)

        def timed(argument: Any) -> Any:
            began = perf_counter()
            try:
                result = invoke(argument)
            except BaseException:
                times.add(perf_counter() - began)
                raise
            if isawaitable(result):
                return times.until(result, began)
            times.add(perf_counter() - began)
            return result

        return timed

    def _times_of(self, of: Processing) -> CallTimes:
        pattern = of.patterns[0]
        if pattern.startswith(COMMAND_PREFIX):
            key: tuple[str, ...] = (pattern.removeprefix(COMMAND_PREFIX).removesuffix(COMMAND_SUFFIX),)
        else:
            key = (of.name, " ".join(of.patterns), of.group or "")
        if key not in self._times and len(self._times) >= MAX_SERIES:
            key = (OTHER,) * len(key)
        return self._times.setdefault(key, CallTimes())

    async def refresh(self, seconds: float = LAG_SECONDS) -> None:
        """Ask the engine for its topics and for the lag of all groups, also of those that only other processes serve,
        at most every ``seconds``. When the engine does not answer, the metrics are those that this hub knows. A scrape
        during another one gets the values before it.
        """
        hub, now = self._hub, monotonic()
        if hub is None or now - self._lags_at < seconds:
            return
        self._lags_at, lags = now, dict[tuple[str, str], int]()
        try:
            async with asyncio.timeout(LAG_TIMEOUT_SECONDS):
                names = (await hub.topics())[:MAX_KNOWN_TOPICS]
                self._stored = {name: hub.topic(name).statistics().published for name in names}
                lags = {(info.group, info.pattern): info.lag for info in await hub.groups.list()}
        except (TelexError, TimeoutError) as error:
            logger.debug("the lag of groups is not known: %s", reason_of(error))
        self._lags = lags

    def text(self) -> bytes:
        """Return the metrics of the registry in the text format of Prometheus."""
        return generate_latest(self.registry)

    # -- the protocol of a collector

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values, so that a registry finds two hubs with the same names."""
        return [CounterMetricFamily("telex_published", "")]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Call it in the thread of the hub."""
        if self._hub is None:
            return
        yield from self._of_topics(self._hub)
        yield from self._of_handlers(self._hub)
        yield from self._of_commands(self._hub)
        yield from self._of_triggers(self._hub)
        yield from self._of_times()
        yield from self._of_gateways()

    def _of_topics(self, hub: Hub) -> Iterator[Metric]:
        published, expired = Series(("topic",)), Series(("topic",))
        patterns = (*self._topics, *(pattern for spec in hub.declarations for pattern in spec.patterns))
        if patterns != self._labelled or len(self._labels) > MAX_KNOWN_TOPICS:
            self._labelled, self._labels = patterns, {}
        rules = [(pattern, Pattern(pattern)) for pattern in dict.fromkeys(patterns)]
        known = [topic.statistics() for topic in runtime_of(hub).topics.all() if not topic.id.startswith("$")]
        topics = {each.topic: each.published for each in known if not is_pattern(each.topic)}
        for id, count in (self._stored | topics).items():
            published.add((self._label(id, rules),), count)
        for each in known:
            if each.expired:
                own = each.topic if each.topic in patterns else OTHER
                expired.add((own if is_pattern(each.topic) else self._label(each.topic, rules),), each.expired)
        text = "Messages that were published to topics since their logs began."
        yield published.counter("telex_published", text)
        text = "Messages that subscriptions of this process left out, since they had expired."
        yield expired.counter("telex_topic_expired", text)

    def _label(self, id: str, rules: Iterable[tuple[str, Pattern]]) -> str:
        label = self._labels.get(id)
        if label is None:
            label = next((pattern for pattern, rule in rules if rule.matches(id)), OTHER)
            self._labels[id] = label
        return label

    def _of_handlers(self, hub: Hub) -> Iterator[Metric]:
        counters = ("delivered", "failed", "lost", "retried", "dead", "lapsed", "expired")
        gauges = ("waiting", "in_flight", "limited")
        tables = {name: Series(HANDLER) for name in (*counters, *gauges)}
        lag = Series(("group", "pattern"), max)
        statistics = hub.statistics()
        for each in statistics.handlers:
            if each.pattern.startswith("$command:") and not each.pattern.endswith(COMMAND_SUFFIX):
                continue
            labels = (each.name, each.pattern, each.group or "")
            values = [each.handled + each.failed, each.failed, each.lost, each.retried, each.dead, each.lapsed]
            values += [each.expired, each.waiting, each.running, each.limited]
            for table, value in zip(tables.values(), values, strict=True):
                table.add(labels, value)
            if each.group is not None and (each.group, each.pattern) not in self._lags:
                lag.add((each.group, each.pattern), each.lag)
        for (group, pattern), value in self._lags.items():
            lag.add((group, pattern), value)
        for name in counters:
            yield tables[name].counter(f"telex_{name}", TEXTS[name])
        for name in gauges:
            yield tables[name].gauge(f"telex_{name}", TEXTS[name])
        yield lag.gauge("telex_lag", "Messages of a group that are not settled.")
        yield GaugeMetricFamily("telex_connected", "1 while the hub reaches its engine.", int(statistics.connected))
        text = "Messages on patterns with typed handlers that no handler took."
        yield CounterMetricFamily("telex_unhandled", text, statistics.unhandled)

    def _of_commands(self, hub: Hub) -> Iterator[Metric]:
        outcomes, running, limited = Series(("command", "outcome")), Series(("command",)), Series(("command",))
        for each in hub.statistics().commands:
            counts = {"succeeded": each.succeeded, "failed": each.failed - each.expired}
            for outcome, count in (counts | {"expired": each.expired, "replayed": each.replayed}).items():
                outcomes.add((each.command, outcome), count)
            running.add((each.command,), each.running)
            limited.add((each.command,), each.limited)
        yield outcomes.counter("telex_commands", "Outcomes of commands that this process served.")
        yield running.gauge("telex_commands_in_flight", "Commands that run in this process.")
        yield limited.gauge("telex_commands_limited", "Commands that wait for the limit of their key in this process.")

    def _of_triggers(self, hub: Hub) -> Iterator[Metric]:
        fired, late, overdue = Series(("trigger",)), Series(("trigger",), max), Series(("trigger",), max)
        now = runtime_of(hub).clock()
        for each in hub.triggers():
            labels = (each.trigger,)
            fired.add(labels, each.fired)
            late.add(labels, each.late)
            waits = each.next is not None and not each.paused and not each.ended
            overdue.add(labels, max(0.0, now - each.next.timestamp()) if waits and each.next is not None else 0.0)
        yield fired.counter("telex_trigger_fired", "Firings of a trigger.")
        yield late.gauge("telex_trigger_late_seconds", "The time from the last instant to its publication.")
        yield overdue.gauge("telex_trigger_overdue_seconds", "The time since the next firing was due.")

    def _of_times(self) -> Iterator[Metric]:
        handlers = HistogramMetricFamily("telex_handler_seconds", "The time of a handler's call.", labels=HANDLER)
        commands = HistogramMetricFamily("telex_command_seconds", "The time of a command's call.", labels=("command",))
        for labels, times in self._times.items():
            (handlers if len(labels) == len(HANDLER) else commands).add_metric(labels, times.buckets(), times.total)
        yield handlers
        yield commands

    def _of_gateways(self) -> Iterator[Metric]:
        if not self._gateways:
            return
        found = [gateway.statistics() for gateway in self._gateways]
        closed = Series(("code",))
        for each in found:
            for code, count in each.closed.items():
                closed.add((code.name.lower(),), count)
        open_now, accepted = sum(each.connections for each in found), sum(each.accepted for each in found)
        yield GaugeMetricFamily("telex_gateway_connections", "Open connections of the gateway.", open_now)
        yield CounterMetricFamily("telex_gateway_accepted", "Connections that the gateway accepted.", accepted)
        refused = sum(each.refused for each in found)
        yield CounterMetricFamily("telex_gateway_refused", "Handshakes that the gateway refused.", refused)
        yield closed.counter("telex_gateway_closed", "Connections that the gateway closed.")


TEXTS = {
    "delivered": "Messages whose call returned or raised; each attempt counts, and each message of a batch.",
    "failed": "Messages whose call raised; each attempt counts.",
    "lost": "Messages that a handler missed, because it was too slow.",
    "retried": "Calls after which the message is retried.",
    "dead": "Messages that became dead letters.",
    "lapsed": "Calls whose lease was lost.",
    "expired": "Messages for which a handler was not called, since they had expired.",
    "waiting": "Messages that wait in this process for a call.",
    "in_flight": "Calls of a handler that run.",
    "limited": "Messages that wait in this process for the limit of their key.",
}


class CallTimes:
    """The times of the calls of one handler or command, counted by `BUCKETS`."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.total: float = 0.0
        """The sum of all times, in seconds."""

    def add(self, seconds: float) -> None:
        """Count one call."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    async def until(self, result: Any, began: float) -> Any:
        """Await the result of a call, and count the call."""
        try:
            return await result
        finally:
            self.add(perf_counter() - began)

    def buckets(self) -> list[tuple[str, float]]:
        """Return the counts up to and including each bound."""
        total, found = 0, []
        for bound, count in zip((*BUCKETS, None), self._counts, strict=True):
            total += count
            found.append(("+Inf" if bound is None else str(bound), float(total)))
        return found


class Series:
    """The values of one metric by its labels, at most `MAX_SERIES`. ``join`` is `max` for values that cannot be added
    up; None adds them up.
    """

    def __init__(self, names: Sequence[str], join: Any = None) -> None:
        self._names = names
        self._join = join
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], value: float) -> None:
        """Add a value to that of its labels."""
        if labels not in self._values and len(self._values) >= MAX_SERIES:
            labels = (OTHER,) * len(labels)
        before = self._values.get(labels, 0)
        self._values[labels] = before + value if self._join is None else self._join(before, value)

    def counter(self, name: str, text: str) -> Metric:
        """Return the values as a counter."""
        return self._filled(CounterMetricFamily(name, text, labels=self._names))

    def gauge(self, name: str, text: str) -> Metric:
        """Return the values as a gauge."""
        return self._filled(GaugeMetricFamily(name, text, labels=self._names))

    def _filled(self, family: Any) -> Metric:
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        metric: Metric = family
        return metric
