"""What other libraries say of the files they read, kept from the terminal: it is said in our words."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def without_messages_of(*packages: str) -> Iterator[None]:
    """Neither warnings nor log lines of these packages. One thread at a time, since filters are global."""
    loggers = [logging.getLogger(package) for package in packages]
    with _one_at_a_time, warnings.catch_warnings():
        levels = [logger.level for logger in loggers]
        for package, logger in zip(packages, loggers, strict=True):
            warnings.filterwarnings("ignore", module=rf"{package}\.")
            logger.setLevel(logging.CRITICAL + 1)  # also of the loggers below it
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
