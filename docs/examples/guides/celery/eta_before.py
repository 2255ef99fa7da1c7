from datetime import UTC, datetime, timedelta

from celery import Celery

app = Celery("shop", broker="redis://localhost")


@app.task
def remind(name: str) -> None:
    print("remind", name)


def main() -> None:
    remind.apply_async(("ann",), countdown=600)
    remind.apply_async(("bob",), eta=datetime.now(UTC) + timedelta(days=1))
