"""The process that decodes, without TensorFlow; and the messages between it and `process`.

A request is its length and the bytes of a file. An answer is a head, then the pixels, or a fault's reason
and explanation. The process ends when there are no more requests.
"""

import contextlib
import faulthandler
import os
import signal
import struct
from collections.abc import Callable
from io import FileIO

import numpy as np

from bone_age_tf.dicom.fault import Fault
from bone_age_tf.files.limits import MAX_PIXELS

MEMORY = 2 * 2**30
"""Bytes of address space; 40 million pixels take up to 1 GiB in grey, 1.6 GiB in colour."""
SECONDS = 60
"""After these the process ends itself, since a process that was killed cannot end it."""
MAX_TEXT = 1000

NO_MEMORY = Fault("damaged", "the DICOM file is damaged: its pixels take too much memory to decode")

Decode = Callable[[bytes], np.ndarray | Fault]

READY = b"ready"
LENGTH = struct.Struct("<Q")
_HEAD = struct.Struct("<?II")
"""Whether pixels follow; their height and width, or the lengths of reason and explanation."""


# === Messages ===


def send(stream: FileIO, *parts: bytes | memoryview) -> None:
    """Write all. Raises `OSError` where nobody reads."""
    for part in parts:
        rest = memoryview(part).cast("B")
        while rest:
            rest = rest[stream.write(rest) :]


def receive(stream: FileIO, size: int) -> bytearray:
    """Read `size` bytes. Raises `EOFError` where there are fewer."""
    received = bytearray(size)
    rest = memoryview(received)
    while rest:
        count = stream.readinto(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return received


def send_answer(stream: FileIO, answer: np.ndarray | Fault) -> None:
    """Write uint16 [height, width], or a fault."""
    if isinstance(answer, Fault):
        texts = [text.encode()[:MAX_TEXT] for text in answer]
        send(stream, _HEAD.pack(False, *map(len, texts)), *texts)
    else:
        send(stream, _HEAD.pack(True, *answer.shape), np.ascontiguousarray(answer).data)


def receive_answer(stream: FileIO) -> np.ndarray | Fault:
    """Read them. Raises `EOFError` where the process has ended, `ValueError` where it answers nonsense."""
    is_pixels, first, second = _HEAD.unpack(receive(stream, _HEAD.size))
    if is_pixels:
        if not 0 < first * second <= MAX_PIXELS:
            raise ValueError("no size of pixels")
        pixels = np.frombuffer(receive(stream, 2 * first * second), np.uint16)
        return pixels.reshape(first, second)
    if max(first, second) > MAX_TEXT:
        raise ValueError("no text")
    return Fault(receive(stream, first).decode(), receive(stream, second).decode())


# === The process ===


def main(decode: Decode | None = None) -> None:
    """Decode until there are no more requests, by `decoding.decode` unless another function is given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = _own(0, os.O_RDONLY), _own(1, os.O_WRONLY)
    if decode is None:
        from bone_age_tf.dicom.decoding import decode
    _limit_memory()
    with contextlib.suppress(EOFError, OSError):
        send(answers, READY)
        while True:
            encoded = receive(requests, *LENGTH.unpack(receive(requests, LENGTH.size)))
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            answer = _answer(decode, bytes(encoded))
            faulthandler.cancel_dump_traceback_later()
            send_answer(answers, answer)


def _answer(decode: Decode, encoded: bytes) -> np.ndarray | Fault:
    try:
        return decode(encoded)
    except MemoryError:
        return NO_MEMORY


def _own(descriptor: int, mode: int) -> FileIO:
    """Standard input or output for messages alone: what a library prints goes nowhere."""
    stream = FileIO(os.dup(descriptor), "r" if mode == os.O_RDONLY else "w")
    nowhere = os.open(os.devnull, mode)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return stream


def _limit_memory() -> None:
    """Also no core dump: it would hold a patient's data."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is set, or there is none
            resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    main()
