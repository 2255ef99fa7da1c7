"""The SQL of records: the table, and its statements. The engine's function and `PostgresStore` are made of them.

``<table>`` and ``<sequence>`` stand for names. ``<bucket>``, ``<key>``, ``<value>``, ``<revision>`` and ``<expires>``
stand for values.
"""

from __future__ import annotations

import re

COLUMNS = """(
    bucket text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    revision bigint NOT NULL,
    expires float8,
    PRIMARY KEY (bucket, key)
)"""
INDEX = "ON <table> (expires) WHERE expires IS NOT NULL"
GET = "SELECT value, revision FROM <table> WHERE bucket = <bucket> AND key = <key>"
KEYS = "SELECT key FROM <table> WHERE bucket = <bucket> ORDER BY key"
INSERT = """INSERT INTO <table> VALUES (<bucket>, <key>, <value>, nextval('<sequence>'), <expires>)
    ON CONFLICT (bucket, key) DO NOTHING RETURNING revision"""
"""One of several that insert a key at the same time wins."""
UPDATE = """UPDATE <table> r SET value = <value>, revision = nextval('<sequence>'), expires = <expires>
    WHERE r.bucket = <bucket> AND r.key = <key> AND r.revision = <revision>::bigint RETURNING r.revision"""
"""Compare and set: a concurrent statement waits for the first, and then finds the record changed."""
DELETE = "DELETE FROM <table> WHERE bucket = <bucket> AND key = <key> AND revision = <revision>::bigint RETURNING 1"
SWEEP = """DELETE FROM <table> r WHERE (r.bucket, r.key) IN (
    SELECT x.bucket, x.key FROM <table> x WHERE x.expires <= extract(epoch FROM clock_timestamp())
    AND (x.bucket, x.key) <> (<bucket>, <key>) LIMIT 2 FOR UPDATE SKIP LOCKED)"""
"""Remove two expired records of other keys: more than a put adds."""
_VALUE = re.compile("<(bucket|key|value|revision|expires)>")


def with_parameters(statement: str, table: str, sequence: str = "") -> bytes:
    """Return a statement with ``%s`` for each value, in the order of the statement."""
    return _VALUE.sub("%s", _named(statement, table, sequence)).encode()


def in_function(statement: str) -> str:
    """Return a statement for a function of the schema ``{s}`` whose parameters are named ``p_bucket`` and so on."""
    return _VALUE.sub(r"p_\1", _named(statement, "{s}.records", "{s}.revision"))


def _named(statement: str, table: str, sequence: str) -> str:
    return statement.replace("<table>", table).replace("<sequence>", sequence)


RECORDS = f"""
CREATE TABLE {{s}}.records {COLUMNS};
CREATE INDEX records_expires {in_function(INDEX)};

CREATE FUNCTION {{s}}.put_record(p_bucket text, p_key text, p_value bytea, p_revision bigint, p_expires float8)
RETURNS bigint LANGUAGE plpgsql {{no_scan}} AS $$
DECLARE
    made bigint;
BEGIN
    IF p_expires IS NOT NULL THEN
        {in_function(SWEEP)};
    END IF;
    IF p_revision = 0 THEN
        {in_function(INSERT)} INTO made;
    ELSE
        {in_function(UPDATE)} INTO made;
    END IF;
    RETURN made;
END $$;
"""
"""The records of the engine, in its schema."""
