"""The deliveries a second from one publisher to 1, 100 and 1000 subscribers in one process."""

import importlib
from statistics import median
from time import perf_counter

from bench.peers import FanOut, caught_up
from bench.question import Contestant, Question
from bench.worker import run

BURST = 64
SECONDS = 0.06
# The median of so many slices is a round's figure: what else the machine does in one of them does not count, and
# neither does a lucky one, of which the Go program has more than others.
SLICES = 5
# Seconds after which no further slice is begun: to 1000 subscribers one message of bubus takes longer.
ENOUGH = 1.0
# A burst of 64 to 1000 subscribers would take these a minute. They deliver within the call that publishes, message by
# message, so that a smaller burst is no slower.
SLOW_BURST = {"1": 64, "100": 4, "1000": 1}
SLOW = ("faststream_nats", "bubus_bus")

QUESTION = Question(
    name="fanout",
    title="Fan-out in one process",
    method=(
        "One publisher, bursts of 64 messages; after each it yields to the event loop until the subscribers have "
        "caught up. Every subscriber counts what reaches it, and the figure counts what arrived. telex makes a "
        "message with id, time and sequence number, the Go program one with id and time; the others deliver the bare "
        "text."
    ),
    unit="deliveries a second",
    better="more",
    cases={"1": "1 subscriber", "100": "100 subscribers", "1000": "1000 subscribers"},
    contestants=(
        Contestant("telex_batches", "telex, batches()"),
        Contestant("telex_iterate", "telex, async for"),
        Contestant(
            "go_seed", "Go program, all cores", "the document's own; a goroutine a subscriber, channels of 1024"
        ),
        Contestant("asyncio_queue", "asyncio.Queue", "one a subscriber"),
        Contestant("anyio_streams", "anyio memory streams", "one a subscriber"),
        Contestant("blinker_send", "blinker, send", "calls receivers while it publishes", calls=True),
        Contestant("blinker_send_async", "blinker, send_async", "awaits receivers while it publishes", calls=True),
        Contestant("pypubsub", "PyPubSub", "calls listeners while it publishes", calls=True),
        Contestant("aiopubsub_sync", "aiopubsub, listeners", "calls listeners while it publishes", calls=True),
        Contestant("aiopubsub_consume", "aiopubsub, consume", "a queue a subscriber, no bound"),
        Contestant("broadcaster_memory", "broadcaster, memory", "a queue a subscriber, no bound"),
        Contestant(
            "faststream_nats",
            "FastStream, TestNatsBroker",
            "awaits handlers while it publishes; no logger, no FastDepends",
            calls=True,
        ),
        Contestant("bubus_bus", "bubus", "calls handlers from a task of its own; history of 1, no log"),
    ),
    rounds=7,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Deliveries a second, and how many of the messages did not arrive."""
    subscribers = 2 if quick else int(case)
    seconds, slices = (0.0, 1) if quick else (SECONDS, SLICES)
    if contestant == "go_seed":
        from bench.peers.go_seed import fan_out

        runs = [fan_out(subscribers, quick) for _ in range(slices)]
        return median(rate for rate, _ in runs), sum(dropped for _, dropped in runs)
    peer: FanOut = importlib.import_module(f"bench.peers.{contestant}").Peer()
    burst = SLOW_BURST[case] if contestant in SLOW else BURST
    dropped = 0

    async def main() -> float:
        nonlocal dropped
        await peer.open(subscribers)
        # The first messages fill caches and start tasks.
        published, _ = await publish(peer, 1 if contestant in SLOW else burst, 0.0)
        rates: list[float] = []
        end = perf_counter() + ENOUGH
        while len(rates) < slices and (not rates or perf_counter() < end):
            count, elapsed = await publish(peer, burst, seconds)
            published += count
            rates.append(count / elapsed)
        received = sum(await peer.close())
        dropped = published * subscribers - received
        # Should messages be missing, the figure is short of them.
        return median(rates) * received / published

    return run(main()), dropped


async def publish(peer: FanOut, burst: int, seconds: float) -> tuple[int, float]:
    """Publish burst after burst until so many ``seconds`` have passed, at least one; the messages and the seconds."""
    published, start = 0, perf_counter()
    end = start + seconds
    while True:
        await peer.publish(burst)
        published += burst
        await caught_up(peer.behind)
        now = perf_counter()
        if now >= end:
            return published, now - start
