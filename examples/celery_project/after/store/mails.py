"""Mails. A newsletter has a topic of its own, so it does not delay invoices."""

from dataclasses import dataclass

import telex

from . import world

router = telex.Router()


@dataclass
class Mail:
    to: str
    text: str


@dataclass
class Newsletter:
    subscribers: list[str]
    text: str


PATIENT = telex.Retry(attempts=9, first=world.WAIT)
RATE = telex.Limit(rate="20/s", name="mails")


@router.on("mails", group="mails", retry=PATIENT, limit=RATE)
@router.on("mails:later", group="mails:later", retry=PATIENT, limit=RATE)
def send_mail(mail: Mail) -> None:
    world.deliver_mail(mail.to, mail.text)


@router.on("newsletters", group="newsletters")
async def send_newsletter(newsletter: Newsletter, hub: telex.Hub) -> None:
    for to in newsletter.subscribers:
        await hub.topic("mails:later").publish(Mail(to, newsletter.text))
