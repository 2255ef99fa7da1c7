import asyncio

import telex

hub = telex.Hub()


@hub.on("$command:*:outcome", group="alarms")
async def alarm(outcome: telex.Outcome[object]) -> None:
    if outcome.error is not None:
        print("alarm:", outcome.command, outcome.error.message)


@hub.on("dead:>", group="alarms")
async def alarm_of_a_group(letter: telex.Message[object]) -> None:
    print("alarm:", letter.topic, letter.headers["telex-reason"])


@hub.command("charge")
async def charge(cents: int) -> None:
    raise telex.CommandError("the card was declined")


@hub.on("mails", group="mailer")
async def mail(address: str) -> None:
    raise telex.Reject("no such address")


async def main() -> None:
    async with hub:
        await (await hub.send("charge", 700)).outcome()
        await hub.idle()
        await hub.topic("mails").publish("ann@example")
        await hub.idle()


asyncio.run(main())
# -> alarm: charge the card was declined
# -> alarm: dead:mailer no such address
