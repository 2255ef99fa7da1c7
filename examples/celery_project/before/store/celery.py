"""The application, its settings and its schedule."""

from celery import Celery
from celery.schedules import crontab

app = Celery(
    "store",
    broker="redis://localhost:6379/0",
    backend="redis://localhost:6379/1",
    include=["store.orders", "store.mails", "store.reports", "store.upkeep"],
)
app.conf.update(
    timezone="Europe/Berlin",
    result_expires=86400,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_routes={"store.mails.*": {"queue": "mails"}},
    beat_schedule={
        "expire-carts": {"task": "store.upkeep.expire_carts", "schedule": 600.0},
        "refresh-rates": {
            "task": "store.upkeep.refresh_rates",
            "schedule": 3600.0,
            "args": ("EUR",),
            "options": {"expires": 1800},
        },
        "nightly-report": {"task": "store.upkeep.nightly_report", "schedule": crontab(hour=3, minute=30)},
    },
)
