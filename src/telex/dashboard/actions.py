"""`Actions`: the changes that the page makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from telex.errors import BadOption, NoSuchCommand
from telex.gateway import Refused
from telex.hub import Hub, scheduler_of
from telex.triggers.admin import pause_trigger, resume_trigger

if TYPE_CHECKING:
    from telex.dashboard.snapshot import Snapshots

Act = Callable[["Actions", Mapping[str, object]], Awaitable[bool]]


class Actions:
    """The actions of the page by name. Each returns false when another user was first."""

    def __init__(self, hub: Hub, snapshots: Snapshots) -> None:
        self._hub = hub
        self._snapshots = snapshots

    async def act(self, name: str, content: object) -> None:
        """Carry out an action. Raises `Refused`, `EngineFailed`, `Closed`."""
        action = ACTIONS.get(name)
        if action is None:
            raise Refused("unknown_call", f"the dashboard has no action {name[:80]!r}")
        try:
            done = await action(self, content if isinstance(content, dict) else {})
        except NoSuchCommand:
            done = False
        except BadOption as error:
            raise Refused("refused", error.fix) from None
        self._snapshots.jobs.forget()
        if not done:
            raise Refused("gone", "it is gone: another user was first")

    async def _pause(self, given: Mapping[str, object]) -> bool:
        return await self._hub.groups.pause(str(given.get("group")), str(given.get("pattern")))

    async def _resume(self, given: Mapping[str, object]) -> bool:
        return await self._hub.groups.resume(str(given.get("group")), str(given.get("pattern")))

    async def _pause_trigger(self, given: Mapping[str, object]) -> bool:
        return await pause_trigger(scheduler_of(self._hub), str(given.get("trigger")))

    async def _resume_trigger(self, given: Mapping[str, object]) -> bool:
        return await resume_trigger(scheduler_of(self._hub), str(given.get("trigger")))

    async def _retry(self, given: Mapping[str, object]) -> bool:
        letter = self._snapshots.letters.get(str(given.get("id")))
        return letter is not None and await self._hub.groups.retry(letter)

    async def _drop(self, given: Mapping[str, object]) -> bool:
        letter = self._snapshots.letters.get(str(given.get("id")))
        return letter is not None and await self._hub.groups.drop(letter)

    async def _pause_schedule(self, given: Mapping[str, object]) -> bool:
        return await self._set_paused(str(given.get("schedule")), paused=True)

    async def _resume_schedule(self, given: Mapping[str, object]) -> bool:
        return await self._set_paused(str(given.get("schedule")), paused=False)

    async def _set_paused(self, name: str, *, paused: bool) -> bool:
        schedules = self._hub.schedules
        if await schedules.get(name) is None:
            return False
        await (schedules.pause(name) if paused else schedules.resume(name))
        return True

    async def _delete_schedule(self, given: Mapping[str, object]) -> bool:
        return await self._hub.schedules.delete(str(given.get("schedule")))

    async def _cancel_job(self, given: Mapping[str, object]) -> bool:
        return await (await self._hub.ticket(str(given.get("id")))).cancel()

    async def _retry_job(self, given: Mapping[str, object]) -> bool:
        await self._hub.retry(str(given.get("id")))
        return True


ACTIONS: Mapping[str, Act] = {
    "pause": Actions._pause,
    "resume": Actions._resume,
    "pause_trigger": Actions._pause_trigger,
    "resume_trigger": Actions._resume_trigger,
    "retry": Actions._retry,
    "drop": Actions._drop,
    "pause_schedule": Actions._pause_schedule,
    "resume_schedule": Actions._resume_schedule,
    "delete_schedule": Actions._delete_schedule,
    "cancel_job": Actions._cancel_job,
    "retry_job": Actions._retry_job,
}
