"""The functions of the schema that settle messages and change groups."""

import pytest

from tests.unit.engines.postgres.rigs import Claim, Sql

pytestmark = pytest.mark.slow
ACK, NACK, REJECT, EXTEND = range(4)


def claimed(sql: Sql, count: int = 1, key: str | None = None) -> list[Claim]:
    """Publish the numbers from 1 on, and lease them as a group."""
    sql.append("t", *range(1, count + 1), key=key)
    sql.join("g", "t")
    return sql.claim("g", "t")


def held(sql: Sql) -> int:
    """The number of messages that the group holds, which its row counts."""
    counted, rows = sql.rows("SELECT g.held, (SELECT count(*) FROM claims WHERE state <> 2) FROM groups g")[0]
    assert counted == rows
    return int(rows)


@pytest.mark.parametrize("action", [ACK, NACK, REJECT])
def test_the_first_settlement_wins(sql: Sql, action: int) -> None:
    (claim,) = claimed(sql)
    assert sql.settle("g", "t", claim, action)[0]
    for other in (ACK, NACK, REJECT, EXTEND):
        assert sql.settle("g", "t", claim, other) == (False, False)


@pytest.mark.parametrize("action", [ACK, NACK, REJECT, EXTEND])
def test_a_lease_that_was_given_to_another_member_settles_nothing(sql: Sql, action: int) -> None:
    (old,) = claimed(sql)
    sql.pass_time(31.0)
    (new,) = sql.claim("g", "t")
    assert sql.settle("g", "t", old, action) == (False, False)
    assert sql.settle("g", "t", new, ACK) == (True, False)
    assert held(sql) == 0


def test_a_batch_of_acks_says_of_each_whether_it_won(sql: Sql) -> None:
    claims = claimed(sql, 3)
    places = [claims[0].place, claims[1].place, claims[0].place, claims[2].place, -1]
    tokens = [claims[0].token, 0, claims[0].token, claims[2].token, claims[1].token]
    acks = "SELECT o_won FROM settle('g', 't', %s::bigint[], %s::bigint[], NULL, NULL, NULL)"
    assert sql.one(acks, places, tokens) == [True, False, False, True, False]
    assert held(sql) == 1


def test_a_nack_delivers_again_after_its_delay(sql: Sql) -> None:
    (claim,) = claimed(sql)
    assert sql.settle("g", "t", claim, NACK, seconds=60.0) == (True, True)
    sql.pass_time(59.0)
    assert sql.fetched("g", "t") == []
    sql.pass_time(1.5)
    ((again),) = sql.claim("g", "t")
    assert (again.content, again.attempt) == (1, 2)
    sql.settle("g", "t", again, NACK)
    assert sql.fetched("g", "t") == [1], "without a delay at once"


def test_extending_gives_a_lease_more_time(sql: Sql) -> None:
    (claim,) = claimed(sql)
    sql.pass_time(29.0)
    assert sql.settle("g", "t", claim, EXTEND, seconds=60.0) == (True, False)
    sql.pass_time(59.0)
    assert sql.fetched("g", "t") == []
    assert sql.settle("g", "t", claim, ACK)[0]


def test_a_lease_that_ended_may_be_extended_unless_another_message_of_its_key_is_leased(sql: Sql) -> None:
    sql.append("t", 1, 2, key="k")
    sql.join("g", "t")
    (first,) = sql.claim("g", "t")
    sql.settle("g", "t", first, REJECT)
    (second,) = sql.claim("g", "t")
    sql.rows("SELECT revive('g', 't', %s)", first.place)
    sql.pass_time(31.0)
    (again,) = sql.claim("g", "t")
    assert again.content == 1
    assert sql.settle("g", "t", second, EXTEND, seconds=30.0) == (False, False)
    sql.pass_time(31.0)
    assert sql.settle("g", "t", second, EXTEND, seconds=30.0) == (True, False)
    assert sql.fetched("g", "t") == []


def test_settling_the_first_of_a_key_lets_the_next_go_on(sql: Sql) -> None:
    (first,) = claimed(sql, 3, key="k")
    assert sql.settle("g", "t", first, ACK) == (True, True), "members of other processes have to look"
    (second,) = sql.claim("g", "t")
    assert sql.settle("g", "t", second, NACK) == (True, True)
    assert sql.fetched("g", "t") == [2], "a message keeps its place in its key"


def test_a_rejected_message_is_a_dead_letter_until_it_is_revived_or_dropped(sql: Sql) -> None:
    one, two = claimed(sql, 2)
    for claim in (one, two):
        assert sql.settle("g", "t", claim, REJECT, reason="bad") == (True, False)
    assert (held(sql), sql.fetched("g", "t")) == (0, [])
    assert sql.rows("SELECT seq, reason, died > 0 FROM claims WHERE state = 2 ORDER BY seq") == [
        (1, "bad", True),
        (2, "bad", True),
    ]
    assert sql.one("SELECT revive('g', 't', %s)", one.place)
    assert not sql.one("SELECT revive('g', 't', %s)", one.place), "it is no dead letter any more"
    (again,) = sql.claim("g", "t")
    assert (again.content, again.attempt) == (1, 1)
    assert held(sql) == 1
    assert not sql.one("SELECT drop_dead('g', 't', %s)", one.place)
    assert sql.one("SELECT drop_dead('g', 't', %s)", two.place)
    assert sql.one("SELECT count(*) FROM claims") == 1


def test_a_forgotten_group_holds_no_messages(sql: Sql) -> None:
    claimed(sql, 2)
    sql.rows("SELECT put_rule('t', '^t$', 0, NULL, NULL)")
    sql.rows("SELECT sweep('t', clock() + 1, 0, 100)")
    assert sql.one("SELECT count(*) FROM messages") == 2
    assert sql.one("SELECT forget_group('g', 't')")
    assert not sql.one("SELECT forget_group('g', 't')")
    assert [sql.one(f"SELECT count(*) FROM {table}") for table in ("messages", "claims", "group_topics")] == [0, 0, 0]


def test_groups_are_listed_with_their_counts(sql: Sql) -> None:
    leased, delayed, dead, _ = claimed(sql, 4)
    sql.append("t", 5, 6)
    assert leased.content == 1
    sql.settle("g", "t", delayed, NACK, seconds=60.0)
    sql.settle("g", "t", dead, REJECT)
    sql.rows("SELECT pause_group('g', 't', true)")
    assert sql.rows("SELECT * FROM list_groups()") == [("g", "t", 5, 2, 1, 1, True)]


def test_of_two_rules_that_fit_the_last_holds(sql: Sql) -> None:
    sql.append("t", 1, 2, 3)
    before = sql.one("SELECT rules FROM state")
    for pattern, fits, messages, kept in (("t", "^t$", 1, [3]), (">", "^.+$", 2, [2, 3]), ("t", "^t$", 0, [])):
        sql.rows("SELECT put_rule(%s, %s, %s, NULL, NULL)", pattern, fits, messages)
        assert sql.contents("t") == kept
    assert sql.one("SELECT rules FROM state") == before + 3, "other processes see that the rules have changed"
