"""The files of the page, served from memory under a content security policy that allows nothing else."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from telex.gateway import check_host

INDEX = "index.html"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The browser asks each time and gets "not modified", so that the files of a page have one version.
    "Cache-Control": "no-cache",
}


class Asset(msgspec.Struct, frozen=True):
    """One file of the page."""

    body: bytes
    media_type: str
    etag: str


@cache
def load(package: str = "telex.chat") -> Mapping[str, Asset]:
    """Return the files in the folder ``page`` of a package, by name. The first call reads them."""
    folder = files(package) / "page"
    return {entry.name: _asset(entry.name, entry.read_bytes()) for entry in folder.iterdir() if entry.is_file()}


def routes(assets: Mapping[str, Asset], hosts: Iterable[str]) -> list[Route]:
    """Return the routes ``/`` and ``/static/...``, for requests to ``hosts``, ``localhost`` and IP addresses."""
    allowed = frozenset(hosts)

    async def serve(request: Request) -> Response:
        problem = check_host(request.headers.get("host", ""), allowed)
        if problem is not None:
            fix = "start the server with --allow-host and that name, or use its IP address"
            return PlainTextResponse(f"{problem}\n{fix}\n", 421, HEADERS)
        asset = assets.get(request.path_params.get("name", INDEX))
        if asset is None:
            return PlainTextResponse("there is no such file\n", 404, HEADERS)
        headers = {**HEADERS, "ETag": asset.etag}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    return [Route("/", serve), Route("/static/{name}", serve)]


def _asset(name: str, body: bytes) -> Asset:
    # The registry of the machine may have another type for .js, and a browser runs modules only of this type.
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(body, kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
