"""What every HTTP request passes: who may ask, how much, how slowly; and what is logged of it.

Foreign `Host` and `Origin` are refused, so that no web page elsewhere can use a server on this
machine. Bodies are read up to `LARGEST_BODY`, within `BODY_SECONDS`, and no more than
`LARGEST_TOGETHER` bytes at a time. The log has a number, size, type, time and status of a request;
never its path's free part, a file's name, or pixels.
"""

import asyncio
import contextlib
import hmac
import itertools
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bone_age_tf.serving.contract import Code, ServingError

log = logging.getLogger(__name__)

LARGEST_BODY = 32 * 2**20
LARGEST_TOGETHER = 8 * LARGEST_BODY
BODY_SECONDS = 30.0
RETRY_SECONDS = "1"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}

HEALTH = ("/healthz", "/readyz")
_VERBS = frozenset({"predict", "v1", "healthz", "readyz", "metrics", "read", "report", ""})
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")

Observe = Callable[[str, int, float], None]
"""Called with the kind of a request, its status and its seconds."""


class TooLargeError(ServingError):
    """The body has too many bytes."""

    def __init__(self) -> None:
        super().__init__(
            Code.INVALID_ARGUMENT,
            f"The body has more than {LARGEST_BODY // 2**20} MB. Send fewer radiographs at a time.",
        )


class SlowError(ServingError):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(
            Code.INVALID_ARGUMENT, f"The body did not arrive within {BODY_SECONDS:.0f} seconds."
        )


class Bodies:
    """Reads bodies, and knows how much of them is in memory."""

    def __init__(self) -> None:
        self._held = 0

    @contextlib.asynccontextmanager
    async def held(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, counted until the block ends. Raises `ServingError`."""
        if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
            raise TooLargeError
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in _in_time(request):
                size += len(chunk)
                self._held += len(chunk)
                if size > LARGEST_BODY:
                    raise TooLargeError
                if self._held > LARGEST_TOGETHER:
                    raise ServingError(Code.UNAVAILABLE, "Too much is being sent at a time.")
                chunks.append(chunk)
            yield b"".join(chunks)
        finally:
            self._held -= size


async def _in_time(request: Request) -> AsyncIterator[bytes]:
    """The body's pieces. Raises `ServingError` where they do not all come soon."""
    end = asyncio.get_running_loop().time() + BODY_SECONDS
    pieces = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(end):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise SlowError from error
        except ClientDisconnect as error:
            raise ServingError(Code.INVALID_ARGUMENT, "The body is cut short.") from error
        yield piece


class Guard:
    """ASGI: lets through what may ask, adds `HEADERS`, logs."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        token: str | None,
        observe: Observe,
        open_paths: Iterable[str] = (),
    ) -> None:
        """`hosts` are the names without a port that `Host` may hold, IPv6 addresses in brackets.

        `open_paths` need no token; `HEALTH` needs none, and no known `Host`, as probes name addresses.
        """
        self._app = app
        self._hosts = frozenset(hosts)
        self._token = token
        self._observe = observe
        self._open = frozenset(open_paths)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on, one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        started = time.monotonic()
        status = 0

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.encode().lower(): value.encode() for name, value in HEADERS.items()}
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in own.items() if name not in there),
                ]
            await send(message)

        try:
            refused = self._refusal(request)
            await (refused or self._app)(scope, receive, answering)
        finally:
            kind = kind_of(request)
            seconds = time.monotonic() - started
            size = request.headers.get("content-length", "?")
            self._observe(kind, status, seconds)
            log.info(
                f"request {next(self._numbers)}: {kind}, {size[:12]} bytes, {status}, "
                f"{seconds * 1000:.0f} ms"
            )

    def _refusal(self, request: Request) -> Response | None:
        path = request.scope["path"]
        if path in HEALTH:
            return None
        match = _HOST.fullmatch(request.headers.get("host", ""))
        if match is None or match["name"].lower() not in self._hosts:
            return error_response(
                ServingError(
                    Code.INVALID_ARGUMENT,
                    "This server does not answer for that Host; serve --host-name names others.",
                )
            )
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            return error_response(
                ServingError(Code.PERMISSION_DENIED, "Other web pages may not use this server.")
            )
        if self._token is None or path in self._open:
            return None
        given = request.headers.get("authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return None
        return error_response(
            ServingError(Code.UNAUTHENTICATED, "Expected the header 'Authorization: Bearer TOKEN'.")
        )


def kind_of(request: Request) -> str:
    """What sort of request it is, without anything that its sender chose."""
    path = request.scope["path"]
    verb = path.rpartition(":")[2] if ":" in path else path.strip("/").partition("/")[0]
    is_known = verb in _VERBS and request.method in ("GET", "HEAD", "POST")
    return f"{request.method} {verb}" if is_known else "other"


def error_response(error: ServingError) -> JSONResponse:
    """`{"error": ...}` with the status of its code."""
    status = error.code.value
    if isinstance(error, TooLargeError):
        status = 413
    if isinstance(error, SlowError):
        status = 408
    headers = {"Retry-After": RETRY_SECONDS} if status == Code.UNAVAILABLE.value else {}
    if status in (408, 413):
        headers["Connection"] = "close"
    return JSONResponse({"error": str(error)}, status, headers)


Handler = Callable[[Request], Awaitable[Response]]


def answering_errors(handler: Handler) -> Handler:
    """The handler, with `ServingError` as an answer and a bug of ours as a 500 without detail."""

    async def wrapped(request: Request) -> Response:
        try:
            return await handler(request)
        except ServingError as error:
            return error_response(error)
        except Exception:
            log.exception("A bug in bone-age-tf")
            return error_response(ServingError(Code.INTERNAL, "A bug in bone-age-tf; see its log."))

    return wrapped
