"""`Commands`: an ASGI app for commands by HTTP.

``POST /{name}`` sends a command; the JSON body is its content. ``GET /{name}/outcomes/{id}`` gets the outcome of a
command that the client did not wait for. The header ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header) is
the key of the command, ``Prefer`` (RFC 7240) the time to wait, and errors are problem details (RFC 9457).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from telex.codec.content import from_json, to_json
from telex.commands.outcome import CANCELLED, CONFLICT, REFUSED, UNSENDABLE, Outcome
from telex.commands.ticket import Ticket
from telex.errors import (
    BadName,
    BadOption,
    Closed,
    ContentError,
    EngineFailed,
    InProgress,
    KeyConflict,
    Misuse,
    NoHandler,
    TelexError,
    Timeout,
)
from telex.gateway.auth import NOTHING, AccessRules, check_rules, handshake_check, peer_of
from telex.gateway.calls import FAILED, failure_for_client
from telex.gateway.limits import DEFAULT_LIMITS, Limits, check_limits
from telex.hub import dispatcher_of, runtime_of
from telex.observe.inbound import carry
from telex.once.machine import EXHAUSTED

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from telex.hub import Hub

logger: logging.Logger = logging.getLogger("telex.gateway")
JSON = ("application/json",)
STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z:/]+")
MAX_KEY_LENGTH = 255
Header = tuple[bytes, bytes]
STATUS = {
    CONFLICT: 422,
    REFUSED: 422,
    CANCELLED: 409,
    UNSENDABLE: 500,
    EXHAUSTED: 500,
    "result_gone": 500,
    "store_unavailable": 503,
}
"""The HTTP status by the code of telex's own failures. A `CommandError` is 422, another exception 500."""


class Problem(Exception):
    """A failed request, as the problem details of its answer."""

    def __init__(
        self, status: int, type: str, detail: str, *, headers: tuple[Header, ...] = (), **more: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.body: bytes = to_json(
            {"type": f"urn:telex:{type}", "title": type.replace("-", " "), "status": status, "detail": detail} | more
        )
        self.headers = headers


class Commands:
    """An ASGI app: the commands of ``hub`` by HTTP. Mount it with ``Mount("/commands", Commands(hub, rules=...))``.

    ``rules.call`` are the commands that clients may send; without rules they may send none. ``origins``, ``hosts`` and
    ``local`` are those of `Gateway`: pages of other hosts are refused, and a program on another machine needs an
    allowed Origin header. ``limits`` bound the size of a body, the number of requests in flight, and the time that a
    request waits.

    The app neither opens nor closes the hub: open it before the first request. Raises `BadOption`.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        rules: AccessRules = NOTHING,
        limits: Limits = DEFAULT_LIMITS,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
        local: bool | None = None,
    ) -> None:
        runtime_of(hub)
        self.hub = hub
        """The hub that the commands are sent to; the application opens and closes it."""
        self.rules: AccessRules = check_rules(rules)
        """The rules of this app."""
        self.limits: Limits = check_limits(limits)
        """The limits of this app."""
        self._check = handshake_check(origins, hosts, local)
        self._in_flight = 0
        self._body_bytes = 0  # bytes of incomplete bodies
        # tickets of senders that did not wait, the oldest first
        self._tickets: OrderedDict[str, Ticket[Any]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise Misuse(
                f"serve {scope['type']!r} here", "this app serves HTTP; mount telex.gateway.Gateway for WebSocket"
            )
        status: int
        headers: tuple[Header, ...]
        try:
            status, headers, body = await self._answer(scope, receive)
        except Problem as problem:
            status, body = problem.status, problem.body
            headers = ((b"content-type", b"application/problem+json"), *problem.headers)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, tuple[Header, ...], bytes]:
        peer = peer_of(scope)
        headers = peer.headers
        problem = self._check(peer)
        if problem is not None:
            raise Problem(403, "forbidden", problem)
        root: str = scope.get("root_path", "")
        path: str = scope["path"].removeprefix(root)
        name, slash, rest = path.removeprefix("/").partition("/")
        if not self.rules.may_call(name):
            raise Problem(404, "not-found", f"the rules of this server do not let you send {name[:80]!r}")
        method = scope["method"]
        if slash and rest.startswith("outcomes/"):
            if method not in ("GET", "HEAD"):
                raise Problem(405, "method-not-allowed", "get an outcome with GET", headers=(GET,))
            return await self._get_outcome(name, rest.removeprefix("outcomes/"))
        if slash:
            raise Problem(
                404,
                "not-found",
                "there is nothing at this path; POST to the name of a command, and GET the Location of the answer",
            )
        if method != "POST":
            raise Problem(405, "method-not-allowed", "a command is sent with POST", headers=(POST,))
        content = await self._read_content(headers, receive)
        if self._in_flight >= self.limits.requests:
            raise _busy()
        self._in_flight += 1
        try:
            return await self._send(root, name, content, headers)
        finally:
            self._in_flight -= 1

    async def _read_content(self, headers: Mapping[str, str], receive: Receive) -> object:
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                return await self._content(headers, receive)
        except TimeoutError:
            raise Problem(
                408, "request-timeout", "the content did not arrive in time; send it faster, or less of it"
            ) from None

    async def _content(self, headers: Mapping[str, str], receive: Receive) -> object:
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind not in JSON and not kind.endswith("+json"):
            raise Problem(
                415,
                "unsupported-media-type",
                f"the content of a command is JSON, not {kind[:80]!r}; use Content-Type: application/json",
            )
        body = await self._body(headers.get("content-length", ""), receive)
        if not body:
            return None
        try:
            return from_json(body)
        except (ValueError, RecursionError) as error:
            raise Problem(
                400, "malformed", f"the content is not JSON ({error}); send JSON in UTF-8, or nothing"
            ) from None

    async def _body(self, length: str, receive: Receive) -> bytes:
        """Return the body of a request. At most the limit and one chunk of the server are in memory."""
        most = self.limits.body_bytes
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
            raise _too_large(most)
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "incomplete", "the request ended before its body was complete; send all of it")
                part: bytes = message.get("body", b"")
                body += part
                self._body_bytes += len(part)
                if len(body) > most:
                    raise _too_large(most)
                if self._body_bytes > MAX_BODIES * most:
                    raise _busy()
                if not message.get("more_body", False):
                    return bytes(body)
        finally:
            self._body_bytes -= len(body)

    async def _send(
        self, root: str, name: str, content: object, headers: Mapping[str, str]
    ) -> tuple[int, tuple[Header, ...], bytes]:
        key = key_of(headers.get("idempotency-key"))
        at_once, wait = preference(headers.get("prefer", ""), self.limits.command_timeout)
        hub = self.hub
        try:
            if runtime_of(hub).reason:
                runtime_of(hub).check_open()
            if dispatcher_of(hub).is_full(name):
                # Waiting for a slot has no time limit, and this request has one.
                raise Problem(
                    503, "too-many-at-once", "too many of this command wait; try again later", headers=(SOON,)
                )
            with carry(hub, headers):
                dispatcher = dispatcher_of(hub)
                ticket = await dispatcher.send(
                    dispatcher.request(name, content, key, None, "reject", needs_server=True)
                )
            if not ticket.done and at_once:
                return self._accepted(root, ticket, b"respond-async")
        except TelexError as error:
            raise problem_for(error, name) from None
        try:
            outcome = await ticket.outcome(wait)
        except Timeout:
            return self._accepted(root, ticket, b"")
        except Closed:
            raise Problem(500, "outcome-unknown", UNKNOWN) from None
        except TelexError as error:
            raise problem_for(error, name) from None
        return _answer_of(outcome, key)

    def _accepted(self, root: str, ticket: Ticket[Any], applied: bytes) -> tuple[int, tuple[Header, ...], bytes]:
        # Ids of commands can be guessed: only the sender, who gets this address, can read the outcome.
        place = f"{ticket.id}-{token_urlsafe(12)}"
        self._tickets[place] = ticket
        while len(self._tickets) > self.limits.outcomes:
            self._tickets.popitem(last=False)
        where = f"{quote(root)}/{quote(ticket.command, safe=':')}/outcomes/{quote(place, safe='')}"
        headers = (CONTENT, (b"location", where.encode()), *(((b"preference-applied", applied),) if applied else ()))
        return 202, headers, to_json({"id": ticket.id, "state": "running"})

    async def _get_outcome(self, name: str, place: str) -> tuple[int, tuple[Header, ...], bytes]:
        ticket = self._tickets.get(place)
        if ticket is None or ticket.command != name:
            raise Problem(404, "not-found", "this server has no such outcome; send the command again, with its key")
        if ticket.closed:
            raise Problem(500, "outcome-unknown", UNKNOWN)
        if not ticket.done:
            step = ticket.step
            so_far = {} if step is None else {"progress": step.fraction, "text": step.text}
            return 202, (CONTENT, SOON), to_json({"id": ticket.id, "state": "running"} | so_far)
        outcome = await ticket.outcome()
        status, headers, body = _answer_of(outcome, None)
        return (200 if status == 201 else status), headers, body


UNKNOWN = "the server stopped before the outcome was known: the command may have run; send it again, with its key"
CONTENT: Header = (b"content-type", b"application/json")
SOON: Header = (b"retry-after", b"1")
LATER = ((b"retry-after", b"5"),)
MAX_BODIES = 64
"""The number of bodies of the largest size that may be in memory."""
REPLAYED: Header = (b"idempotent-replayed", b"true")
GET: Header = (b"allow", b"GET, HEAD")
POST: Header = (b"allow", b"POST")


def _too_large(most: int) -> Problem:
    text = f"the content of a command has at most {most} bytes; send the address of the data"
    return Problem(413, "content-too-large", text)


def _busy() -> Problem:
    return Problem(
        503, "too-many-requests-at-once", "too many requests are in flight; try again later", headers=(SOON,)
    )


def key_of(header: str | None) -> str | None:
    """Parse the header ``Idempotency-Key``: a string in double quotes (RFC 8941, 3.3.3), or a bare token.

    Raises `Problem` with status 400.
    """
    if header is None:
        return None
    text = header.strip()
    found = STRING.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", found[1]) if found else text if TOKEN.fullmatch(text) else ""
    if not key or len(key) > MAX_KEY_LENGTH:
        raise Problem(
            400,
            "bad-idempotency-key",
            f'the header Idempotency-Key is text in double quotes, "like-this", of 1 to {MAX_KEY_LENGTH} characters',
        )
    return key


def preference(header: str, most: float) -> tuple[bool, float]:
    """Parse the header ``Prefer`` (RFC 7240). Return true to answer at once, and the seconds to wait otherwise."""
    at_once, wait, bounded = False, most, False
    for part in header.lower().split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip() == "respond-async":
            at_once = True
        elif name.strip() == "wait" and value.strip().isascii() and value.strip().isdigit():
            wait, bounded = min(most, float(value.strip()[:9])), True
    # Both preferences together: wait for that time, then answer with the Location of the outcome.
    return at_once and not bounded, wait


def _answer_of(outcome: Outcome[Any], key: str | None) -> tuple[int, tuple[Header, ...], bytes]:
    error = outcome.error
    if error is None:
        status = 200 if outcome.replayed or key is None else 201
        headers = (CONTENT, REPLAYED) if outcome.replayed else (CONTENT,)
        try:
            return status, headers, to_json(outcome.result)
        except (TypeError, ValueError, RecursionError) as problem:
            logger.error("command %s has a result that cannot be sent: %s", outcome.command, problem)
            raise Problem(500, "command-failed", FAILED, code=UNSENDABLE, attempt=outcome.attempt) from None
    status = STATUS.get(error.code) or (422 if error.final else 500)
    if error.code == CONFLICT:
        raise problem_for(KeyConflict(outcome.command, outcome.key or ""), outcome.command)
    text, more = failure_for_client(error.type, error.code, error.message, error.data)
    replayed = (REPLAYED,) if outcome.replayed else ()
    raise Problem(status, "command-failed", text, headers=replayed, **more, attempt=outcome.attempt)


def problem_for(error: TelexError, name: str) -> Problem:
    """Return the answer for an error, in the terms of HTTP."""
    called = repr(name[:80])
    if isinstance(error, NoHandler):
        return Problem(404, "no-handler", f"no program serves the command {called}: check its name, or try again later")
    if isinstance(error, KeyConflict):
        return Problem(422, "key-conflict", str(error))
    if isinstance(error, InProgress):
        text = f"the command {called} with this key is running; repeat the request later to get its outcome"
        return Problem(409, "in-progress", text, headers=(SOON,))
    if isinstance(error, ContentError):
        return Problem(422, "content-refused", error.problem, path=error.path)
    if isinstance(error, BadOption) and error.option == "key" and error.value is None:
        text = f"the command {called} runs once per key: give the key in the header Idempotency-Key"
        return Problem(400, "idempotency-key-needed", text)
    if isinstance(error, (BadName, BadOption)):
        return Problem(400, "malformed", str(error))
    if isinstance(error, Closed):
        text = "the server is starting or stopping, and has not begun the command; send it again"
        return Problem(503, "unavailable", text, headers=LATER)
    if isinstance(error, EngineFailed):
        logger.error("the command %s was not accepted: %s", called, error)
        text = "the server cannot store commands at the moment; send it again, with its key"
        return Problem(503, "unavailable", text, headers=LATER)
    logger.error("the command %s was not accepted", called, exc_info=error)
    return Problem(500, "failed", f"the command {called} was not accepted because of a fault of the server")
