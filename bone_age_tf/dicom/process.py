"""Decoding in child processes: a damaged file makes a decoder abort, hang or fill the memory.

A child is started when it is first needed, and decodes one file after the other. What a file does to its
child is told of that file alone; the next one gets a new child.

| bound | how |
|---|---|
| time | `SECONDS` a file, then the child is killed |
| memory | `child.MEMORY` of address space on Linux. macOS and Windows have no such limit: there it is the size in the header, checked before, that bounds what a decoder takes |
| number | one a core, at most `MOST` |
| life | a child ends with this process: its pipe is then at its end |
"""

import atexit
import collections
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import cast

import numpy as np

from bone_age_tf.dicom import child
from bone_age_tf.dicom.fault import Fault

SECONDS = 30.0
"""Enough for 40 million pixels on a busy machine."""
MOST = 4

CRASHED = Fault("damaged", "the DICOM file is damaged: its pixels make the decoder crash")
TOO_SLOW = Fault("damaged", "the DICOM file is damaged: its pixels take too long to decode")
NOT_STARTED = Fault("no_decoder", "the process that decodes DICOM files cannot be started")

_ROOT = Path(__file__).parents[2]


def decode(encoded: bytes) -> np.ndarray | Fault:
    """uint16 [height, width], bone bright, of a file's bytes; or why they are not decoded."""
    return _CHILDREN.decode(encoded)


class _EndedError(Exception):
    """The child crashed, was killed, or answered what cannot be understood."""


class _LateError(Exception):
    """The child was killed because it took too long."""


class Children:
    """Processes that decode, one a core and at most `most`; thread-safe. `command` starts one."""

    def __init__(self, command: Sequence[str], *, seconds: float = SECONDS, most: int = MOST):
        self._command = command
        self._seconds = seconds
        self._most = min(most, os.cpu_count() or 1)
        self._all: set[_Child] = set()
        self.forget()

    def decode(self, encoded: bytes) -> np.ndarray | Fault:
        """As `decode` of this module."""
        with self._turns:
            try:
                return self._decode(encoded)
            except _LateError:
                return TOO_SLOW
            except _EndedError:
                return CRASHED

    def close(self) -> None:
        """End them all, also at work; no other is started."""
        self._is_closed = True
        for one in list(self._all):
            one.end()

    def forget(self) -> None:
        """Start anew: of the children of a process from which this one was forked nothing is shared."""
        for one in self._all:
            one.forget()
        self._all = set()
        self._idle: collections.deque[_Child] = collections.deque()
        self._turns = threading.BoundedSemaphore(self._most)
        self._is_closed = False

    def _decode(self, encoded: bytes) -> np.ndarray | Fault:
        # A child that was used before may end because of an earlier file: then this one is tried again.
        with contextlib.suppress(IndexError, _EndedError):
            return self._ask(self._idle.pop(), encoded)
        try:
            fresh = self._started()
        except (OSError, _EndedError, _LateError):
            return NOT_STARTED
        return self._ask(fresh, encoded)

    def _started(self) -> "_Child":
        if self._is_closed:
            raise _EndedError
        started = _Child(self._command, self._seconds)
        self._all.add(started)
        try:
            started.wait_until_ready()
        except BaseException:
            self._all.discard(started)
            raise
        return started

    def _ask(self, one: "_Child", encoded: bytes) -> np.ndarray | Fault:
        try:
            answer = one.decode(encoded)
        except BaseException:
            self._all.discard(one)
            raise
        self._idle.append(one)
        return answer


class _Child:
    """One process and its pipes. After an exception it has ended."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._seconds = seconds
        self._is_late = False
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._requests = cast(FileIO, self._process.stdin)
        self._answers = cast(FileIO, self._process.stdout)

    def wait_until_ready(self) -> None:
        with self._in_time():
            if child.receive(self._answers, len(child.READY)) != child.READY:
                raise ValueError("not ready")

    def decode(self, encoded: bytes) -> np.ndarray | Fault:
        with self._in_time():
            child.send(self._requests, child.LENGTH.pack(len(encoded)), encoded)
            return child.receive_answer(self._answers)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Close the pipes alone."""
        if self._process.returncode is None:
            self._process.returncode = 0  # of another process: nothing to wait for
        self._requests.close()
        self._answers.close()

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        timer = threading.Timer(self._seconds, self._kill_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise (_LateError if self._is_late else _EndedError) from error
        except BaseException:
            self.end()
            raise
        finally:
            timer.cancel()

    def _kill_late(self) -> None:
        self._is_late = True
        self._process.kill()


def _environment() -> dict[str, str]:
    """That of this process, with the same packages; a working directory may hold a folder of any name."""
    paths = [path for path in sys.path if path and not _is_working_directory(path)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, str(_ROOT)]),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _is_working_directory(path: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(path).samefile(os.curdir)
    return False


_CHILDREN = Children([sys.executable or "", "-P", "-W", "ignore", "-m", "bone_age_tf.dicom.child"])
atexit.register(_CHILDREN.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CHILDREN.forget)
