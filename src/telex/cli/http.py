"""Commands sent to a server by HTTP: `telex.gateway.Commands`. It blocks, and every wait of it is bounded."""

from __future__ import annotations

import math
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from telex import BadOption, ConnectFailed, Failure, TelexError, Timeout
from telex.cli.bar import Bar
from telex.cli.send import SentCommand, key_needed
from telex.codec.content import to_json

EXAMPLE = "http://127.0.0.1:8000/commands"
ANSWER_WITHIN = 30.0
LOOK = 0.25
"""Seconds between two looks at a command that runs."""


class Answered(TelexError):
    """The server refused: its ``status`` and what it says."""

    def __init__(self, url: str, status: int, problem: str) -> None:
        super().__init__(url, status, problem)
        self.url: str = url
        self.status = status
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.url} answers with HTTP status {self.status}: {self.problem}"


class HttpReply(msgspec.Struct):
    """What a server said."""

    status: int
    retry_after: float
    location: str
    replayed: bool
    body: Any
    """The JSON of it."""


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
    """Send a command and wait for what becomes of it, or not. Raises `Timeout`, `ConnectFailed`, `Answered`."""
    place = CommandEndpoint(server, connect_timeout, timeout)
    moment = 0 if not wait or (timeout is not None and timeout < 1) else 1
    headers = {"Content-Type": "application/json", "Prefer": f"respond-async, wait={moment}"}
    if key is not None:
        headers["Idempotency-Key"] = _quoted(key)
    body = to_json(content)
    path = f"{place.path}/{quote(name, safe=':')}"
    sent = SentCommand(name, key=key)
    answer = place.ask("POST", path, body, headers)
    while answer.status == 409 and wait and answer.retry_after:
        # Another sender's command with this key runs: its outcome is this one's.
        place.pause(answer.retry_after, name)
        answer = place.ask("POST", path, body, headers)
    if answer.status == 202:
        told = answer.body if isinstance(answer.body, dict) else {}
        sent.id = told.get("id")
        while answer.status == 202 and wait:
            if not answer.location:
                raise Answered(place.url, 202, "it does not say where to look for the outcome")
            bar.tell(*_step(answer.body))
            place.pause(LOOK, name)
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
        told = body if isinstance(body, dict) else {}
        if told.get("type") == "urn:telex:idempotency-key-needed":
            raise key_needed(sent.command)
        if "code" not in told:
            raise Answered(place.url, status, _problem(told, status))
        said = {name: str(told.get(name, "")) for name in ("raised", "code", "detail")}
        sent.error = Failure(said["raised"], said["code"], said["detail"], told.get("data"))
    return sent


def _problem(told: dict[str, Any], status: int) -> str:
    if "detail" in told:
        where = f" (at {told['path']})" if told.get("path") else ""
        return f"{told['detail']}{where}"
    return (
        "is the path right? It is where the server has its commands, such as /commands" if status == 404 else "no word"
    )


class CommandEndpoint:
    """Where commands are taken, and until when."""

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
        """One request, on a connection of its own. Raises `ConnectFailed`, `Timeout`."""
        within = min(self._connect_timeout, max(0.1, self._left()))
        connection = self._connection(self._host, self._port, timeout=within)
        try:
            self._connect(connection)
            connection.sock.settimeout(limit := min(ANSWER_WITHIN, max(0.1, self._left())))
            try:
                connection.request(method, path, body or None, headers or {})
                response = connection.getresponse()
                data = response.read()
            except TimeoutError:
                raise Timeout(f"waiting for {self.url}", limit) from None
            except (HTTPException, OSError) as error:
                raise ConnectFailed(self.url, f"it is no HTTP server, or ended the connection ({error!r})") from None
        finally:
            connection.close()
        return self._answer(response, data)

    def pause(self, seconds: float, name: str) -> None:
        """Wait a little. Raises `Timeout` when the time is over."""
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
            raise ConnectFailed(self.url, "nothing listens there; name the server with --server") from None
        except OSError as error:
            raise ConnectFailed(self.url, error.strerror or str(error)) from None

    def _answer(self, response: HTTPResponse, data: bytes) -> HttpReply:
        try:
            body = msgspec.json.decode(data) if data else None
        except msgspec.DecodeError:
            if response.status < 300:
                raise ConnectFailed(
                    self.url, "it answers with something that is not JSON; is the path right?"
                ) from None
            body = None
        retry = response.headers.get("retry-after", "")
        return HttpReply(
            response.status,
            float(retry) if retry.isascii() and retry.isdigit() else 0.0,
            urlsplit(response.headers.get("location", "")).path,
            response.headers.get("idempotent-replayed") == "true",
            body,
        )


def _quoted(key: str) -> str:
    """A key as a structured field's string (RFC 8941, 3.3.3)."""
    if not (key.isascii() and key.isprintable()):
        raise BadOption("--key", key, "by HTTP a key is printable ASCII")
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
