"""Short commands: what is the status of an order, and tell its owner by text message, for which a carrier charges.

    python examples/order_status.py worker          serves the commands; start as many as you like
    python examples/order_status.py status 1001     asks, and waits for the answer
    python examples/order_status.py notify 1001     sends the message, once, however often this is repeated
    python examples/order_status.py demo            all of it, with a worker that is killed in the middle

They meet in a file, shop.db, in the folder that SHOP names, or here.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import carrier
import msgspec

import telex

FOLDER = Path(os.environ.get("SHOP", "."))
ORDERS = {"1001": ("shipped", "+33 6 12 34 56 78"), "1002": ("packed", "+49 151 123456")}


class Status(msgspec.Struct):
    """The status of an order."""

    order: str
    status: str


class UnknownOrder(telex.CommandError):
    """There is no such order: the sender's mistake, and trying again would not help."""

    code = "unknown_order"


def shop() -> telex.Hub:
    """A hub on the file in which workers and clients meet."""
    return telex.Hub(f"sqlite:///{FOLDER}/shop.db")


def declare(hub: telex.Hub) -> None:
    """The commands of the shop."""

    @hub.command("order:status")
    async def status(order: str) -> Status:
        if order not in ORDERS:
            raise UnknownOrder(f"there is no order {order}", data={"order": order})
        return Status(order, ORDERS[order][0])

    # A repeat of this command sends no second message, for which the carrier would charge. A worker that dies before it
    # calls the carrier costs nothing. A worker that dies between the call and the record costs a second message,
    # because no program can know whether the first was sent. The demonstration shows both. Many carriers take an
    # idempotency key: give them ctx.key, and there is one message in the second case, too.
    @hub.command("order:notify", once=True, lease="1s")
    async def notify(order: str, ctx: telex.CommandContext[str]) -> str:
        if order not in ORDERS:
            raise UnknownOrder(f"there is no order {order}", data={"order": order})
        what, number = ORDERS[order]
        print(f"worker {os.getpid()}: order {order}, attempt {ctx.attempt}", flush=True)
        await asyncio.sleep(0.5)  # the line to the carrier is slow; a worker may be killed here
        await asyncio.to_thread(carrier.send, FOLDER, number, f"Your order {order} is {what}.")
        print(f"worker {os.getpid()}: order {order}, the carrier has it", flush=True)
        await asyncio.sleep(0.5)  # or here, when it was charged and that is not recorded
        return f"sent to {number}"


async def worker() -> None:
    """Serve until the process is killed."""
    hub = shop()
    declare(hub)
    async with hub:
        await asyncio.Event().wait()


async def status(order: str) -> None:
    """Ask, and print the answer."""
    async with shop() as hub:
        try:
            print(await hub.call("order:status", order, timeout=10, type=Status))
        except telex.CommandFailed as error:
            print(f"{error.code}: {error.message}")


async def notify(order: str, times: int = 1) -> None:
    """Send a notification to the owner. The key identifies it, so that repeats do not send it again."""
    async with shop() as hub:
        tickets = [await hub.send("order:notify", order, key=f"{order} is shipped") for _ in range(times)]
        for ticket in tickets:
            outcome = await ticket.outcome(timeout=30)
            print(outcome.result, "(attempt", outcome.attempt, "replayed)" if outcome.replayed else "carried out)")


def demo() -> None:
    """Five times the same command, and the worker that has it is killed: before the carrier has the message, for one
    order, and just after, for the other.
    """
    global FOLDER  # noqa: PLW0603  # the demonstration has a folder of its own
    with tempfile.TemporaryDirectory() as folder:
        FOLDER = Path(folder)
        command = [sys.executable, __file__, "worker"]
        environment = os.environ | {"SHOP": folder}
        ours, theirs = os.pipe()
        workers = [subprocess.Popen(command, env=environment, stdout=theirs) for _ in range(3)]
        os.close(theirs)
        try:
            with os.fdopen(ours) as told:
                for order, said in ("1001", "attempt 1"), ("1002", "the carrier has it"):
                    client = subprocess.Popen([sys.executable, __file__, "notify", order, "5"], env=environment)
                    victim = who_says(told, f"order {order}, {said}")
                    print(f"worker {victim} is killed with the command in its hands", flush=True)
                    os.kill(victim, signal.SIGKILL)
                    client.wait(60)
            asyncio.run(status("1001"))
            asyncio.run(status("9999"))
        finally:
            for process in workers:
                process.kill()
                process.wait()
        for number, text, cents in carrier.charges(FOLDER):
            print(f"charged: {cents} cents for {text!r} to {number}")
        print("5 commands and 2 attempts each: killed before the charge, one; killed after it, two")


def who_says(told: Iterable[str], what: str) -> int:
    """The worker that says so, of all that they say."""
    for line in told:
        print(line, end="", flush=True)
        if what in line:
            return int(line.split()[1].rstrip(":"))
    raise SystemExit("the workers have ended")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker"]:
            asyncio.run(worker())
        case ["status", order]:
            asyncio.run(status(order))
        case ["notify", order, *times]:
            asyncio.run(notify(order, int(times[0]) if times else 1))
        case ["demo"]:
            demo()
        case _:
            sys.exit(__doc__)
