from celery import Celery, chord

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")


@app.task
def count(word: str) -> int:
    return len(word)


@app.task
def total(counts: list[int]) -> int:
    return sum(counts)


def main() -> None:
    print(chord((count.s(word) for word in ("cup", "plate", "spoon")), total.s())().get())
