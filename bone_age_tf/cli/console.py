"""The terminal: progress and log on stderr, tables for stdout.

rich is imported where it is used: it takes longer than `--help` may.
"""

import importlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.progress import Progress, Task, TaskID

SECONDS_BETWEEN_LINES = 30.0
SEPARATOR = "  "
"""Between the parts of a progress line."""
LONGEST_STAGE = 12
"""Characters of the name of a stage; longer ones are shortened."""
WIDE = 100
"""Columns of a terminal from which on bars are long."""
NO_NEXT = "BONE_AGE_TF_NO_NEXT"
"""Environment variable of a process whose messages do not name the next command: the demo runs it itself."""
_NEXT = re.compile(r" ?Next: [^\n]*")
_UNLIMITED = 100_000
"""Columns of a table's console: nothing is ever wrapped or cut."""


class ProgressDisplay:
    """A bar with images/s and time left on a terminal; a line every 30 s elsewhere.

    A bar and its details take one line of the terminal: what does not fit is left out.
    """

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        self._quiet = quiet
        self._bars = _bars(console, is_shown=console.is_terminal and not quiet)
        self._is_terminal = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._warm: dict[str, tuple[float, int]] = {}
        """Time and number of the first images that were finished: they took the start-up, too."""
        self._last_line: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Show that `done` of `total` images of a stage are finished; the first call starts the clock."""
        if self._quiet:
            return
        now = time.monotonic()
        rate = self._rate(stage, done, total, now)
        speed = _speed(rate) if rate > 0 else ""
        if self._is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total, parts="")
            parts = _Parts([*detail.split(SEPARATOR), speed])
            self._bars.update(self._tasks[stage], completed=done, total=total, parts=parts)
        elif done >= total or now - self._last_line.setdefault(stage, now) >= SECONDS_BETWEEN_LINES:
            self._last_line[stage] = now
            left = f"{(total - done) / rate:.0f} s left" if rate > 0 else ""
            parts = [f"{stage} {done}/{total}", speed, left, detail]
            sys.stderr.write(SEPARATOR.join(part for part in parts if part) + "\n")
            sys.stderr.flush()

    def _rate(self, stage: str, done: int, total: int, now: float) -> float:
        """Images per second: of all at the end, before it since the first ones; 0 where it is not known."""
        start, first = self._started.setdefault(stage, (now, done))
        if done > first and done < total:
            start, first = self._warm.setdefault(stage, (now, done))
        return (done - first) / max(now - start, 1e-9)


def _speed(rate: float) -> str:
    return f"{rate:.1f} images/s" if rate >= 0.95 else f"{1 / rate:.1f} s/image"


class _Parts:
    """Words of a bar's details, the most important first: as many as fit into what is left of the line."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = [part for part in parts if part]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        fitting = self._parts
        while len(fitting) > 1 and len(SEPARATOR.join(fitting)) > options.max_width:
            fitting = fitting[:-1]
        yield Text(SEPARATOR.join(fitting), no_wrap=True, overflow="ellipsis")


def _bars(console: "Console", *, is_shown: bool) -> "Progress":
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    class Parts(ProgressColumn):
        def render(self, task: "Task") -> _Parts:
            return task.fields["parts"]

    stage = Column(max_width=LONGEST_STAGE, no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", table_column=stage),
        BarColumn(bar_width=24 if console.width >= WIDE else 8),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        Parts(table_column=Column(ratio=1, no_wrap=True)),
        console=console,
        disable=not is_shown,
        expand=True,
    )


def import_tensorflow_silently() -> None:
    """Import TensorFlow's Python package without the messages that its start writes to the terminal."""
    _silently(lambda: importlib.import_module("tensorflow"))


def load_tensorflow_silently() -> None:
    """Load TensorFlow's library alone, for SavedModels, in the same way."""
    from bone_age_tf.tensorflow_c.library import tensorflow

    _silently(tensorflow)


def _silently(load: Callable[[], object]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)  # they come from C++, before any log level is read
        load()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _StderrHandler(logging.StreamHandler):
    """Writes to what `sys.stderr` is now: bars replace it, so that messages appear above them."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """For `StreamHandler`."""
        return sys.stderr


class _WithoutNext(logging.Filter):
    """Takes the next command out of a message."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _NEXT.sub("", record.getMessage()).rstrip(), ()
        return bool(record.msg)


def set_up_logging(*, quiet: bool, debug: bool) -> None:
    """Log of this package to stderr."""
    level = logging.DEBUG if debug else logging.ERROR if quiet else logging.INFO
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[_StderrHandler()], force=True
    )
    logging.getLogger("bone_age_tf").setLevel(level)
    if NO_NEXT in os.environ:
        logging.getLogger().handlers[0].addFilter(_WithoutNext())


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned columns, header first: the first column to the left, the others right.

    Plain text without lines or colours, whatever the width of the terminal, so that it can be copied,
    searched and piped. Cells are taken as they are: a file's name is no markup.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for place in range(len(rows[0])):
        grid.add_column(justify="right" if place else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*map(Text, row))
    console = Console(width=_UNLIMITED, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def count_table(name: str, counts: Mapping[str, int]) -> str:
    """Numbers of radiographs by `name`, which heads the first column."""
    return table([[name, "radiographs"], *([key, str(count)] for key, count in counts.items())])
