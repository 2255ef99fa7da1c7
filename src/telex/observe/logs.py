"""`JsonFormatter`: log records as JSON, one object a line, with the trace and the correlation id."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime

import msgspec

from telex.errors import shown
from telex.observe.headers import CORRELATION_ID, TRACEPARENT, carried

OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""The attributes that every log record has; others are fields of the program (``extra=``)."""
HIDDEN = "[hidden]"
SECRET = re.compile(
    r"passw|passphrase|secret|token|authorization|cookie|credential|api[-_]?key|private[-_]?key", re.IGNORECASE
)
"""The names of fields whose values are not written."""
IN_URL = re.compile(r"""(?<=://)(?:[^\s/:@"']{0,300}:(?!\d+/)[^\s@"']{1,300}|[^\s/"']+)@(?:[^\s/@"']+@)*""")
"""The user and the password of a URL. The password may have the marks ``/`` and ``@``, which should be escaped."""
IN_COOKIE = re.compile(r"""(cookies?["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\r\n]+)""", re.IGNORECASE)
IN_TEXT = re.compile(
    r"""((?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|private[-_]?key|credentials?)(?:[-_][\w-]{0,64})?"""
    r"""["']?\s*[=:]\s*|authorization["']?\s*[=:]\s*(?:["']?(?:basic|bearer)\s+)?|\bbearer\s+)"""
    r"""("[^"]*"|'[^']*'|[^\s,;&]+)""",
    re.IGNORECASE,
)
MAX_FIELD_LENGTH = 10_000


class JsonFormatter(logging.Formatter):
    """A formatter of `logging` that writes one JSON object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``,
    ``message``, ``error`` with the traceback, ``trace_id``, ``span_id`` and ``correlation_id`` where there are such,
    and the fields that the program gave as ``extra=``.

    Secrets are never written: passwords in URLs, and the values of fields whose name says "password", "token",
    "secret" or the like, are replaced by ``[hidden]``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        fields: dict[str, object] = {"time": time, "level": record.levelname, "logger": record.name}
        fields["message"] = hidden(record.getMessage())
        carry = carried.get() or {}
        if TRACEPARENT in carry:
            fields["trace_id"], fields["span_id"] = carry[TRACEPARENT][3:35], carry[TRACEPARENT][36:52]
        if CORRELATION_ID in carry:
            fields["correlation_id"] = carry[CORRELATION_ID]
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = hidden(self.formatException(record.exc_info))
        elif record.exc_text:
            fields["error"] = hidden(record.exc_text)
        if record.stack_info:
            fields["stack"] = hidden(record.stack_info)
        for name, value in vars(record).items():
            if name not in OWN and name not in fields:
                fields[name] = HIDDEN if SECRET.search(name) else plain(value)
        return msgspec.json.encode(fields).decode()


def plain(value: object) -> object:
    """Return a field as text, a number, a boolean or None, without secrets."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):  # of a subclass, too, which has no JSON form of its own
        return int(value) if abs(value) < 1 << 63 else str(int(value))
    if isinstance(value, float):
        return float(value)
    return hidden(value if isinstance(value, str) else shown(value))[:MAX_FIELD_LENGTH]


def hidden(text: str) -> str:
    """Return text with its secrets replaced, and with lone surrogates as escapes."""
    text = IN_COOKIE.sub(rf"\1{HIDDEN}", IN_URL.sub(f"{HIDDEN}@", text))
    return IN_TEXT.sub(rf"\1{HIDDEN}", text).encode("utf-8", "backslashreplace").decode()
