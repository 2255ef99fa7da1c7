"""Errors of PostgreSQL: whether trying again helps, and how to fix them."""

import psycopg
import pytest

import telex
from telex.engines.postgres.migrations import WrongSchema
from telex.engines.postgres.problems import Verdict, explain, failure, judge


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("40001", Verdict.AGAIN),
        ("40P01", Verdict.AGAIN),
        ("57014", Verdict.AGAIN),
        ("25006", Verdict.AGAIN),
        ("08006", Verdict.AGAIN),
        ("53300", Verdict.AGAIN),
        ("57P01", Verdict.UNKNOWN),
        ("57P05", Verdict.UNKNOWN),
        ("3F000", Verdict.FATAL),
        ("42P01", Verdict.FATAL),
        ("42501", Verdict.FATAL),
        ("23505", Verdict.REFUSED),
        ("22P02", Verdict.REFUSED),
        ("XX000", Verdict.REFUSED),
    ],
)
def test_the_code_of_the_server_decides(state: str, verdict: Verdict) -> None:
    assert judge(psycopg.errors.lookup(state)("text")) is verdict


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        psycopg.OperationalError("server closed the connection"),
        psycopg.InterfaceError("the connection is closed"),
        ConnectionResetError(),
    ],
)
def test_after_a_broken_connection_the_result_is_unknown(error: Exception) -> None:
    assert judge(error) is Verdict.UNKNOWN


def test_a_mistake_in_the_call_is_not_tried_again() -> None:
    assert judge(psycopg.ProgrammingError("cannot adapt type")) is Verdict.REFUSED


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("FATAL: certificate authentication failed for user", "give sslcert= and sslkey="),
        ("root certificate file does not exist", "see sslmode= and sslrootcert="),
        ("FATAL: password authentication failed for user", "give the right user and password"),
        ("FATAL: Peer authentication failed for user", "see pg_hba.conf"),
        ('FATAL: database "shop" does not exist', "create it"),
        ("server does not support SSL, but SSL was required", "see sslmode= and sslrootcert="),
        ("connection refused", "see that the server runs there"),
        ("[Errno -2] Name or service not known", "see the host's name"),
        ("FATAL: sorry, too many clients already", "raise max_connections"),
        ("cannot execute INSERT in a read-only transaction", ""),
        ("permission denied for database shop", "GRANT CONNECT"),
        ("permission denied for table messages", "telex migrate URL --sql --role ROLE"),
        ('prepared statement "s1" already exists', "give listen= in the URL"),
        ("could not extend file: No space left on device", "free some space"),
    ],
)
def test_an_error_names_its_fix(text: str, fix: str) -> None:
    found = explain(psycopg.OperationalError(text))
    assert found.startswith(f"{text}; ")
    assert fix in found


def test_an_error_without_a_known_fix_keeps_its_text_on_one_line() -> None:
    assert explain(psycopg.DataError("a\n  b")) == "a b"
    assert explain(psycopg.DataError()) == "DataError"
    assert explain(WrongSchema("another program; does not exist")) == "another program; does not exist"
    assert "pg_stat_activity" in explain(TimeoutError())


def test_a_failure_has_its_cause() -> None:
    cause = psycopg.OperationalError("connection refused")
    failed = failure("publishing", cause)
    assert isinstance(failed, telex.EngineFailed)
    assert failed.__cause__ is cause
    assert "publishing" in str(failed)
    assert "see that the server runs there" in str(failed)
