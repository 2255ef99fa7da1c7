from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def report(team: str, pages: int) -> None:
    print("report for", team, "of", pages, "pages")


def main() -> None:
    scheduler.add_job(report, "cron", day_of_week="mon", hour=9, args=["sales"], kwargs={"pages": 3})
    scheduler.start()
