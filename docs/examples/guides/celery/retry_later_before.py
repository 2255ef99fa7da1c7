from celery import Celery

app = Celery("shop", broker="redis://localhost")
stock: list[str] = []


@app.task(bind=True, max_retries=10)
def ship(self, item: str) -> None:
    if item not in stock:
        stock.append(item)  # it is delivered meanwhile
        raise self.retry(countdown=60)
    print("shipped", item, "at attempt", self.request.retries + 1)


def main() -> None:
    ship.delay("cup")
