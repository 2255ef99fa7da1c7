from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def look(room: str) -> None:
    print("look into the", room)


def main() -> None:
    scheduler.start()
    scheduler.add_job(look, "interval", hours=6, args=["kitchen"], id="look")
    scheduler.reschedule_job("look", trigger="interval", hours=1)
    scheduler.modify_job("look", args=["cellar"])
