"""SIGINT and SIGTERM stop a training after its current step, within seconds."""

import contextlib
import dataclasses
import logging
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOP_TIMEOUT_SECONDS = 10.0
"""The process exits after this time even if the step does not end (it may wait for another worker)."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class StopRequest:
    """Whether a signal has arrived."""

    signal_number: int = 0
    seen: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Set by the loop once it acts on the request."""


@contextlib.contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """The stop request that SIGINT and SIGTERM set while the block runs; a second signal acts at once."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}

    def request_stop(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        for known, handler in previous.items():
            signal.signal(known, handler)

    for number in SIGNALS:
        signal.signal(number, request_stop)
    try:
        with _watched(request):
            yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _watched(request: StopRequest) -> Iterator[None]:
    """Ends the process if the loop does not act on a signal: Python's handlers wait for TensorFlow."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader, request), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        request.seen.set()
        os.close(writer)
        watcher.join()
        os.close(reader)


def _watch(reader: int, request: StopRequest) -> None:
    while numbers := os.read(reader, 1):
        number = numbers[0]
        if number not in SIGNALS:
            continue
        log.info("Stopping after this step, to save. A second signal stops at once, without.")
        if not request.seen.wait(STOP_TIMEOUT_SECONDS):
            log.error(
                f"bone-age-tf: the step did not end within {STOP_TIMEOUT_SECONDS:.0f} s of the signal. The "
                "same command resumes from the last checkpoint."
            )
            os._exit(128 + number)
