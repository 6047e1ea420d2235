"""A network of its own for a test: only a loopback, seen by this thread and what it starts.

Debian's Orthanc listens on every interface, and cannot be told otherwise; in here nobody else reaches it, and its usual
ports are free.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class NoNetworkError(Exception):
    """There are no rights for a network namespace here."""


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and the processes and threads that it starts, in a new network namespace with its loopback up.

    Raises `NoNetworkError` where that is not allowed: it takes root, or `unshare --map-root-user --net pytest ...`.
    """
    here = Path("/proc/thread-self/ns/net")
    if not here.exists():
        raise NoNetworkError("this system has no network namespaces")
    before = os.open(here, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _require(_LIBC.setns(before, CLONE_NEWNET))  # the way back
        _require(_LIBC.unshare(CLONE_NEWNET))
        try:
            _bring_loopback_up()
            yield
        finally:
            _require(_LIBC.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


def _require(answer: int) -> None:
    if answer != 0:
        raise NoNetworkError(f"network namespace: {os.strerror(ctypes.get_errno())}")


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
