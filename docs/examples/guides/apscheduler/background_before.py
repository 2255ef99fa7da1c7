from threading import Event

from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()
seen = Event()


@scheduler.scheduled_job("interval", seconds=0.05)
def look() -> None:
    seen.set()


def main() -> None:
    scheduler.start()
    seen.wait(10)
    print("seen")
