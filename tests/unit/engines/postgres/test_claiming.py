"""The functions of the schema that lease messages to the members of groups."""

from typing import Any

import pytest

from tests.unit.engines.postgres.rigs import Sql

pytestmark = pytest.mark.slow
ALL = {"fits": "^t:[^:]+$"}


def head(sql: Sql, pattern: str = "t") -> tuple[int, float | None]:
    """The lag of the group, and the seconds until something may be due."""
    (row, *_) = sql.rows("SELECT o_seq, o_time FROM claim('g', %s, 100, 30, 'me')", pattern)
    lag, seconds = row
    return lag, seconds


@pytest.mark.parametrize(
    ("start", "number", "found"),
    [
        ("new", 0.0, [5]),
        ("earliest", 0.0, [1, 2, 3, 4, 5]),
        ("back", 1.0, [4, 5]),
        ("back", 99.0, [1, 2, 3, 4, 5]),
        ("time", -150.0, [3, 4, 5]),
        ("position", 3.0, [4, 5]),
        ("position", 99.0, [5]),
    ],
)
def test_a_group_begins_at_its_start(sql: Sql, start: str, number: float, found: list[int]) -> None:
    for content, ago in ((1, 300.0), (2, 200.0), (3, 100.0), (4, 0.0)):
        (_, _, (epoch,), *_) = sql.append("t", content, ago=ago)
    now = sql.one("SELECT clock()")
    given = now + number if start == "time" else number
    for _ in range(2):  # a group that exists does not begin again
        sql.rows("SELECT join_group('g', 't', NULL, %s, %s, %s, %s)", start, given, epoch, now)
    sql.append("t", 5)
    assert sql.fetched("g", "t") == found


def test_a_position_of_another_epoch_begins_at_the_earliest_message(sql: Sql) -> None:
    sql.append("t", 1, 2)
    sql.rows("SELECT join_group('g', 't', NULL, 'position', 1, 'another', 0)")
    assert sql.fetched("g", "t") == [1, 2]


def test_a_number_back_counts_the_messages_of_all_topics_of_a_pattern(sql: Sql) -> None:
    for number in range(6):
        sql.append(f"t:{number % 2}", number)
    sql.rows("SELECT join_group('g', 't:*', %s, 'back', 3, NULL, 0)", ALL["fits"])
    assert sql.fetched("g", "t:*") == [3, 4, 5]


def test_a_group_of_a_pattern_gets_messages_in_the_order_of_commits_also_of_later_topics(sql: Sql) -> None:
    sql.append("t:1", 1)
    sql.join("g", "t:*", **ALL)
    sql.append("t:2", 2)
    sql.append("other", 3)
    sql.append("t:1", 4)
    assert sql.fetched("g", "t:*", limit=2) == [1, 2]
    assert sql.fetched("g", "t:*") == [4]


def test_a_leased_message_is_delivered_again_when_its_lease_ends_before_new_ones(sql: Sql) -> None:
    sql.append("t", 1, 2)
    sql.join("g", "t")
    (first,) = sql.claim("g", "t", limit=1)
    sql.pass_time(29.0)
    assert sql.fetched("g", "t", limit=1) == [2]
    sql.append("t", 3)
    sql.pass_time(1.1)
    again, new = sql.claim("g", "t", limit=2)
    assert (again.content, again.attempt, new.content, new.attempt) == (1, 2, 3, 1)
    assert again.token > first.token, "the new lease fences the old"


def test_of_a_key_one_message_is_leased_at_a_time(sql: Sql) -> None:
    sql.append("t", 1, 2, key="k")
    sql.append("t", 3)
    sql.append("t", 4, key="l")
    sql.join("g", "t")
    first, *rest = sql.claim("g", "t")
    assert [first.content, *(each.content for each in rest)] == [1, 3, 4]
    assert sql.fetched("g", "t") == []
    sql.settle("g", "t", first)
    assert sql.fetched("g", "t") == [2]


def test_an_older_message_of_a_key_goes_before_one_whose_lease_has_ended(sql: Sql) -> None:
    sql.append("t", 1, 2, key="k")
    sql.join("g", "t")
    (first,) = sql.claim("g", "t")
    sql.settle("g", "t", first, action=2)  # a dead letter holds nothing up
    assert sql.fetched("g", "t") == [2]
    sql.rows("SELECT revive('g', 't', %s)", first.place)
    sql.pass_time(31.0)
    assert sql.fetched("g", "t") == [1]


def test_a_claim_that_finds_nothing_writes_nothing(sql: Sql) -> None:
    def row() -> Any:
        return sql.rows("SELECT ctid::text, xmax::text FROM groups")

    sql.append("t", 1)
    sql.join("g", "t")
    assert sql.fetched("g", "t") == [1]
    before = row()
    assert sql.fetched("g", "t") == []
    assert row() == before
    sql.append("t", 2)
    assert sql.fetched("g", "t") == [2]
    assert row() != before, "a claim that finds a message locks and changes the row"


def test_the_lag_and_the_time_of_the_next_lease_that_ends(sql: Sql) -> None:
    assert head(sql) == (0, None), "no such group"
    sql.join("g", "t")
    assert head(sql) == (0, None)
    sql.append("t", 1, 2, 3)
    sql.claim("g", "t", limit=1, lease=20.0)
    sql.claim("g", "t", limit=2, lease=10.0)
    lag, seconds = head(sql)
    assert lag == 3
    assert seconds == pytest.approx(10.0, abs=5.0)


def test_a_paused_group_leases_nothing(sql: Sql) -> None:
    sql.append("t", 1)
    sql.join("g", "t")
    assert sql.one("SELECT pause_group('g', 't', true)")
    assert sql.fetched("g", "t") == []
    assert head(sql) == (1, None)
    assert sql.one("SELECT pause_group('g', 't', false)")
    assert sql.fetched("g", "t") == [1]


def test_a_group_that_leases_does_not_rest_any_more(sql: Sql) -> None:
    sql.append("t", 1)
    sql.join("g", "t")
    assert sql.one("SELECT rest_group('g', 't')")
    assert sql.fetched("g", "t") == [1]
    assert sql.one("SELECT rests FROM groups") is False


def test_a_key_that_is_stuck_does_not_make_the_group_hold_the_whole_topic(sql: Sql) -> None:
    sql.append("t", *range(10_050), key="k")
    sql.rows("SELECT put_rule('t', '^t$', NULL, NULL, NULL)")
    sql.join("g", "t")
    for _ in range(2):
        sql.claim("g", "t", limit=10_050)
    assert sql.one("SELECT count(*) FROM claims WHERE state = 3") == 10_000
    assert head(sql)[0] == 10_050
