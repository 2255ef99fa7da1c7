from celery import Celery

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")


@app.task(bind=True)
def load(self, rows: int) -> int:
    self.update_state(state="PROGRESS", meta={"done": rows // 2, "of": rows})
    return rows


def main() -> None:
    result = load.delay(1000)
    print(result.state, result.info)
