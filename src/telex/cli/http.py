"""Sends commands by HTTP to a `telex.gateway.Commands`. The calls block, with a time limit."""

from __future__ import annotations

import math
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from telex import BadOption, ConnectFailed, Failure, TelexError, Timeout
from telex.cli.bar import Bar
from telex.cli.sent_command import SentCommand, key_needed
from telex.codec.content import to_json

EXAMPLE = "http://127.0.0.1:8000/commands"
ANSWER_SECONDS = 30.0
"""The time limit for one answer."""
POLL_SECONDS = 0.25
"""The time between two requests for the outcome of a command."""


class Answered(TelexError):
    """The server refused the command: its HTTP ``status`` and its ``problem``, for people."""

    def __init__(self, url: str, status: int, problem: str) -> None:
        super().__init__(url, status, problem)
        self.url: str = url
        self.status = status
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.url} answers with HTTP status {self.status}: {self.problem}"


class HttpReply(msgspec.Struct):
    """The answer to one request."""

    status: int
    retry_after: float
    location: str
    replayed: bool
    body: Any
    """The decoded JSON."""


def carry_out(
    server: str,
    name: str,
    content: object,
    key: str | None,
    timeout: float | None,
    connect_timeout: float,
    bar: Bar,
    *,
    wait: bool,
) -> SentCommand:
    """Send a command, and with ``wait`` wait for its outcome. Raises `Timeout`, `ConnectFailed`, `Answered`."""
    place = CommandEndpoint(server, connect_timeout, timeout)
    moment = 0 if not wait or (timeout is not None and timeout < 1) else 1
    headers = {"Content-Type": "application/json", "Prefer": f"respond-async, wait={moment}"}
    if key is not None:
        headers["Idempotency-Key"] = quoted(key)
    body = to_json(content)
    path = f"{place.path}/{quote(name, safe=':')}"
    sent = SentCommand(name, key=key)
    answer = place.ask("POST", path, body, headers)
    while answer.status == 409 and wait and answer.retry_after:
        # A command with this key, from another sender, is running. Its outcome is also the outcome of this command.
        place.pause(answer.retry_after, name)
        answer = place.ask("POST", path, body, headers)
    if answer.status == 202:
        sent.id = answer.body.get("id") if isinstance(answer.body, dict) else None
        while answer.status == 202 and wait:
            if not answer.location:
                raise Answered(place.url, 202, "the answer has no Location header for the outcome")
            bar.update(*_step(answer.body))
            place.pause(POLL_SECONDS, name)
            answer = msgspec.structs.replace(place.ask("GET", answer.location), location=answer.location)
    return _read(answer, sent, place)


def _step(body: Any) -> tuple[float, str]:
    fraction, text = (body.get("progress", 0.0), body.get("text", "")) if isinstance(body, dict) else (0.0, "")
    return (fraction if isinstance(fraction, (int, float)) else 0.0), str(text)


def _read(answer: HttpReply, sent: SentCommand, place: CommandEndpoint) -> SentCommand:
    body, status = answer.body, answer.status
    sent.replayed = answer.replayed
    if status in (200, 201):
        sent.result = body
    elif status != 202:
        problem = body if isinstance(body, dict) else {}
        if problem.get("type") == "urn:telex:idempotency-key-needed":
            raise key_needed(sent.command)
        if "code" not in problem:
            raise Answered(place.url, status, _text_of(problem, status))
        raised, code, detail = (str(problem.get(name, "")) for name in ("raised", "code", "detail"))
        sent.error = Failure(raised, code, detail, problem.get("data"))
    return sent


def _text_of(problem: dict[str, Any], status: int) -> str:
    if "detail" in problem:
        where = f" (at {problem['path']})" if problem.get("path") else ""
        return f"{problem['detail']}{where}"
    if status == 404:
        return "is the path right? It is the path of the server's commands, such as /commands"
    return "the answer has no text"


class CommandEndpoint:
    """The address of a server's commands, and the time limit for one of them."""

    def __init__(self, server: str, connect_timeout: float, timeout: float | None) -> None:
        try:
            parts = urlsplit(server if "://" in server else f"http://{server}")
            port = parts.port
        except ValueError as error:
            raise BadOption("server", server, f"{error}; give an address such as {EXAMPLE}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
            raise BadOption("server", server, f"give an address such as {EXAMPLE}")
        self.path: str = parts.path.rstrip("/") or "/commands"
        self.url: str = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self.path}"
        self._connection: type[HTTPConnection] = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, port
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> HttpReply:
        """Send one request, on a new connection. Raises `ConnectFailed`, `Timeout`."""
        within = min(self._connect_timeout, max(0.1, self._left()))
        connection = self._connection(self._host, self._port, timeout=within)
        try:
            self._connect(connection)
            connection.sock.settimeout(limit := min(ANSWER_SECONDS, max(0.1, self._left())))
            try:
                connection.request(method, path, body or None, headers or {})
                response = connection.getresponse()
                data = response.read()
            except TimeoutError:
                raise Timeout(f"waiting for {self.url}", limit) from None
            except (HTTPException, OSError) as error:
                problem = f"it is not an HTTP server, or it closed the connection ({error!r})"
                raise ConnectFailed(self.url, problem) from None
        finally:
            connection.close()
        return self._answer(response, data)

    def pause(self, seconds: float, name: str) -> None:
        """Wait, at most until the time limit. Raises `Timeout` when it is over."""
        left = self._left()
        if left <= 0:
            raise Timeout(f"the command {name!r}", self._timeout or 0.0)
        time.sleep(min(seconds, left))

    def _left(self) -> float:
        return math.inf if self._deadline is None else self._deadline - time.monotonic()

    def _connect(self, connection: HTTPConnection) -> None:
        try:
            connection.connect()
        except TimeoutError:
            raise ConnectFailed(self.url, f"no answer within {self._connect_timeout:g} s") from None
        except ConnectionRefusedError:
            raise ConnectFailed(self.url, "nothing listens there; give the address with --server") from None
        except OSError as error:
            raise ConnectFailed(self.url, error.strerror or str(error)) from None
        except UnicodeError:
            raise ConnectFailed(self.url, "its host is not the name of a machine") from None

    def _answer(self, response: HTTPResponse, data: bytes) -> HttpReply:
        try:
            body = msgspec.json.decode(data) if data else None
        except msgspec.DecodeError:
            if response.status < 300:
                raise ConnectFailed(self.url, "its answer is not JSON; is the path right?") from None
            body = None
        retry = response.headers.get("retry-after", "")
        return HttpReply(
            response.status,
            float(retry) if retry.isascii() and retry.isdigit() else 0.0,
            urlsplit(response.headers.get("location", "")).path,
            response.headers.get("idempotent-replayed") == "true",
            body,
        )


def quoted(key: str) -> str:
    """Return a key as a string of a structured field (RFC 8941, 3.3.3)."""
    if not (key.isascii() and key.isprintable()):
        raise BadOption("--key", key, "by HTTP a key must be printable ASCII")
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
