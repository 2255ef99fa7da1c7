"""Work at certain times, and the alarm for what has failed."""

import telex

from . import world
from .reports import Wanted

router = telex.Router()


@router.every("10m")
def expire_carts() -> None:
    world.carts.clear()


@router.every("1h", misfire="skip")
def refresh_rates() -> None:
    world.rates["EUR"] = 1.08


@router.cron("30 3 * * *", tz="Europe/Berlin")
async def nightly_report(hub: telex.Hub) -> None:
    await hub.send("build_report", Wanted(month=11))


@router.on("$command:*:outcome", group="alarms")
async def raise_alarm(outcome: telex.Outcome[object]) -> None:
    if outcome.error is not None:
        world.alarms.append(f"{outcome.command}: {outcome.error.message}")


@router.on("dead:>", group="alarms")
async def raise_alarm_of_a_group(letter: telex.Message[object]) -> None:
    world.alarms.append(f"{letter.topic}: {letter.headers['telex-reason']}")
