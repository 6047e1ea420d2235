"""The outcome of a call of the C API, as an exception."""

import contextlib
from collections.abc import Iterator

from bone_age_tf.tensorflow_c.library import INVALID_ARGUMENT, tensorflow


class RunError(Exception):
    """TensorFlow failed."""

    def __init__(self, message: str, code: int = INVALID_ARGUMENT) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """As in `tensorflow::error::Code`."""


class InvalidInputError(RunError):
    """The inputs are at fault: INVALID_ARGUMENT."""


@contextlib.contextmanager
def checked() -> Iterator[int]:
    """A status to pass to a function. Raises `RunError` where it is not OK at the end."""
    library = tensorflow()
    status = library.TF_NewStatus()
    try:
        yield status
        code = library.TF_GetCode(status)
        if code:
            message = library.TF_Message(status).decode("utf-8", "replace")
            raise (InvalidInputError if code == INVALID_ARGUMENT else RunError)(message, code)
    finally:
        library.TF_DeleteStatus(status)
