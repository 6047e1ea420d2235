"""What is written while a run trains. Ordinary Keras callbacks, driven by `loop.py`."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf.manifest import write_text

SHEET_ROWS = 2
SHEET_COLUMNS = 4


class HistoryCsv(keras.callbacks.Callback):
    """`history.csv`: one row for each epoch, the whole file each time."""

    def __init__(self, path: Path, rows: list[dict[str, Any]]) -> None:
        super().__init__()
        self._path = path
        self._rows = rows

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Write what an earlier process had finished but not written."""
        if self._rows:
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the rows that the loop has collected so far."""
        self._write()

    def _write(self) -> None:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, fieldnames=list(self._rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, stream.getvalue())


class TensorBoardLog(keras.callbacks.Callback):
    """Scalars of every epoch, and once a sheet of augmented inputs."""

    def __init__(self, folder: Path, sample: Callable[[], np.ndarray]) -> None:
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder))
        self._sample = sample

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Write the sheet of the inputs as the network sees them."""
        with self._writer.as_default():
            tf.summary.image("augmented inputs", sheet(self._sample())[np.newaxis], step=0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's numbers."""
        with self._writer.as_default():
            for name, value in (logs or {}).items():
                tf.summary.scalar(name, value, step=epoch + 1)
        self._writer.flush()


class ProgressReport(keras.callbacks.Callback):
    """Calls `notify("train", done, total, detail)` after every step, counted in radiographs."""

    def __init__(
        self, notify: Callable[[str, int, int, str], None], steps: int, batch_size: int, epochs: int
    ) -> None:
        super().__init__()
        self._notify = notify
        self._steps = steps
        self._batch_size = batch_size
        self._epochs = epochs
        self._epoch = 0
        self._validation = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember which epoch it is; the first one starts the clock."""
        self._epoch = epoch
        self._report(
            int((logs or {}).get("step", 0)), f"epoch {epoch + 1}/{self._epochs}{self._validation}"
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report one more batch."""
        mae = (logs or {}).get("mae_months", float("nan"))
        detail = f"epoch {self._epoch + 1}/{self._epochs}  MAE {mae:.1f} months{self._validation}"
        self._report(batch + 1, detail)

    def _report(self, batch: int, detail: str) -> None:
        steps = self._epoch * self._steps + batch
        total = self._epochs * self._steps
        self._notify("train", steps * self._batch_size, total * self._batch_size, detail)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the validation's result for the line."""
        value = (logs or {}).get("validation_mae_months")
        self._validation = f"  validation {value:.2f}" if value is not None else ""


def sheet(images: np.ndarray) -> np.ndarray:
    """uint8 [N, height, width, 1] -> one picture of `SHEET_ROWS` x `SHEET_COLUMNS` of them."""
    count = SHEET_ROWS * SHEET_COLUMNS
    images = np.concatenate([images, np.zeros((count, *images.shape[1:]), images.dtype)])[:count]
    rows = images.reshape(SHEET_ROWS, SHEET_COLUMNS, *images.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
