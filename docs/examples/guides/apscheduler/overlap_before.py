from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def sweep() -> None:
    print("sweep")


def main() -> None:
    scheduler.start()
    scheduler.add_job(sweep, "interval", minutes=10, max_instances=1)  # skipped while the last run goes on
