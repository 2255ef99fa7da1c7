from celery import Celery

app = Celery("shop", broker="redis://localhost")
app.conf.broker_transport_options = {"queue_order_strategy": "priority"}


@app.task
def pack(order: int) -> None:
    print("packed", order)


def main() -> None:
    pack.apply_async((1,), priority=9)
    pack.apply_async((2,), priority=0)  # on Redis, 0 is the highest
