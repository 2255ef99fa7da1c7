from celery import Celery, chain

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")


@app.task
def fetch(name: str) -> str:
    return f"<h1>{name}</h1>"


@app.task
def title(page: str) -> str:
    return page.removeprefix("<h1>").removesuffix("</h1>")


@app.task
def shout(text: str) -> str:
    return text.upper()


def main() -> None:
    print(chain(fetch.s("cups"), title.s(), shout.s())().get())
