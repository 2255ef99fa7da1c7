from celery import Celery

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")


@app.task
def greet(name: str) -> str:
    return f"hello {name}"


def view(name: str) -> str:
    result: str = greet.delay(name).get(timeout=10)
    return result


def main() -> None:
    print(view("ann"))
