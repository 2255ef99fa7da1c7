"""The topics of a file, as far as this process knows them: pure bookkeeping."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.engines.sqlite.catalogue import Catalogue
from telex.engines.sqlite.ledger import epoch_of, uid_of


def known() -> Catalogue:
    """A catalogue with two topics of ten messages each, of which five are kept."""
    catalogue = Catalogue()
    catalogue.epoch = "file"
    catalogue.load([(1, "a", "epoch a", "7", 11, 6), (2, "b", "epoch b", "8", 11, 6)], first=True)
    return catalogue


def test_a_topic_is_learned_once() -> None:
    catalogue = Catalogue()
    head = catalogue.learn(1, "a", "epoch", 7)
    assert (head.first, head.end) == (1, 1)
    head.end = 5
    assert catalogue.learn(1, "a", "epoch", 7) is head
    assert catalogue.by_id == {1: head}
    assert catalogue.by_name == {"a": head}


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8))
@settings(max_examples=30)
def test_an_older_look_into_the_file_moves_nothing_back(looks: list[tuple[int, int]]) -> None:
    catalogue = Catalogue()
    for number, (end, first) in enumerate(looks):
        catalogue.load([(1, "a", "epoch", "7", end, first)], first=not number)
    assert catalogue.by_name["a"].end == looks[0][0], "later messages are not delivered yet"
    assert catalogue.end("a") == (max(first for _, first in looks), max(end for end, _ in looks))


@pytest.mark.parametrize(("messages", "kept"), [(None, (6, 11)), (100, (6, 11)), (2, (9, 11)), (0, (11, 11))])
def test_a_rule_hides_messages_that_are_not_deleted_yet(messages: int | None, kept: tuple[int, int]) -> None:
    catalogue = known()
    catalogue.rules.set([("a", messages, None, None)], 1)
    assert catalogue.end("a") == kept


def test_a_topic_that_is_not_there_is_empty() -> None:
    assert known().end("c") == (1, 1)


def test_a_topic_has_its_identity_before_it_is_made() -> None:
    catalogue = known()
    assert catalogue.identity("a") == ("epoch a", 7)
    epoch = epoch_of("file", "c", 0)
    assert catalogue.identity("c") == (epoch, uid_of(epoch, "c"))


def test_each_removal_gives_the_name_another_identity() -> None:
    catalogue, seen = known(), set[tuple[str, int]]()
    seen.add(catalogue.identity("a"))
    for id in (1, 3, 4):
        catalogue.remove(id, "a")
        seen.add(catalogue.identity("a"))
    assert len(seen) == 4
    assert catalogue.end("a") == (1, 1)
    assert catalogue.identity("b") == ("epoch b", 8)


def test_forgetting_an_old_topic_leaves_the_new_one_of_its_name() -> None:
    catalogue = known()
    new = catalogue.learn(3, "a", "another epoch", 9)
    catalogue.forget(1)
    catalogue.forget(1)
    assert catalogue.by_name["a"] is new
    assert set(catalogue.by_id) == {2, 3}


def test_topics_that_are_gone_from_the_file_are_dropped_by_name() -> None:
    catalogue = known()
    assert catalogue.drop_others({2, 99}) == ["a"]
    assert list(catalogue.by_name) == ["b"]
    assert catalogue.drop_others({2}) == []
