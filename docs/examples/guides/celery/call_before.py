from celery import Celery

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")


@app.task
def price(item: str, count: int) -> int:
    return {"cup": 7, "plate": 12}[item] * count


def main() -> None:
    print(price.delay("cup", 3).get(timeout=10))
