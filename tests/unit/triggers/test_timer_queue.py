"""`TimerQueue` against the plainest one that there is: a dictionary that is searched."""

from math import inf
from random import Random

import pytest

from telex.triggers.timer_queue import TimerQueue


class Entered:
    """All that the queue uses of a trigger."""

    def __init__(self) -> None:
        self.queue_entry = 0


@pytest.mark.parametrize("seed", range(40))
def test_it_gives_what_is_due_in_the_order_of_instants(seed: int) -> None:
    random, queue, model = Random(seed), TimerQueue[Entered](), dict[Entered, tuple[float, int]]()
    triggers = [Entered() for _ in range(random.choice((3, 30, 300)))]
    now, put = random.choice((0.0, 1.7e9)), 0
    far = random.choice((0.05, 1.0, 100.0))
    for _ in range(2000):
        trigger = random.choice(triggers)
        match random.randrange(5):
            case 0 | 1:
                put += 1
                at = now + random.choice((0.0, far / 2, far * random.random(), -far * random.random()))
                queue.put(at, trigger)
                model[trigger] = (at, put)
            case 2:
                queue.drop(trigger)
                model.pop(trigger, None)
            case 3:
                now += random.choice((0.0, far / 100, far, -far / 10))
            case _:
                due = min((each for each in model if model[each][0] <= now), key=model.__getitem__, default=None)
                assert queue.take(now) is due
                model.pop(due, None) if due is not None else None
        assert queue.first() <= min((at for at, _ in model.values()), default=inf)
        assert all(bool(each.queue_entry) == (each in model) for each in triggers[:5])
    order = sorted(model, key=model.__getitem__)
    assert [queue.take(inf) for _ in order] == order
    assert queue.take(inf) is None
    assert not len(queue)
    assert queue.first() == inf


def test_nothing_of_what_is_dropped_stays() -> None:
    queue, kept = TimerQueue[Entered](), Entered()
    queue.put(5.0, kept)
    for number in range(5000):
        trigger = Entered()
        queue.put(number / 10, trigger)
        queue.drop(trigger)
    assert len(queue) < 200
    assert queue.take(4.9) is None
    assert queue.take(5.0) is kept
    assert queue.take(inf) is None
    assert not len(queue)
