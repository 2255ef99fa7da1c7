from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler(timezone="UTC")


def look() -> None:
    print("look")


def main() -> None:
    scheduler.start()
    scheduler.add_job(look, "cron", hour=9, id="look")
    for job in scheduler.get_jobs():
        print(job.id, job.next_run_time)
