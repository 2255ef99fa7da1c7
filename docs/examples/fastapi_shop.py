from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.requests import cookie_parser

import telex
from telex.gateway import AccessRules, Authorizer, Gateway, Peer, Refused

SESSIONS = {"a-long-secret": "ann"}  # session cookies and their users
STATUS: dict[type[Exception], int] = {
    telex.ContentError: 422,
    telex.KeyConflict: 422,
    telex.InProgress: 409,
    telex.CommandFailed: 400,
    telex.NoHandler: 503,
    telex.WouldBlock: 503,
    telex.EngineFailed: 503,
    telex.Closed: 503,
    telex.Timeout: 504,
}
BUGS = {"error", "result_refused", "attempts_exhausted"}
"""The codes of a `CommandFailed` that no `CommandError` has caused."""

router = telex.Router("orders")


class Order(BaseModel):
    number: int
    cents: int


@router.command("charge")
async def charge(order: Order) -> int:
    if order.cents > 100_000:
        raise telex.CommandError("the card was declined", code="declined")
    return order.cents


class Customer(Authorizer):
    """A connected client, which has logged in."""

    def __init__(self, rules: AccessRules, peer: Peer) -> None:
        super().__init__(rules, peer)
        session = cookie_parser(peer.headers.get("cookie", "")).get("session")
        if session not in SESSIONS:
            raise Refused("forbidden", "log in first")  # HTTP 403, before the WebSocket is open
        self.user = SESSIONS[session]


async def problem(request: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
    if isinstance(error, telex.CommandFailed) and error.code in BUGS:
        status = 500
    return JSONResponse({"detail": str(error) if status < 500 else type(error).__name__}, status)


def create_app(url: str | None = None) -> FastAPI:
    hub = telex.Hub(url)
    hub.include_router(router)
    gateway = Gateway(hub, rules=AccessRules(subscribe=("orders:*",)), authorizer=Customer)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with hub:
            yield
            await gateway.aclose()

    app = FastAPI(lifespan=lifespan, exception_handlers={telex.TelexError: problem})
    app.mount("/ws", gateway)

    @app.post("/orders", status_code=201)
    async def order(order: Order) -> dict[str, int]:
        cents = await hub.call("orders:charge", order, timeout="5s")
        message = await hub.topic("orders:paid").publish(order)
        return {"charged": cents, "seq": message.seq}

    return app
