"""The errors of PostgreSQL: whether trying again helps, and how to fix them."""

from __future__ import annotations

from enum import Enum

import psycopg

from telex.engines.postgres.migrations import WrongSchema
from telex.errors import EngineFailed

_FIXES = (
    ("certificate authentication failed", "give sslcert= and sslkey= of this user in the URL"),
    ("certificate", "see sslmode= and sslrootcert= in the URL"),
    ("password authentication failed", "give the right user and password: postgresql://user:password@host/database"),
    ("no password supplied", "give a password: in the URL, in ~/.pgpass or by PGPASSWORD"),
    ("authentication failed", "see pg_hba.conf of the server for the ways in which this user may connect"),
    ("no pg_hba.conf entry", "let the server's pg_hba.conf allow this user, database and host, perhaps with TLS only"),
    ("does not exist", "create it, or write the right name into the URL: postgresql://user@host/database"),
    ("permission denied for database", "GRANT CONNECT ON DATABASE to this role"),
    ("refused", "see that the server runs there and listens on this address and port"),
    ("No such file or directory", "see that the server runs, and that its socket is in this folder"),
    ("could not translate host name", "see the host's name in the URL"),
    ("Name or service not known", "see the host's name in the URL"),
    ("failed to resolve host", "see the host's name in the URL"),
    ("timeout expired", "see the host's name, the port and the firewall; nothing answered in time"),
    ("SSL", "see sslmode= and sslrootcert= in the URL"),
    ("too many clients", "raise max_connections of the server, lower connections= in the URL, or use PgBouncer"),
    (
        "remaining connection slots",
        "raise max_connections of the server, lower connections= in the URL, or use PgBouncer",
    ),
    ("starting up", "wait until the server has started"),
    ("shutting down", "wait until the server has started again"),
    (
        "read-only transaction",
        "connect to the primary: a list of hosts with target_session_attrs=read-write in the URL",
    ),
    ("prepared statement", "behind PgBouncer in transaction mode, give listen= in the URL: a URL past the pooler"),
    ("permission denied", "as the owner, run the SQL that `telex migrate URL --sql --role ROLE` prints"),
    ("no space left", "the server's disk is full; free some space"),
    ("could not extend file", "the server's disk is full; free some space"),
)
_GONE = {"3F000", "42P01", "42883", "42703", "42501", "42704"}
"""The codes of errors after which the engine fails: the schema was dropped or changed, or the role has lost its
rights.
"""
_UNCERTAIN = {"57P01", "57P02", "57P05"}
"""The codes of errors with an unknown result: the server ended the connection, with or without a commit before."""
_PASSING = {"40001", "40P01", "55P03", "57P03", "57014", "25006", "25P03", "26000"}
"""The codes of temporary errors: nothing was committed, and the same statement may succeed later."""


class Verdict(Enum):
    """The possible reactions to an error."""

    AGAIN = "nothing was done, and trying again may help"
    UNKNOWN = "the connection broke: nobody knows whether it was done"
    REFUSED = "nothing was done, and trying again does not help"
    FATAL = "the engine cannot be used any more"


def judge(error: BaseException) -> Verdict:
    """Return the reaction to an error of a statement that is a transaction by itself."""
    state = getattr(error, "sqlstate", None)
    if isinstance(error, TimeoutError) or state in _UNCERTAIN:
        return Verdict.UNKNOWN
    if state in _GONE:
        return Verdict.FATAL
    if state in _PASSING or (state is not None and state[:2] in {"08", "53"}):
        return Verdict.AGAIN
    if state is None and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, OSError)):
        return Verdict.UNKNOWN
    return Verdict.REFUSED


def explain(error: BaseException) -> str:
    """Return the text of an error, with how to fix it."""
    if isinstance(error, WrongSchema):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the server did not answer in time; see whether it runs, and what it waits for (pg_stat_activity)"
    text = " ".join(str(error).split()) or type(error).__name__
    fix = next((fix for part, fix in _FIXES if part in text), None)
    return text if fix is None else f"{text}; {fix}"


def failure(what: str, error: BaseException) -> EngineFailed:
    """Return the exception for those who wait for ``what``. The cause is kept."""
    failed = EngineFailed(what, explain(error))
    failed.__cause__ = error
    return failed
