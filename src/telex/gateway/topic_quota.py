"""The bound on the number of topics that the clients of a gateway publish to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from telex.gateway.errors import Refused

if TYPE_CHECKING:
    from telex.hub import Hub

REFRESH_SECONDS = 1.0
"""The shortest time between two listings of the hub's topics, while the quota is used up."""


class TopicQuota:
    """The topics that clients of one gateway have published to, at most ``limit``. A removed topic frees its place."""

    def __init__(self, hub: Hub, limit: int, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self._hub = hub
        self._limit = limit
        self._refresh_seconds = refresh_seconds
        self._topics: set[str] = set()
        self._refreshed = 0.0

    async def take(self, topic: str) -> None:
        """Count a topic that a client publishes to. Raises `Refused` when ``limit`` other topics are counted."""
        if topic in self._topics:
            return
        if len(self._topics) >= self._limit:
            await self._refresh()
        if len(self._topics) >= self._limit:
            problem = f"clients of this server fill {self._limit} topics already; publish to one of them"
            raise Refused("limit", problem, self._refresh_seconds)
        self._topics.add(topic)

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._refreshed + self._refresh_seconds:
            self._refreshed = now
            self._topics.intersection_update(await self._hub.topics(">"))
