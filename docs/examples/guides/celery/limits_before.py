from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

app = Celery("shop", broker="redis://localhost")


@app.task(rate_limit="10/s", soft_time_limit=5)
def ask(question: str) -> None:
    try:
        print("asked:", question)
    except SoftTimeLimitExceeded:
        print("too slow")


def main() -> None:
    ask.delay("how are you?")
