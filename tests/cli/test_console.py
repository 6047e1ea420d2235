import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from bone_age_tf.cli import console

PROGRAM = """
import logging
import time
from bone_age_tf.cli.console import ProgressDisplay, set_up_logging
set_up_logging(quiet=False, debug=False)
progress = ProgressDisplay(quiet=False)
with progress:
    for step in range(4):
        progress({stage!r}, 12_000 + step, 302_400, {detail!r})
        if step == 2:
            logging.getLogger("bone_age_tf").info("a message of the log")
        time.sleep(0.12)
"""
DETAIL = "epoch 12/24  validation 10.53 (best 10.40)  12.3 months  13% waiting for data"


def lines_on_a_terminal(columns: int, stage: str, detail: str) -> list[str]:
    """What a terminal of so many columns shows, and showed before it was overwritten."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    program = PROGRAM.format(stage=stage, detail=detail)
    started = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123
        while part := terminal.read(65536):
            said += part
    assert started.wait(60) == 0, said.decode()
    assert b"\x1b[1A" not in said  # one bar is one line: nothing is to be overwritten above it
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_bar_takes_one_line_of_the_terminal(columns: int) -> None:
    lines = lines_on_a_terminal(columns, "train", DETAIL)
    assert max(map(len, lines)) <= columns
    assert any("12000/302400" in line and "epoch 12/24" in line for line in lines)
    assert any("validation 10.53 (best 10.40)" in line for line in lines) == (columns >= 80)
    assert any("12.3 months" in line for line in lines) == (columns >= 120)
    assert not any("best 10.4" in line and "(best 10.40)" not in line for line in lines)
    assert "a message of the log" in lines  # above the bar, on a line of its own


@pytest.mark.parametrize(
    ("rate", "said"), [(12.34, "12.3 images/s"), (0.951, "1.0 images/s"), (0.1, "10.0 s/image")]
)
def test_slow_work_is_counted_in_seconds(rate: float, said: str) -> None:
    assert console._speed(rate) == said


def test_the_start_up_is_no_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 s until the first of five, then one a second; a line each time."""
    clock = iter([0.0, 40.0, 80.0, 81.0, 82.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    progress = console.ProgressDisplay(quiet=False)
    for done in (0, 1, 41, 42, 43):
        progress("predict", done, 43)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "predict 1/43"
    assert second == "predict 41/43  1.0 images/s  2 s left"
    assert last == "predict 43/43  1.9 s/image  0 s left"


def test_long_names_are_shortened() -> None:
    lines = lines_on_a_terminal(80, "a stage with a name of many words", "a detail " * 20)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("a stage wit… ") and line.endswith("…") for line in lines)
