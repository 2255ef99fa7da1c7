from celery import Celery

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")
replies = [0, 0, 450]


@app.task(acks_late=True, autoretry_for=(ValueError,), max_retries=3, retry_backoff=True)
def charge(order: int) -> int:
    cents = replies.pop(0)
    if not cents:
        raise ValueError("no answer from the bank")
    return cents


def main() -> None:
    print(charge.apply_async((17,), task_id="order-17").get())
