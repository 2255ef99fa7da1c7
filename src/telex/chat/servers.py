"""`Servers`: several chat servers on one database tell each other who is in their rooms."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from secrets import token_hex

import msgspec

import telex
from telex.chat.presence import Presence, Visitor

SERVERS = "chatservers"
HEARTBEAT_SECONDS = 2.0
"""The seconds between two reports of a server with people."""
SILENCE_SECONDS = 6.0
"""The seconds without a report after which a server, and the people on it, are gone."""
logger: logging.Logger = logging.getLogger("telex.chat")


class Report(msgspec.Struct, frozen=True):
    """The people on one server: in all rooms if ``whole``, otherwise only in these rooms."""

    server: str
    rooms: dict[str, list[Visitor]]
    whole: bool


class Servers:
    """The reports of this server, and those of the others, which it gives to `Presence.report`.

    ``gone(people)`` is called with the room and name of each person on a server that ended. ``changed(room)`` is called
    when the people of a room changed on another server and this server has people in the room: the other server may
    not have known them when it published its notice. So the last notice has all people.
    """

    def __init__(
        self,
        hub: telex.Hub,
        presence: Presence,
        clock: Callable[[], float],
        changed: Callable[[str], Awaitable[None]],
        gone: Callable[[Sequence[tuple[str, str]]], None],
    ) -> None:
        self._hub = hub
        self._topic = hub.topic(SERVERS, Report)
        self._presence = presence
        self._clock = clock
        self._changed = changed
        self._gone = gone
        self._name = token_hex(8)
        self._heard: dict[str, float] = {}  # the time of the last report, by server
        self._changed_rooms: dict[str, None] = {}  # in order, until `_call_changed` takes them
        self._any_changed = asyncio.Event()

    async def tell(self, room: str) -> None:
        """Report the people in a room on this server."""
        await self._topic.publish(Report(self._name, {room: self._presence.visitors(room)}, whole=False))

    async def run(self) -> None:
        """Read the reports, and repeat the own one, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for task in (self._read, self._call_changed, self._beat):
                group.create_task(task())

    async def catch_up(self) -> None:
        """Read the reports of the last seconds, before the first visitor enters."""
        async for message in self._topic.history(start=timedelta(seconds=SILENCE_SECONDS)):
            self._hear(message.content)

    async def _read(self) -> None:
        while True:
            try:
                start = timedelta(seconds=SILENCE_SECONDS)
                async with self._topic.subscribe(start=start, overflow="catch_up") as reports:
                    async for message in reports:
                        if isinstance(message, telex.Message):  # a later whole report replaces lost reports
                            self._hear(message.content)
            except telex.TelexError:
                logger.exception("the people on other servers were not read; trying again")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _hear(self, report: Report) -> None:
        if report.server == self._name:
            return
        self._heard[report.server] = self._clock()
        here = set(self._presence.rooms())
        for room in self._presence.report(report.server, report.rooms, whole=report.whole):
            if room in here:
                self._changed_rooms[room] = None
                self._any_changed.set()

    async def _call_changed(self) -> None:
        while True:
            await self._any_changed.wait()
            rooms, self._changed_rooms = self._changed_rooms, {}
            self._any_changed.clear()
            for room in rooms:
                try:
                    await self._changed(room)
                except Exception:  # the next report of a change, or the next notice of the room, has all people
                    logger.exception("the people in a room were not published again")

    async def _beat(self) -> None:
        while True:
            try:
                if rooms := self._presence.rooms():
                    people = {room: self._presence.visitors(room) for room in rooms}
                    await self._topic.publish(Report(self._name, people, whole=True))
            except Exception:  # the next report has it all
                logger.exception("the people on this server were not reported to other servers; trying again")
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._look()

    def _look(self) -> None:
        """Find the servers that ended."""
        now = self._clock()
        if not self._hub.connected:  # nothing was heard, since nothing can be
            self._heard = dict.fromkeys(self._heard, now)
        for server in [each for each, heard in self._heard.items() if heard + SILENCE_SECONDS <= now]:
            del self._heard[server]
            self._gone(self._presence.forget(server))
