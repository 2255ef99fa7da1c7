"""The known topics of a schema, and the server's clock."""

from time import monotonic, time

import pytest

from telex.engines.postgres.catalogue import ServerClock, TopicCatalogue, epoch_of, uid_of


def names(catalogue: TopicCatalogue) -> set[str]:
    assert {topic.name for topic in catalogue.by_id.values()} == set(catalogue.by_name)
    return set(catalogue.by_name)


def test_a_topic_that_does_not_exist_has_its_future_epoch() -> None:
    catalogue = TopicCatalogue()
    catalogue.epoch = "base"
    epoch, uid = catalogue.identity("t")
    assert (epoch, uid) == (epoch_of("base", "t", 0), uid_of(epoch, "t"))
    catalogue.learn(1, "t", epoch)
    assert catalogue.identity("t") == (epoch, uid)
    catalogue.load([], {"t": 1}, [1], first=False)
    assert catalogue.identity("t")[0] == epoch_of("base", "t", 1), "a removed topic begins another epoch"


def test_epochs_and_counters_differ_by_schema_topic_and_removal() -> None:
    epochs = {epoch_of(base, name, removed) for base in ("a", "b") for name in ("t", "u") for removed in (0, 1)}
    assert len(epochs) == 8
    assert {len(epoch) for epoch in epochs} == {12}
    counters = {uid_of(epoch, name) for epoch in epochs for name in ("t", "u")}
    assert len(counters) == 16
    assert all(0 <= counter < 1 << 74 for counter in counters)


def test_all_topics_are_loaded_and_the_removed_ones_returned() -> None:
    catalogue = TopicCatalogue()
    catalogue.learn(1, "gone", "e1")
    catalogue.learn(2, "stays", "e2").end = 9
    before = list(catalogue.by_id)
    catalogue.learn(7, "made during the query", "e7")
    rows = [(2, "stays", "e2", 3, 5), (4, "new", "e4", 2, 6)]
    assert catalogue.load(rows, {"gone": 1}, before, first=False) == ["gone"]
    assert names(catalogue) == {"stays", "new", "made during the query"}
    assert catalogue.last_id == 4
    assert [catalogue.by_name[name].first for name in ("stays", "new")] == [3, 2]
    assert [catalogue.by_name[name].seen for name in ("stays", "new")] == [6, 7]
    assert [catalogue.end(name) for name in ("stays", "new", "gone")] == [9, 1, 1], "no message was delivered"
    catalogue.load([(2, "stays", "e2", 1, 3)], {"gone": 1}, [], first=False)
    assert (catalogue.by_name["stays"].first, catalogue.by_name["stays"].seen) == (3, 6), "a late answer"


def test_messages_before_the_engine_was_opened_are_not_delivered() -> None:
    catalogue = TopicCatalogue()
    assert catalogue.load([(1, "t", "e1", 2, 5)], {}, [], first=True) == []
    assert (catalogue.end("t"), catalogue.by_name["t"].first) == (6, 2)


def test_a_recreated_topic_stays_when_the_topic_before_it_is_forgotten() -> None:
    catalogue = TopicCatalogue()
    catalogue.learn(1, "t", "e1")
    new = catalogue.learn(2, "t", "e2")
    catalogue.forget(1)
    catalogue.forget(1)
    assert catalogue.by_name == {"t": new}
    assert catalogue.learn(2, "t", "e2") is new
    catalogue.forget(2)
    assert names(catalogue) == set()


def test_the_clock_is_that_of_this_machine_until_the_server_has_answered() -> None:
    assert ServerClock().now() == pytest.approx(time(), abs=5)


def test_an_answer_sets_the_clock_to_the_middle_of_its_interval() -> None:
    clock = ServerClock()
    asked = monotonic()
    clock.answered(50_000.0, asked, asked + 20.0)
    assert clock.now() == pytest.approx(50_000.0 - 10.0, abs=5)


def test_an_answer_that_agrees_changes_nothing_and_another_one_as_little_as_it_has_to() -> None:
    clock = ServerClock()
    start = monotonic()
    clock.answered(50_000.0, start, start)
    clock.answered(50_090.0, start, start + 200.0)
    assert clock.now() == pytest.approx(50_000.0, abs=5), "the server may have answered at 90 of 200 seconds"
    clock.answered(50_500.0, start, start + 200.0)
    assert clock.now() == pytest.approx(50_300.0, abs=5), "the clock goes forward to the edge of the interval"
    clock.answered(50_000.0, start, start + 200.0)
    assert clock.now() == pytest.approx(50_000.0, abs=5), "and back to the other edge"
