"""`Commands`: an ASGI app with which commands are sent by HTTP.

``POST /{name}`` carries out a command with a JSON body as its content; ``GET /{name}/outcomes/{id}`` says what became
of one that was not waited for. The header ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header) is the
command's key, ``Prefer`` (RFC 7240) says how long to wait, and errors are problem details (RFC 9457).
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
from telex.gateway.auth import NOTHING, AccessRules, check_handshake, peer_of
from telex.gateway.calls import FAILED, told
from telex.gateway.limits import DEFAULT_LIMITS, Limits
from telex.hub import dispatcher_of, runtime_of
from telex.once.machine import EXHAUSTED

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from telex.hub import Hub

logger: logging.Logger = logging.getLogger("telex.gateway")
JSON = ("application/json",)
STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z:/]+")
LONGEST_KEY = 255
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
"""Of errors that are telex's own. What a handler raised on purpose is 422, and what it did not is 500."""


class Problem(Exception):
    """What a request is answered with when it cannot be done: problem details."""

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

    ``rules.call`` says which commands may be sent; without it, none. ``origins``, ``hosts`` and ``local`` are those of
    `Gateway`: a page elsewhere may not send anything, and a program on another machine has to say an Origin that may.
    ``limits``
    bound the size of a body, how many requests are worked on at once, and how long one waits.

    The hub is its owner's: open it before the first request.
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
        self.hub = hub
        """The hub that the commands are sent to; its owner opens and closes it."""
        self.rules = rules
        """The rules that were given."""
        self.limits = limits
        """The limits that hold."""
        self._origins = frozenset(origins)
        self._hosts = frozenset(hosts)
        self._local = local
        self._at_work = 0
        self._read = 0  # bytes of bodies that are not complete
        self._tickets: OrderedDict[str, Ticket[Any]] = OrderedDict()  # of those that did not wait, the oldest first

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
        problem = check_handshake(peer, self._origins, self._hosts, local=self._local)
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
                raise Problem(405, "method-not-allowed", "an outcome is looked at with GET", headers=(GET,))
            return await self._look(name, rest.removeprefix("outcomes/"))
        if slash:
            raise Problem(
                404,
                "not-found",
                "there is nothing here; POST to the name of a command, and GET the Location that it is answered with",
            )
        if method != "POST":
            raise Problem(405, "method-not-allowed", "a command is sent with POST", headers=(POST,))
        content = await self._timely(headers, receive)
        if self._at_work >= self.limits.requests:
            raise _busy()
        self._at_work += 1
        try:
            return await self._carry_out(root, name, content, headers)
        finally:
            self._at_work -= 1

    async def _timely(self, headers: Mapping[str, str], receive: Receive) -> object:
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                return await self._content(headers, receive)
        except TimeoutError:
            raise Problem(
                408, "request-timeout", "the content did not come in time; send it at once, or less of it"
            ) from None

    async def _content(self, headers: Mapping[str, str], receive: Receive) -> object:
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind not in JSON and not kind.endswith("+json"):
            raise Problem(
                415,
                "unsupported-media-type",
                f"the content of a command is JSON, not {kind[:80]!r}; say Content-Type: application/json",
            )
        body = await self._body(headers.get("content-length", ""), receive)
        if not body:
            return None
        try:
            return from_json(body)
        except (ValueError, RecursionError) as error:
            raise Problem(
                400, "malformed", f"the content is no JSON ({error}); send JSON in UTF-8, or nothing"
            ) from None

    async def _body(self, length: str, receive: Receive) -> bytes:
        """The body, of which never more than the bound and one part of the server's is held."""
        most = self.limits.body_bytes
        too_large = Problem(
            413, "content-too-large", f"the content of a command has at most {most} bytes; send where to find the rest"
        )
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
            raise too_large
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "incomplete", "the request ended before its body; send all of it")
                part: bytes = message.get("body", b"")
                body += part
                self._read += len(part)
                if len(body) > most:
                    raise too_large
                if self._read > BODIES * most:
                    raise _busy()
                if not message.get("more_body", False):
                    return bytes(body)
        finally:
            self._read -= len(body)

    async def _carry_out(
        self, root: str, name: str, content: object, headers: Mapping[str, str]
    ) -> tuple[int, tuple[Header, ...], bytes]:
        key = key_of(headers.get("idempotency-key"))
        at_once, wait = preference(headers.get("prefer", ""), self.limits.command_timeout)
        hub = self.hub
        try:
            if runtime_of(hub).reason:
                runtime_of(hub).check_open()
            if dispatcher_of(hub).is_full(name):
                # Waiting for room is not bounded, and this is.
                raise Problem(
                    503, "too-many-at-once", "too many of this command wait; try again later", headers=(SOON,)
                )
            ticket = await dispatcher_of(hub).send(name, content, key, None, "reject", None, wanted=True)
            if not ticket.done and at_once:
                return self._later(root, ticket, b"respond-async")
        except TelexError as error:
            raise _problem(error, name) from None
        try:
            outcome = await ticket.outcome(wait)
        except Timeout:
            return self._later(root, ticket, b"")
        except Closed:
            raise Problem(500, "outcome-unknown", UNKNOWN) from None
        except TelexError as error:
            raise _problem(error, name) from None
        return _told(outcome, key)

    def _later(self, root: str, ticket: Ticket[Any], applied: bytes) -> tuple[int, tuple[Header, ...], bytes]:
        # Ids can be guessed from one another: who may look at an outcome is who was told where it is.
        place = f"{ticket.id}-{token_urlsafe(12)}"
        self._tickets[place] = ticket
        while len(self._tickets) > self.limits.outcomes:
            self._tickets.popitem(last=False)
        where = f"{quote(root)}/{quote(ticket.command, safe=':')}/outcomes/{quote(place, safe='')}"
        headers = (CONTENT, (b"location", where.encode()), *(((b"preference-applied", applied),) if applied else ()))
        return 202, headers, to_json({"id": ticket.id, "state": "running"})

    async def _look(self, name: str, place: str) -> tuple[int, tuple[Header, ...], bytes]:
        ticket = self._tickets.get(place)
        if ticket is None or ticket.command != name:
            raise Problem(404, "not-found", "this outcome is not known here; send the command again, with its key")
        if ticket.closed:
            raise Problem(500, "outcome-unknown", UNKNOWN)
        if not ticket.done:
            step = ticket.step
            so_far = {} if step is None else {"progress": step.fraction, "text": step.text}
            return 202, (CONTENT, SOON), to_json({"id": ticket.id, "state": "running"} | so_far)
        outcome = await ticket.outcome()
        status, headers, body = _told(outcome, None)
        return (200 if status == 201 else status), headers, body


UNKNOWN = (
    "the server stopped before the outcome was known: the command may have been carried out; repeat it with its key"
)
CONTENT: Header = (b"content-type", b"application/json")
SOON: Header = (b"retry-after", b"1")
LATER = ((b"retry-after", b"5"),)
BODIES = 64
"""Bodies of the largest size that may be read at once."""
REPLAYED: Header = (b"idempotent-replayed", b"true")
GET: Header = (b"allow", b"GET, HEAD")
POST: Header = (b"allow", b"POST")


def _busy() -> Problem:
    return Problem(
        503, "too-many-requests-at-once", "too many requests are in flight; try again later", headers=(SOON,)
    )


def key_of(header: str | None) -> str | None:
    """The key that the header ``Idempotency-Key`` gives: a string in double quotes (RFC 8941, 3.3.3), or a bare token.

    Raises `Problem` with 400.
    """
    if header is None:
        return None
    text = header.strip()
    found = STRING.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", found[1]) if found else text if TOKEN.fullmatch(text) else ""
    if not key or len(key) > LONGEST_KEY:
        raise Problem(
            400,
            "bad-idempotency-key",
            f'the header Idempotency-Key is text in double quotes, "like-this", of 1 to {LONGEST_KEY} characters',
        )
    return key


def preference(header: str, most: float) -> tuple[bool, float]:
    """Whether the answer is to come at once, and how many seconds to wait for it else: RFC 7240."""
    at_once, wait, bounded = False, most, False
    for part in header.lower().split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip() == "respond-async":
            at_once = True
        elif name.strip() == "wait" and value.strip().isascii() and value.strip().isdigit():
            wait, bounded = min(most, float(value.strip()[:9])), True
    # Both together are for waiting so long, and only then being told where to look.
    return at_once and not bounded, wait


def _told(outcome: Outcome[Any], key: str | None) -> tuple[int, tuple[Header, ...], bytes]:
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
        raise _problem(KeyConflict(outcome.command, outcome.key or ""), outcome.command)
    text, more = told(error.type, error.code, error.message, error.data)
    said = (REPLAYED,) if outcome.replayed else ()
    raise Problem(status, "command-failed", text, headers=said, **more, attempt=outcome.attempt)


def _problem(error: TelexError, name: str) -> Problem:
    """What is told of an error to who sends by HTTP, who knows of headers and not of this library."""
    called = repr(name[:80])
    if isinstance(error, NoHandler):
        return Problem(404, "no-handler", f"nobody serves the command {called}: check its name, or try again later")
    if isinstance(error, KeyConflict):
        return Problem(422, "key-conflict", str(error))
    if isinstance(error, InProgress):
        text = f"the command {called} with this key is in hand; repeat the request later to get its outcome"
        return Problem(409, "in-progress", text, headers=(SOON,))
    if isinstance(error, ContentError):
        return Problem(422, "content-refused", error.problem, path=error.path)
    if isinstance(error, BadOption) and error.option == "key" and error.value is None:
        text = f"the command {called} runs once for each key: say which one this is in the header Idempotency-Key"
        return Problem(400, "idempotency-key-needed", text)
    if isinstance(error, (BadName, BadOption)):
        return Problem(400, "malformed", str(error))
    if isinstance(error, Closed):
        text = "the server is not open, or about to stop, and has not begun this; send it again"
        return Problem(503, "unavailable", text, headers=LATER)
    if isinstance(error, EngineFailed):
        logger.error("the command %s was not taken: %s", called, error)
        text = "the server cannot keep commands at the moment; send it again, with its key"
        return Problem(503, "unavailable", text, headers=LATER)
    logger.error("the command %s was not taken", called, exc_info=error)
    return Problem(500, "failed", f"the command {called} was not taken, for a reason that is the server's")
