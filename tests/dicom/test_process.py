"""Decoding in child processes. What a damaged file may do to a decoder, a stand-in for it does."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import draw_phantom
from dicom_files import dicom_of

from bone_age_tf.dicom import child
from bone_age_tf.dicom.decoding import decode as decode_here
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.process import CRASHED, NOT_STARTED, TOO_SLOW, Children

HAND = draw_phantom(100, 1, height=120, width=90)
PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)

STAND_IN = """
import os, sys, time
import numpy as np
from bone_age_tf.dicom import child
from bone_age_tf.dicom.fault import Fault
decoded = []

def decode(encoded):
    decoded.append(encoded)
    match encoded:
        case b"abort":
            os.abort()
        case b"hang":
            time.sleep(600)
        case b"memory":
            bytearray(child.MEMORY)
        case b"harm":
            return np.zeros((1, 1), np.uint16)
        case b"print":
            os.write(1, b"printed"), os.write(2, b"printed")
        case b"refuse":
            return Fault("unsupported_pixels", "grüne Pixel")
        case b"harmed" if b"harm" in decoded:
            os.abort()
    return np.arange(12, dtype=np.uint16).reshape(3, 4)

child.main(decode)
"""


@pytest.fixture
def children() -> Iterator[Children]:
    """One child at a time, by the stand-in."""
    made = Children([sys.executable, "-c", STAND_IN], seconds=20, most=1)
    yield made
    made.close()


def _processes() -> list[psutil.Process]:
    return psutil.Process().children()


def test_pixels_and_faults_come_back_as_they_are(children: Children) -> None:
    np.testing.assert_array_equal(children.decode(b""), PIXELS)
    assert children.decode(b"refuse") == Fault("unsupported_pixels", "grüne Pixel")
    np.testing.assert_array_equal(children.decode(b"print"), PIXELS)


def test_a_child_is_used_again(children: Children) -> None:
    before = set(_processes())
    children.decode(b"")
    first = set(_processes()) - before
    children.decode(b"refuse")
    children.decode(b"")
    assert set(_processes()) - before == first
    assert len(first) == 1


def test_a_crash_is_of_that_file_alone(children: Children) -> None:
    assert children.decode(b"abort") == CRASHED
    np.testing.assert_array_equal(children.decode(b"next"), PIXELS)
    assert children.decode(b"abort") == CRASHED


def test_a_file_gets_no_blame_for_an_earlier_one(children: Children) -> None:
    children.decode(b"harm")
    np.testing.assert_array_equal(children.decode(b"harmed"), PIXELS)


def test_a_child_that_ends_between_two_files_is_replaced(children: Children) -> None:
    before = set(_processes())
    children.decode(b"")
    (idle,) = set(_processes()) - before
    idle.kill()
    psutil.wait_procs([idle], timeout=10)
    np.testing.assert_array_equal(children.decode(b""), PIXELS)


def test_too_much_memory_is_a_fault(children: Children) -> None:
    if sys.platform != "linux":
        pytest.skip("no limit of memory there")
    assert children.decode(b"memory") == child.NO_MEMORY


def test_too_much_time_is_a_fault() -> None:
    children = Children([sys.executable, "-c", STAND_IN], seconds=2)
    start = time.monotonic()
    assert children.decode(b"hang") == TOO_SLOW
    assert time.monotonic() - start < 20
    children.close()


NONSENSE = {
    "text": "b'Segmentation fault' * 9",
    "far too many pixels": "child._HEAD.pack(True, 2**31, 2**31)",
    "no pixels": "child._HEAD.pack(True, 0, 5)",
    "cut short": "child._HEAD.pack(True, 3, 4) + bytes(5)",
    "long text": "child._HEAD.pack(False, 2**31, 2**31)",
    "not text": "child._HEAD.pack(False, 2, 1) + bytes([255] * 3)",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_a_crash(answer: str) -> None:
    code = "import os; from bone_age_tf.dicom import child; os.write(1, child.READY); os.read(0, 9)"
    children = Children([sys.executable, "-c", f"{code}; os.write(1, {answer})"])
    assert children.decode(b"") == CRASHED
    children.close()


@pytest.mark.parametrize("command", [[""], ["/no/such/python"], [sys.executable, "-c", "print(1)"]])
def test_a_decoder_that_does_not_start_is_told(command: list[str]) -> None:
    assert Children(command).decode(b"") == NOT_STARTED


def test_threads_share_the_children(children: Children) -> None:
    files = [b"", b"abort", b"refuse", b"next"] * 4
    before = len(_processes())
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(children.decode, files))
    for encoded, answer in zip(files, found, strict=True):
        if encoded == b"abort":
            assert answer == CRASHED
        elif encoded == b"refuse":
            assert isinstance(answer, Fault)
        else:
            np.testing.assert_array_equal(answer, PIXELS)
    assert len(_processes()) - before <= 1


def test_an_exception_in_between_ends_the_child(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late answer would be taken for that of the next file."""

    def interrupted(stream: object) -> None:
        raise KeyboardInterrupt

    children.decode(b"")
    with monkeypatch.context() as patch:
        patch.setattr(child, "receive_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            children.decode(b"refuse")
    np.testing.assert_array_equal(children.decode(b""), PIXELS)


# === The real child, of a program that imports no TensorFlow ===


def _run(code: str, folder: Path, encoded: bytes) -> subprocess.CompletedProcess[str]:
    """A program without a main guard, which finds the file's bytes as `encoded`."""
    (folder / "hand").write_bytes(encoded)
    head = """
        import os, sys, threading, time
        from pathlib import Path
        import psutil
        from bone_age_tf.dicom.reader import read_pixels

        encoded = Path("hand").read_bytes()

        def children():
            return [one.pid for one in psutil.Process().children()]
    """
    command = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c"]
    program = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [*command, program], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def _are_gone(pids: list[int]) -> bool:
    end = time.monotonic() + 20
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(pids) and not any(map(psutil.pid_exists, pids))


def test_it_decodes_as_in_this_process_whatever_lies_in_the_working_directory(
    tmp_path: Path,
) -> None:
    encoded = dicom_of(HAND)
    for name in ("dl", "pydicom", "gdcm", "numpy", "bone_age_tf"):
        (tmp_path / name).mkdir()
    ran = _run(
        """
        pixels = read_pixels(encoded)
        print(children()[0], pixels.sum(), "tensorflow" in sys.modules)
        """,
        tmp_path,
        encoded,
    )
    assert ran.stderr == ""
    pid, total, has_tensorflow = ran.stdout.split()
    assert int(total) == decode_here(encoded).sum()
    assert has_tensorflow == "False"
    assert _are_gone([int(pid)])


def test_children_end_with_a_program_that_is_killed(tmp_path: Path) -> None:
    ran = _run(
        """
        read_pixels(encoded)
        print(*children(), flush=True)
        os.kill(os.getpid(), 9)
        """,
        tmp_path,
        dicom_of(HAND),
    )
    assert ran.stderr == ""
    assert _are_gone([int(pid) for pid in ran.stdout.split()])


def test_the_program_ends_while_a_thread_decodes(tmp_path: Path) -> None:
    start = time.monotonic()
    ran = _run(
        """
        def forever():
            while True:
                read_pixels(encoded)

        read_pixels(encoded)
        for _ in range(3):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.2)
        print(*children(), flush=True)
        """,
        tmp_path,
        dicom_of(HAND),
    )
    assert time.monotonic() - start < 30
    assert (ran.returncode, ran.stderr) == (0, "")
    assert _are_gone([int(pid) for pid in ran.stdout.split()])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_a_fork_has_children_of_its_own(tmp_path: Path) -> None:
    ran = _run(
        """
        whole = read_pixels(encoded)
        print(*children(), flush=True)
        forked = os.fork()
        if forked == 0:
            assert children() == []
            assert (read_pixels(encoded) == whole).all()
            print(*children(), flush=True)
            sys.exit(0)
        assert (read_pixels(encoded) == whole).all()
        _, status = os.waitpid(forked, 0)
        assert (read_pixels(encoded) == whole).all()
        print(*children(), status)
        """,
        tmp_path,
        dicom_of(HAND),
    )
    assert ran.stderr == ""
    first, second, third = ran.stdout.splitlines()
    assert third == f"{first} 0"
    assert first != second
    assert _are_gone([int(pid) for pid in f"{first} {second}".split()])


def test_a_child_ignores_the_interrupt_of_the_terminal(tmp_path: Path) -> None:
    ran = _run(
        """
        read_pixels(encoded)
        before = children()
        os.kill(before[0], 2)
        time.sleep(0.1)
        read_pixels(encoded)
        print(children() == before, os.getpgid(before[0]) != os.getpgid(0))
        """,
        tmp_path,
        dicom_of(HAND),
    )
    assert (ran.stdout, ran.stderr) == ("True True\n", "")
