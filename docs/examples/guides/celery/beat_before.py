from celery import Celery
from celery.schedules import crontab

app = Celery("shop", broker="redis://localhost")
app.conf.timezone = "Europe/Paris"
app.conf.beat_schedule = {
    "bill": {"task": "bill", "schedule": crontab(hour=9, minute=0, day_of_week="mon-fri"), "args": ("all",)},
    "look": {"task": "look", "schedule": 6 * 3600.0},
}


@app.task(name="bill")
def bill(customers: str) -> None:
    print("bill", customers)


@app.task(name="look")
def look() -> None:
    print("look")
