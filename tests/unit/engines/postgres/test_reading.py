"""The functions of the schema that read topics and delete messages."""

from time import time

import pytest

from tests.unit.engines.postgres.rigs import Sql

pytestmark = pytest.mark.slow


def rule(sql: Sql, messages: int | None = None, age: float | None = None, size: int | None = None) -> None:
    sql.rows("SELECT put_rule('t', '^t$', %s, %s, %s)", messages, age, size)


def sweep(sql: Sql, chunk: int = 1000, young: float = 0.0) -> bool:
    found: bool = sql.one("SELECT sweep('t', %s, %s, %s)", time() + 0.001, young, chunk)
    return found


def stored(sql: Sql) -> list[int]:
    found = sql.rows("SELECT m.content FROM messages m JOIN topics t ON t.id = m.topic WHERE t.name = 't' ORDER BY pos")
    return [int(content) for (content,) in found]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({"messages": 2}, [3, 4]),
        ({"messages": 0}, []),
        ({"age": 150.0}, [2, 3, 4]),
        ({"size": 20}, [3, 4]),
        ({"size": 29}, [3, 4]),
        ({"messages": 3, "age": 250.0, "size": 40}, [2, 3, 4]),
    ],
)
def test_readers_are_shown_the_messages_that_retention_keeps(
    sql: Sql, rules: dict[str, float], kept: list[int]
) -> None:
    for number, ago in ((1, 200.0), (2, 100.0), (3, 50.0), (4, 0.0)):
        sql.append("t", number, ago=ago)
    rule(sql, **rules)  # type: ignore[arg-type]  # numbers
    assert sql.contents("t") == kept
    assert stored(sql) == [1, 2, 3, 4], "reading deletes nothing"


def test_without_a_rule_the_last_thousand_messages_are_kept(sql: Sql) -> None:
    sql.append("t", *range(1010))
    assert sql.contents("t") == list(range(10, 1010))


def test_a_page_has_at_most_1024_messages(sql: Sql) -> None:
    rule(sql, messages=5000)
    sql.append("t", *range(1100))
    assert sql.contents("t") == list(range(1024))
    assert sql.contents("t", first=1025) == list(range(1024, 1100))


def test_the_first_message_of_a_moment_is_found(sql: Sql) -> None:
    for number, ago in ((1, 30.0), (2, 20.0), (3, 10.0)):
        ((_, base), (topic,), *_) = sql.append("t", number, ago=ago)
    now = time()
    assert base == 2
    for ago, found in ((40.0, 1), (25.0, 2), (15.0, 3), (5.0, 4)):
        assert sql.one("SELECT search(%s, 1, 4, %s, NULL)", topic, now - ago) == found
    assert [sql.one("SELECT search(%s, 1, 4, NULL, %s)", topic, total) for total in (10, 11, 30, 31)] == [1, 2, 3, 4]


def test_new_messages_are_read_of_the_wanted_topics_in_the_order_of_their_places(sql: Sql) -> None:
    ((before, _), (t,), *_) = sql.append("t", 1)
    (_, (u,), *_) = sql.append("u", 2)
    sql.append("v", 3)
    sql.append("t", 4)
    read = "SELECT o_pos - %s, o_topic, o_seq, o_content FROM read_live(%s, %s, %s)"
    assert sql.rows(read, before, before, before + 4, [t, u]) == [(1, t, 1, "1"), (2, u, 1, "2"), (4, t, 2, "4")]
    assert sql.rows(read, before, before + 1, before + 3, [t, u]) == [(2, u, 1, "2")]
    changed = sql.rows("SELECT o_name, o_head FROM read_changed(%s, %s) ORDER BY 1", before + 1, before + 4)
    assert changed == [("t", 2), ("u", 1), ("v", 1)]


def test_the_last_messages_of_several_topics_are_read_up_to_a_place(sql: Sql) -> None:
    ((before, _), *_) = sql.append("t", 1, 2)
    sql.append("u", 3)
    sql.append("t", 4)
    for count, place, found in ((3, 4, ["2", "3", "4"]), (2, 3, ["2", "3"]), (9, 9, ["1", "2", "3", "4"])):
        rows = sql.rows("SELECT o_content FROM read_last(%s, %s, %s, %s)", ["t", "u"], count, before + place, time())
        assert [content for (content,) in rows] == found


def test_messages_are_deleted_a_part_at_a_time(sql: Sql) -> None:
    sql.append("t", *range(10), ago=60.0)
    rule(sql, messages=3)
    assert sweep(sql, chunk=4), "there is more to delete"
    assert stored(sql) == [4, 5, 6, 7, 8, 9]
    assert not sweep(sql, chunk=4)
    assert stored(sql) == sql.contents("t") == [7, 8, 9]
    (outcome, *_) = sql.append("t", 10)
    assert outcome[1] == 10, "numbers continue"


def test_young_messages_are_not_deleted(sql: Sql) -> None:
    sql.append("t", 1, 2, ago=60.0)
    sql.append("t", 3, 4, ago=5.0)
    rule(sql, messages=0)
    assert sql.contents("t") == []
    sweep(sql, young=10.0)
    assert stored(sql) == [3, 4]


def test_messages_are_kept_for_a_group_that_has_not_seen_or_settled_them(sql: Sql) -> None:
    sql.append("t", 1, 2, 3, 4, ago=60.0)
    sql.join("g", "t")
    rule(sql, messages=0)
    (first, second) = sql.claim("g", "t", limit=2)
    sql.settle("g", "t", first)
    sweep(sql)
    assert stored(sql) == [2, 3, 4]
    sql.settle("g", "t", second)
    assert stored(sql) == [3, 4], "settling deletes a message that only the group kept"
    sql.rows("UPDATE groups SET rests = true")
    sweep(sql)
    assert stored(sql) == []


def test_cleaning_deletes_what_a_removed_topic_leaves_in_parts(sql: Sql) -> None:
    sql.append("t", 1, 2, 3, ids=["a", "b", "c"])
    sql.rows("SELECT remove_topic('t')")
    assert [sql.one("SELECT count(*) FROM messages"), sql.one("SELECT count(*) FROM ids")] == [3, 3]
    assert sql.one("SELECT clean(2)"), "there is more to delete"
    assert sql.one("SELECT count(*) FROM messages") == 1
    sql.rows("SELECT clean(2)")
    assert [sql.one(f"SELECT count(*) FROM {table}") for table in ("messages", "ids", "orphans")] == [0, 0, 0]
    assert not sql.one("SELECT clean(2)")
