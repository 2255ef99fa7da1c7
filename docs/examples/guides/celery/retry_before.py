from celery import Celery

app = Celery("shop", broker="redis://localhost")
replies = ["busy", "busy", "sent"]


@app.task(autoretry_for=(ConnectionError,), max_retries=4, retry_backoff=True)
def mail(address: str) -> None:
    reply = replies.pop(0)
    if reply == "busy":
        raise ConnectionError(reply)
    print(reply, "to", address)


def main() -> None:
    mail.delay("ann@example.org")
