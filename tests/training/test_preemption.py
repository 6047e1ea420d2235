import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bone_age_tf.training.preemption import SIGNALS, stop_signals

STUCK = """
import ctypes, sys, threading
from bone_age_tf.training import preemption
preemption.STOP_TIMEOUT_SECONDS = 1.0
with preemption.stop_signals() as stop:
    print("ready", flush=True)
    if sys.argv[1] == "c":  # a mutex that this thread holds already: never back in Python
        libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
        libc.pthread_mutex_lock(mutex)
        libc.pthread_mutex_lock(mutex)
    elif sys.argv[1] == "python":  # handlers run, but nobody looks
        threading.Event().wait()
    else:
        while not stop.signal_number:
            threading.Event().wait(0.01)
        stop.seen.set()
        threading.Event().wait(1.5)
print("left", flush=True)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def end(process: subprocess.Popen[str], number: int, limit: float) -> tuple[str, str, float]:
    """stdout, stderr and seconds after a signal."""
    start = time.monotonic()
    process.send_signal(number)
    try:
        output, errors = process.communicate(timeout=limit)
    finally:
        process.kill()
        process.wait()
    return output, errors, time.monotonic() - start


def stuck(where: str) -> subprocess.Popen[str]:
    process = start(sys.executable, "-c", STUCK, where)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("where", "number"), [("c", signal.SIGTERM), ("c", signal.SIGINT), ("python", signal.SIGTERM)]
)
def test_a_step_that_does_not_end_is_not_waited_for(where: str, number: int) -> None:
    process = stuck(where)
    output, errors, seconds = end(process, number, 20)
    assert process.returncode == 128 + number
    assert "did not end within 1 s" in errors
    assert "resumes from the last checkpoint" in errors
    assert "left" not in output
    assert 0.9 < seconds < 5


def test_a_request_that_was_seen_is_waited_for() -> None:
    process = stuck("seen")
    output, errors, seconds = end(process, signal.SIGTERM, 20)
    assert (process.returncode, output, errors) == (0, "left\n", "")
    assert seconds > 1.4


def test_a_second_signal_acts_at_once() -> None:
    process = stuck("python")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    _, _, seconds = end(process, signal.SIGTERM, 20)
    assert process.returncode == -signal.SIGTERM
    assert seconds < 0.6


def test_another_signal_is_left_alone() -> None:
    """Where the program has a handler of its own: the watcher sees its number, too."""
    arrived = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: arrived.append(number))
    try:
        with stop_signals() as stop:
            signal.raise_signal(signal.SIGUSR1)
        assert arrived == [signal.SIGUSR1]
        assert not stop.signal_number
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("number", SIGNALS, ids=["int", "term"])
def test_handlers_are_as_before_after_the_block(number: int) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for is_signalled in (False, True):
        with stop_signals() as stop:
            assert [signal.getsignal(each) for each in SIGNALS] != before
            if is_signalled:
                signal.raise_signal(number)
                assert stop.signal_number == number
        assert [signal.getsignal(each) for each in SIGNALS] == before
    with pytest.raises(ZeroDivisionError), stop_signals():
        _ = 1 / 0
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    assert wakeup == -1


def test_the_first_signal_is_answered_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="bone_age_tf")
    with stop_signals():
        signal.raise_signal(signal.SIGINT)
        for _ in range(100):
            if "Stopping after this step" in caplog.text:
                break
            time.sleep(0.02)
    assert "Stopping after this step" in caplog.text


def test_outside_of_the_main_thread_nothing_is_touched() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    found = []

    def work() -> None:
        with stop_signals() as stop:
            found.append((stop.signal_number, [signal.getsignal(each) for each in SIGNALS]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(0, before)]


@pytest.mark.large
def test_sigterm_stops_the_command_within_seconds(prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "bone_age_tf", "train", "--data", str(prepared)]
    settings = ["--set", "train.precision=float32", "--set", "train.epochs=100000"]
    process = start(
        *command, "--run", str(run), "--recipe", "tiny", "--initial-weights", "none", *settings
    )
    until = time.monotonic() + 60
    while not (run / "checkpoint.npz").exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < until
        time.sleep(0.05)
    _, errors, seconds = end(process, signal.SIGTERM, 20)
    assert process.returncode == 143, errors[-3000:]
    assert seconds < 10
    assert "stopped in epoch" in errors
    assert "The same command resumes from here." in errors
    assert "Traceback" not in errors
    assert not list(run.glob(".*.writing"))
