from celery import Celery

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")


@app.task
def quote(item: str) -> int:
    return {"cup": 7, "plate": 12}[item]


def main() -> None:
    quote.apply_async(("cup",), expires=60)
    quote.apply_async(("plate",), expires=60)  # revoked when the worker gets to it too late
