"""What other libraries say of the files they read, kept from the terminal: it is said in our words."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def without_messages_of(package: str) -> Iterator[None]:
    """Neither warnings nor log lines of a package. One thread at a time, since filters are global."""
    logger = logging.getLogger(package)
    with _one_at_a_time, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=rf"{package}\.")
        was_disabled, logger.disabled = logger.disabled, True
        try:
            yield
        finally:
            logger.disabled = was_disabled
