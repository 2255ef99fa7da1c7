from celery import Celery
from celery.result import AsyncResult

app = Celery("shop", broker="redis://localhost", backend="redis://localhost", result_expires=86400)


@app.task
def report(month: int) -> str:
    return f"report of month {month}"


def start(month: int) -> str:
    return str(report.delay(month).id)


def look(id: str) -> None:
    result = AsyncResult(id, app=app)
    print(result.state, result.get(timeout=10))


def main() -> None:
    look(start(11))
