"""Callbacks that write tables and report progress during training. Driven by `loop.py`."""

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bone_age_tf.files.atomic import write_text
from bone_age_tf.metrics.bone_age import AGE_BANDS, age_band
from bone_age_tf.sex import SEX_NAMES
from bone_age_tf.training.objectives import MAE, Metric

REPEATABLE = (
    "epoch",
    "mae_months",
    "cross_entropy",
    "learning_rate",
    "validation_mae_months",
    "validation_cross_entropy",
    "validation_accuracy",
    "validation_auroc",
)
"""Columns of `history.csv`, those that a run has: the same in every repetition of it."""
SPEED = ("epoch", "images_per_second", "waiting_share", "seconds")
"""Columns of `speed.csv`: different in every repetition."""
WAITING_THRESHOLD = 0.02
"""Share of an epoch's time spent waiting for data from which the terminal shows it."""


@dataclasses.dataclass(frozen=True, eq=False)
class ValidationResult:
    """One validation: a row for each radiograph, in the order of the split.

    Not `LabelledPredictions`: it is made in every epoch inside the loop, where there are no identifiers,
    and an untrained network may predict any number of months.
    """

    bone_age_months: np.ndarray
    """float [n], the labels."""
    predicted_months: np.ndarray
    """float [n]."""
    sex: np.ndarray
    """int [n], values of `sex.Sex`."""

    @property
    def errors_months(self) -> np.ndarray:
        """float [n], predicted - true."""
        return self.predicted_months - self.bone_age_months

    def mae_by_sex(self) -> dict[str, float]:
        """MAE in months of each sex that there is."""
        return self._mae_by(SEX_NAMES, [SEX_NAMES[sex] for sex in self.sex])

    def mae_by_age(self) -> dict[str, float]:
        """MAE in months of each band of the true bone age that there is."""
        return self._mae_by(AGE_BANDS, [age_band(float(age)) for age in self.bone_age_months])

    def _mae_by(self, names: Sequence[str] | dict[str, Any], groups: list[str]) -> dict[str, float]:
        errors, of = np.abs(self.errors_months), np.array(groups)
        return {name: float(errors[of == name].mean()) for name in names if name in groups}


class HistoryCsv(keras.callbacks.Callback):
    """`history.csv`: the `REPEATABLE` numbers of each epoch, the whole file each time.

    `rows` is the loop's own list, a dict for each finished epoch (epochs count from 1).
    """

    def __init__(self, path: Path, rows: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self._path = path
        self._rows = rows

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Write rows that an earlier process finished but did not write."""
        if self._rows:
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the rows that the loop has collected so far."""
        self._write()

    def _write(self) -> None:
        columns = [name for name in REPEATABLE if name in self._rows[0]]
        write_text(self._path, _table(columns, self._rows))


class SpeedCsv(keras.callbacks.Callback):
    """`speed.csv`: how fast each epoch was, those of earlier processes included.

    Radiographs per second, the share (0..1) of the time spent waiting for data, and seconds. A
    resumed epoch counts from where it was resumed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the epoch's row, in place of one of the same epoch and of later ones."""
        earlier = [row for row in read_rows(self._path) if int(row["epoch"]) <= epoch]
        write_text(self._path, _table(SPEED, [*earlier, {"epoch": epoch + 1, **(logs or {})}]))


class ProgressReport(keras.callbacks.Callback):
    """Calls `notify("train", done, total, detail)` after every step, counted in radiographs.

    `rows` are those of `HistoryCsv`: a resumed run shows its last validation from the start.
    """

    def __init__(
        self,
        notify: Callable[[str, int, int, str], None],
        steps: int,
        batch_size: int,
        epochs: int,
        rows: Sequence[dict[str, Any]] = (),
        metric: Metric = MAE,
    ) -> None:
        super().__init__()
        self._notify = notify
        self._steps = steps
        self._batch_size = batch_size
        self._epochs = epochs
        self._metric = metric
        self._epoch = 0
        self._best = float("inf")
        self._validation = ""
        self._waiting = 0.0
        for row in rows:
            self._keep(row)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report from which step on; the first report starts the clock."""
        self._epoch = epoch
        self._report(int((logs or {}).get("step", 0)))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the progress after step `batch` of the epoch (from 0)."""
        logs = logs or {}
        self._waiting = logs.get("waiting_share", self._waiting)
        value = logs.get(self._metric.name, float("nan"))
        self._report(batch + 1, self._metric.say(value, self._metric.digits - 1))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep validation and waiting share for the progress line."""
        logs = logs or {}
        self._waiting = logs.get("waiting_share", self._waiting)
        self._keep(logs)

    def _keep(self, row: Mapping[str, Any]) -> None:
        value, digits = row.get(f"validation_{self._metric.name}"), self._metric.digits
        if value is not None:
            best = "best" if value < self._best else f"best {self._best:.{digits}f}"
            self._best = min(value, self._best)
            self._validation = f"validation {value:.{digits}f} ({best})"

    def _report(self, batch: int, metric: str = "") -> None:
        done = (self._epoch * self._steps + batch) * self._batch_size
        total = self._epochs * self._steps * self._batch_size
        waits = self._waiting > WAITING_THRESHOLD
        waiting = f"{self._waiting:.0%} waiting for data" if waits else ""
        parts = (f"epoch {self._epoch + 1}/{self._epochs}", self._validation, metric, waiting)
        self._notify("train", done, total, "  ".join(part for part in parts if part))


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that is written here; none where there is no file yet."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
