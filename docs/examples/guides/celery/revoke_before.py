from time import sleep

from celery import Celery

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")


@app.task
def export(table: str) -> None:
    sleep(3600)


def stop(id: str) -> None:
    app.control.revoke(id, terminate=True)
