"""The cost of a condition on the rate of a topic, for the fan-out of the topic."""

from statistics import median
from time import perf_counter

from bench.fanout import BURST, ENOUGH, SECONDS, SLICES, publish
from bench.peers import TOPIC
from bench.peers.telex_iterate import Peer
from bench.question import Contestant, Question
from bench.worker import run

QUESTION = Question(
    name="rates",
    title="A condition on a topic at full speed",
    method=(
        "The fan-out to `async for`, as above, while hub.when watches the rate of the same topic: one that is reached "
        "at once and stays so, one that is never reached, whose every time is kept, and one for each of a thousand "
        "keys. The condition has looked at every message by the end."
    ),
    unit="deliveries a second",
    better="more",
    cases={"1": "1 subscriber", "100": "100 subscribers", "1000": "1000 subscribers"},
    contestants=(
        Contestant("plain", "no condition"),
        Contestant("reached", "reached", "rate >= 1000 a second"),
        Contestant("below", "never reached", "rate >= 1000000 a second"),
        Contestant("by_key", "a thousand keys", "rate >= 1000000 a second, by=; one call of the function a message"),
    ),
    rounds=7,
)


class Watched(Peer):
    """The subscribers, and a condition."""

    def __init__(self, contestant: str) -> None:
        super().__init__()
        hub = self._hub
        if contestant == "reached":
            hub.when(hub.rate(TOPIC, per="1s") >= 1000, topic="reached", rising=True)
        elif contestant == "below":
            hub.when(hub.rate(TOPIC, per="1s") >= 1_000_000, topic="below", rising=True)
        elif contestant == "by_key":
            hub.when(hub.rate(TOPIC, per="1s", by=lambda m: m.seq % 1000) >= 1_000_000, topic="by_key", rising=True)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Deliveries a second to the subscribers, and how many of the messages did not arrive."""
    subscribers = 2 if quick else int(case)
    seconds, slices = (0.0, 1) if quick else (SECONDS, SLICES)
    peer = Watched(contestant)

    async def main() -> tuple[float, int]:
        await peer.open(subscribers)
        published, _ = await publish(peer, BURST, 0.0)
        rates: list[float] = []
        end = perf_counter() + ENOUGH
        while len(rates) < slices and (not rates or perf_counter() < end):
            count, elapsed = await publish(peer, BURST, seconds)
            published += count
            rates.append(count / elapsed)
        received = sum(await peer.close())
        return median(rates) * received / published, published * subscribers - received

    return run(main())
