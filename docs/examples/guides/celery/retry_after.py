import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()  # the seconds between the attempts take no time here
hub = telex.Hub("memory://", clock=clock)
replies = ["busy", "busy", "sent"]


@hub.on("mails", group="mailer", retry=telex.Retry(attempts=5, first="1s"))
async def mail(address: str) -> None:
    reply = replies.pop(0)
    if reply == "unknown address":
        raise telex.Reject(reply)  # not retried: it becomes a dead letter
    if reply == "busy":
        raise ConnectionError(reply)
    print(reply, "to", address)


async def main() -> None:
    async with hub:
        await hub.topic("mails").publish("ann@example.org")
        await hub.idle(timeout=60)


clock.run(main())
# -> sent to ann@example.org
