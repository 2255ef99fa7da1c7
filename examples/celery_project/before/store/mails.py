"""Mails, in a queue of their own."""

from celery import group

from . import world
from .celery import app


@app.task(autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=8, rate_limit="20/s", ignore_result=True)
def send_mail(to: str, text: str) -> None:
    world.deliver_mail(to, text)


@app.task(ignore_result=True)
def send_newsletter(subscribers: list[str], text: str) -> None:
    group(send_mail.s(to, text) for to in subscribers).apply_async(priority=9)
