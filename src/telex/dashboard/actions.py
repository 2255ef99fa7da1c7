"""`Actions`: the changes that the page makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from telex.engines.contract.groups import DeadLetter
from telex.errors import BadOption, NoSuchCommand
from telex.gateway import Refused
from telex.hub import Hub, scheduler_of
from telex.triggers.admin import pause_trigger, resume_trigger

if TYPE_CHECKING:
    from telex.dashboard.snapshot import Snapshots


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
        given = content if isinstance(content, dict) else {}
        try:
            done = await action(self, lambda field: str(given.get(field)))
        except NoSuchCommand:
            done = False
        except BadOption as error:
            raise Refused("refused", error.fix) from None
        self._snapshots.jobs.forget()
        if not done:
            raise Refused("gone", "it is gone: another user was first")

    async def _settle(self, id: str, settle: Callable[[DeadLetter], Awaitable[bool]]) -> bool:
        letter = self._snapshots.letters.get(id)
        return letter is not None and await settle(letter)

    async def _set_paused(self, name: str, *, paused: bool) -> bool:
        schedules = self._hub.schedules
        if await schedules.get(name) is None:
            return False
        await (schedules.pause(name) if paused else schedules.resume(name))
        return True

    async def _cancel_job(self, id: str) -> bool:
        return await (await self._hub.ticket(id)).cancel()

    async def _retry_job(self, id: str) -> bool:
        await self._hub.retry(id)
        return True


Act = Callable[[Actions, Callable[[str], str]], Awaitable[bool]]
"""An action. Its second argument returns a field of the request."""
ACTIONS: Mapping[str, Act] = {
    "pause": lambda on, given: on._hub.groups.pause(given("group"), given("pattern")),
    "resume": lambda on, given: on._hub.groups.resume(given("group"), given("pattern")),
    "pause_trigger": lambda on, given: pause_trigger(scheduler_of(on._hub), given("trigger")),
    "resume_trigger": lambda on, given: resume_trigger(scheduler_of(on._hub), given("trigger")),
    "retry": lambda on, given: on._settle(given("id"), on._hub.groups.retry),
    "drop": lambda on, given: on._settle(given("id"), on._hub.groups.drop),
    "pause_schedule": lambda on, given: on._set_paused(given("schedule"), paused=True),
    "resume_schedule": lambda on, given: on._set_paused(given("schedule"), paused=False),
    "delete_schedule": lambda on, given: on._hub.schedules.delete(given("schedule")),
    "cancel_job": lambda on, given: on._cancel_job(given("id")),
    "retry_job": lambda on, given: on._retry_job(given("id")),
}
