"""`Monitor`: the answers at ``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from telex.errors import BadOption
from telex.hub import Hub, runtime_of

if TYPE_CHECKING:
    from telex.observe.prometheus import Prometheus

TEXT, JSON, METRICS = "text/plain; charset=utf-8", "application/json", "text/plain; version=0.0.4; charset=utf-8"


class MonitorAnswer(msgspec.Struct, frozen=True):
    """An answer to a request by HTTP."""

    status: int
    type: str
    body: bytes


NOT_FOUND = MonitorAnswer(404, TEXT, b"there are /metrics, /healthz and /readyz here\n")
FORBIDDEN = MonitorAnswer(403, TEXT, b"only programs of this machine get this; allow other networks with allow=[...]\n")


class Monitor:
    """The answers of one hub. ``metrics`` are those of ``/metrics``; without them there is no such path.
    Raises `BadOption`.
    """

    def __init__(self, hub: Hub, metrics: Prometheus | None = None) -> None:
        runtime_of(hub)
        if metrics is not None and not hasattr(metrics, "refresh"):
            raise BadOption("metrics", metrics, "it must be a telex.observe.Prometheus()")
        self._hub = hub
        self._metrics = metrics

    async def answer(self, path: str, *, trusted: bool) -> MonitorAnswer:
        """Return the answer at a path. A client that is not ``trusted`` gets no metrics and no reasons."""
        if path == "/healthz":
            return MonitorAnswer(200, TEXT, b"ok\n")  # the event loop runs
        if path == "/readyz":
            problems = self.problems()
            body = msgspec.json.encode({"ready": not problems} | ({"problems": problems} if trusted else {}))
            return MonitorAnswer(503 if problems else 200, JSON, body)
        if path != "/metrics" or self._metrics is None:
            return NOT_FOUND
        if not trusted:
            return FORBIDDEN
        await self._metrics.refresh()
        return MonitorAnswer(200, METRICS, self._metrics.text())

    def problems(self) -> list[str]:
        """Return the reasons why the hub cannot do its work now; none when it is ready."""
        runtime = runtime_of(self._hub)
        if not runtime.serves:
            return [f"the hub is not open: it is {runtime.state.name.lower()}"]
        found = []
        if not runtime.connection.connected:
            found.append(runtime.connection.problem or "the engine is not reached")
        stopped = [each for each in self._hub.statistics().handlers if each.state == "stopped"]
        found += [f"the handler {each.name} of {each.pattern} has stopped" for each in stopped]
        return found
