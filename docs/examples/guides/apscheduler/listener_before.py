from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()


def listen(event: JobExecutionEvent) -> None:
    print(event.job_id, event.exception or event.retval)


def main() -> None:
    scheduler.add_listener(listen, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    scheduler.start()
