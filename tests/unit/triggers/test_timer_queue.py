"""`TimerQueue` against the plainest one that there is: a dictionary that is searched."""

from math import inf
from random import Random
from typing import cast

import pytest

from telex.triggers.timer_queue import TimerQueue
from telex.triggers.trigger import Trigger


class Entered:
    """All that an agenda wants of a trigger."""

    def __init__(self) -> None:
        self.entry = 0


@pytest.mark.parametrize("seed", range(40))
def test_it_gives_what_is_due_in_the_order_of_instants(seed: int) -> None:
    random, agenda, model = Random(seed), TimerQueue(), dict[Trigger, tuple[float, int]]()
    triggers = [cast("Trigger", Entered()) for _ in range(random.choice((3, 30, 300)))]
    now, put = random.choice((0.0, 1.7e9)), 0
    far = random.choice((0.05, 1.0, 100.0))
    for _ in range(2000):
        trigger = random.choice(triggers)
        match random.randrange(5):
            case 0 | 1:
                put += 1
                at = now + random.choice((0.0, far / 2, far * random.random(), -far * random.random()))
                agenda.put(at, trigger)
                model[trigger] = (at, put)
            case 2:
                agenda.drop(trigger)
                model.pop(trigger, None)
            case 3:
                now += random.choice((0.0, far / 100, far, -far / 10))
            case _:
                due = min((each for each in model if model[each][0] <= now), key=model.__getitem__, default=None)
                assert agenda.take(now) is due
                model.pop(due, None) if due is not None else None
        assert agenda.first() <= min((at for at, _ in model.values()), default=inf)
        assert all(bool(each.entry) == (each in model) for each in triggers[:5])
    order = sorted(model, key=model.__getitem__)
    assert [agenda.take(inf) for _ in order] == order
    assert agenda.take(inf) is None
    assert not len(agenda)
    assert agenda.first() == inf


def test_nothing_of_what_is_dropped_stays() -> None:
    agenda, kept = TimerQueue(), cast("Trigger", Entered())
    agenda.put(5.0, kept)
    for number in range(5000):
        trigger = cast("Trigger", Entered())
        agenda.put(number / 10, trigger)
        agenda.drop(trigger)
    assert len(agenda) < 200
    assert agenda.take(4.9) is None
    assert agenda.take(5.0) is kept
    assert agenda.take(inf) is None
    assert not len(agenda)
