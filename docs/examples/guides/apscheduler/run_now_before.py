from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def clean() -> None:
    print("clean")


def main() -> None:
    scheduler.start()
    scheduler.add_job(clean, "cron", hour=3, id="clean")
    scheduler.modify_job("clean", next_run_time=datetime.now(UTC))
