from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def fetch() -> None:
    print("fetch")


def main() -> None:
    scheduler.start()
    scheduler.add_job(fetch, "interval", hours=1, jitter=120)
