"""Bodies of HTTP requests: read up to `LARGEST_BODY`, within `BODY_SECONDS`, `LARGEST_TOGETHER` bytes at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from bone_age_tf.serving.contract import Code, ServingError

LARGEST_BODY = 32 * 2**20
LARGEST_TOGETHER = 8 * LARGEST_BODY
BODY_SECONDS = 30.0


class TooLargeError(ServingError):
    """The body has too many bytes."""

    def __init__(self) -> None:
        super().__init__(
            Code.INVALID_ARGUMENT,
            f"The body has more than {LARGEST_BODY // 2**20} MB. Send fewer radiographs at a time.",
        )
        self.http_status = 413


class SlowError(ServingError):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(
            Code.INVALID_ARGUMENT, f"The body did not arrive within {BODY_SECONDS:.0f} seconds."
        )
        self.http_status = 408


class Bodies:
    """Reads bodies, and knows how many bytes of them are in memory."""

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
                    raise ServingError(
                        Code.UNAVAILABLE, "The bodies of all requests together are too large."
                    )
                chunks.append(chunk)
            yield b"".join(chunks)
        finally:
            self._held -= size


async def _in_time(request: Request) -> AsyncIterator[bytes]:
    """The body's chunks. Raises `ServingError` where they do not all come in time."""
    end = asyncio.get_running_loop().time() + BODY_SECONDS
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(end):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise SlowError from error
        except ClientDisconnect as error:
            raise ServingError(Code.INVALID_ARGUMENT, "The body is cut short.") from error
        yield chunk
