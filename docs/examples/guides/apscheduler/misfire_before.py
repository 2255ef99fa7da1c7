from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def look() -> None:
    print("look")


def main() -> None:
    scheduler.start()
    scheduler.add_job(look, "interval", hours=1, coalesce=True, misfire_grace_time=None)
