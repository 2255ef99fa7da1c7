from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def mail(address: str) -> None:
    print("mail to", address)


def main() -> None:
    scheduler.start()
    scheduler.add_job(mail, "interval", days=1, args=["ann@example.org"], id="ann", replace_existing=True)
    scheduler.remove_job("ann")
    try:
        scheduler.remove_job("ann")
    except JobLookupError:
        print("it has gone")
