from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(url="sqlite:///jobs.db")})


def bill(customer: str) -> None:
    print("bill", customer)


def main() -> None:
    scheduler.start()  # in one process only: two schedulers on one store run each job twice
    scheduler.add_job(bill, "interval", days=1, args=["ann"], id="ann", replace_existing=True)
    print([job.id for job in scheduler.get_jobs()])
