from apscheduler.schedulers.blocking import BlockingScheduler

scheduler = BlockingScheduler(timezone="Europe/Paris")


@scheduler.scheduled_job("cron", day_of_week="mon-fri", hour=9, minute=30)
def open_shop() -> None:
    print("the shop is open")
