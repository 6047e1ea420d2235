"""Errors as HTTP answers, in TensorFlow Serving's form."""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bone_age_tf.serving.contract import Code, ServingError

log = logging.getLogger(__name__)

RETRY_SECONDS = "1"

Handler = Callable[[Request], Awaitable[Response]]


def error_response(error: ServingError) -> JSONResponse:
    """`{"error": ...}` with its status."""
    status = error.http_status
    headers = {"Retry-After": RETRY_SECONDS} if status == Code.UNAVAILABLE.value else {}
    if status in (408, 413):  # the rest of the body is not read
        headers["Connection"] = "close"
    return JSONResponse({"error": str(error)}, status, headers)


def answering_errors(handler: Handler) -> Handler:
    """The handler, with `ServingError` as a response and an internal error as a 500 without detail."""

    async def wrapped(request: Request) -> Response:
        try:
            return await handler(request)
        except ServingError as error:
            return error_response(error)
        except Exception:
            log.exception("A bug in bone-age-tf")
            return error_response(ServingError(Code.INTERNAL, "A bug in bone-age-tf; see its log."))

    return wrapped
