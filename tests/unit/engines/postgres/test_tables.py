"""The tables of the schema, and what they refuse."""

import psycopg
import pytest

from telex.engines.postgres.tables import TABLES
from tests.unit.engines.postgres.rigs import Sql

pytestmark = pytest.mark.slow


def make(sql: Sql, schema: str) -> None:
    sql.rows(f"CREATE SCHEMA {schema}")
    sql.connection.execute(TABLES.replace("{s}", schema).encode())


@pytest.mark.parametrize("one", [1, 2])
@pytest.mark.parametrize("statement", ["version VALUES (%s, 7)", "state (one, epoch) VALUES (%s, 'other')"])
def test_a_schema_has_one_version_and_one_state(sql: Sql, statement: str, one: int) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        sql.rows(f"INSERT INTO {statement}", one)


def test_each_schema_has_its_own_epoch(sql: Sql) -> None:
    for schema in ("one", "two"):
        make(sql, schema)
    assert sql.one("SELECT (SELECT epoch FROM one.state) <> (SELECT epoch FROM two.state)")
    assert sql.one("SELECT length(epoch) FROM one.state") == 32


def test_the_places_of_a_new_schema_begin_at_one(sql: Sql) -> None:
    make(sql, "one")
    assert sql.one("SELECT last_value FROM one.pos") == 0
    sql.rows("SELECT setval('one.pos', 0)")  # a batch that stored nothing
    assert sql.one("SELECT nextval('one.pos')") == 1


def test_a_number_of_a_topic_is_stored_once(sql: Sql) -> None:
    sql.append("t", 1, 2)
    again = "INSERT INTO messages (pos, topic, seq, time, total, type) SELECT pos + {}, topic, {}, 0, 0, 'int' "
    again += "FROM messages WHERE seq = 2"
    sql.rows(again.format(1000, "seq + 1"))
    with pytest.raises(psycopg.errors.UniqueViolation, match="messages_seq"):
        sql.rows(again.format(2000, "seq"))


def test_topics_and_records_are_sorted_by_bytes_whatever_the_language_of_the_database(sql: Sql) -> None:
    columns = ("topics.name", "groups.name", "groups.pattern", "records.bucket", "records.key")
    for column in columns:
        table, name = column.split(".")
        found = sql.one(
            "SELECT collation_name FROM information_schema.columns "
            "WHERE table_schema = 'functions' AND table_name = %s AND column_name = %s",
            table,
            name,
        )
        assert found == "C", column
