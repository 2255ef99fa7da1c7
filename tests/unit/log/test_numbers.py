"""Places of a process and numbers of an engine."""

from hypothesis import given
from hypothesis import strategies as st

from telex.log.numbers import Numbers
from telex.message import Message

STEPS = st.lists(st.integers(1, 4), min_size=1, max_size=30)


def messages(seqs: list[int]) -> list[Message[None]]:
    return [Message.new(None, seq=seq) for seq in seqs]


def rising(steps: list[int], before: int = 0) -> list[int]:
    return [before + sum(steps[: index + 1]) for index in range(len(steps))]


@given(STEPS, st.integers(1, 100), st.integers(1, 7))
def test_each_place_has_the_number_of_its_message(steps: list[int], start: int, size: int) -> None:
    numbers, seqs = Numbers(), rising(steps, start - 1)
    numbers.restart(start)
    for index in range(0, len(seqs), size):
        numbers.extend(start + index, messages(seqs[index : index + size]))
    assert [numbers.seq(start + index) for index in range(len(seqs))] == seqs
    assert numbers.seq(start + len(seqs)) == seqs[-1] + 1, "the next number is larger"


@given(STEPS, st.data())
def test_numbers_of_places_that_are_read_later_and_in_any_order_are_between_the_known_ones(
    steps: list[int], data: st.DataObject
) -> None:
    seqs = rising(steps, 1000)
    places = range(100, 100 + len(seqs))
    numbers = Numbers()
    numbers.restart(100 + len(seqs))
    numbers.add(100 + len(seqs), seqs[-1] + 1)
    known: set[int] = set()
    for place in data.draw(st.permutations(list(places))):
        numbers.add(place, seqs[place - 100])
        known.add(place)
        for each in known:
            assert numbers.seq(each) == seqs[each - 100]
        for each in range(min(known), 100 + len(seqs)):
            low = max(other for other in known if other <= each)
            assert numbers.seq(each) >= seqs[low - 100]


@given(STEPS, st.integers(0, 29))
def test_the_numbers_after_a_place_outlive_pruning(steps: list[int], index: int) -> None:
    numbers, seqs = Numbers(), rising(steps)
    numbers.extend(1, messages(seqs))
    index = min(index, len(seqs) - 1)
    numbers.prune(1 + index)
    assert [numbers.seq(1 + each) for each in range(index, len(seqs))] == seqs[index:]


def test_a_place_in_a_gap_has_a_number_before_the_next_message() -> None:
    numbers = Numbers()
    numbers.add(5, 3)
    assert [numbers.seq(place) for place in (1, 4, 5)] == [1, 2, 3]
