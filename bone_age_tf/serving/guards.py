"""Checks of every HTTP request: `Host`, `Origin` and token; and its log.

Requests with an unknown `Host` or `Origin` are turned away, so that no web page elsewhere can use a
server on this machine. The log has a number, size, type, time and status of a request; never its
path's free part, a file's name, or pixels.
"""

import hmac
import itertools
import logging
import time
from collections.abc import Callable, Iterable

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bone_age_tf.serving.contract import Code, ServingError
from bone_age_tf.serving.responses import error_response

log = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}

HEALTH = ("/healthz", "/readyz")
_VERBS = frozenset(
    {"predict", "v1", "healthz", "readyz", "metrics", "header", "read", "report", "growth", ""}
)

Observe = Callable[[str, int, float], None]
"""Called with the kind of a request, its status and its seconds."""


class Guard:
    """ASGI: passes on what is allowed, adds `HEADERS`, logs."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Iterable[str],
        token: str | None,
        observe: Observe,
        open_paths: Iterable[str] = (),
    ) -> None:
        """`allowed_hosts` are the names without a port that `Host` may hold, IPv6 addresses in brackets.

        `open_paths` need no token; `HEALTH` needs none, and no known `Host`, as probes name addresses.
        """
        self._app = app
        access = Access(app, token=token, open_paths=open_paths)
        self._checked = TrustedHostMiddleware(access, list(allowed_hosts), www_redirect=False)
        self._observe = observe
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on, one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_ours(message["headers"])
            await send(message)

        app = self._app if scope["path"] in HEALTH else self._checked
        try:
            await app(scope, receive, answering)
        finally:
            self._log(Request(scope), status, time.monotonic() - started)

    def _log(self, request: Request, status: int, seconds: float) -> None:
        kind = kind_of(request)
        self._observe(kind, status, seconds)
        size = request.headers.get("content-length", "?")
        log.info(
            f"request {next(self._numbers)}: {kind}, {size[:12]} bytes, {status}, "
            f"{seconds * 1000:.0f} ms"
        )


class Access:
    """ASGI: `Origin` and the token. Starlette checks neither: its CORS middleware only adds headers."""

    def __init__(self, app: ASGIApp, *, token: str | None, open_paths: Iterable[str]) -> None:
        self._app = app
        self._token = token
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401 or 403."""
        error = self._error(Request(scope))
        await (error_response(error) if error else self._app)(scope, receive, send)

    def _error(self, request: Request) -> ServingError | None:
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            return ServingError(Code.PERMISSION_DENIED, "Other web pages may not use this server.")
        if self._token is None or request.scope["path"] in self._open:
            return None
        given = request.headers.get("authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return None
        return ServingError(
            Code.UNAUTHENTICATED, "Expected the header 'Authorization: Bearer TOKEN'."
        )


def kind_of(request: Request) -> str:
    """The kind of a request, without any text chosen by the client."""
    path = request.scope["path"]
    verb = path.rpartition(":")[2] if ":" in path else path.strip("/").partition("/")[0]
    is_known = verb in _VERBS and request.method in ("GET", "HEAD", "POST")
    return f"{request.method} {verb}" if is_known else "other"


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The answer's own headers, and `HEADERS` where it has none of that name."""
    own = list(headers)
    there = {name.lower() for name, _ in own}
    ours = ((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
    return [*own, *((name, value) for name, value in ours if name not in there)]
