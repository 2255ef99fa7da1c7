from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def remind() -> None:
    print("remind")


def main() -> None:
    scheduler.add_job(remind, "date", run_date=datetime.now(UTC) + timedelta(minutes=90))
    scheduler.start()
