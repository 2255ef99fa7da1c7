"""Work that beat starts, and the alarm for failed tasks."""

from celery.signals import task_failure

from . import world
from .celery import app
from .reports import build_report


@app.task
def expire_carts() -> int:
    count = len(world.carts)
    world.carts.clear()
    return count


@app.task
def refresh_rates(currency: str) -> None:
    world.rates[currency] = 1.08


@app.task
def nightly_report() -> None:
    build_report.delay(month=11)


@task_failure.connect
def raise_alarm(sender=None, exception=None, **rest) -> None:
    world.alarms.append(f"{sender.name.rpartition('.')[2]}: {exception}")
