"""Fake epochs for tests of the logs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf.config import ExperimentConfig, override
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.callbacks import HistoryCsv, ValidationResult
from bone_age_tf.training.logging.trackers import log_callbacks

MAES = (20.0, 12.5, 14.0)
"""Validation MAE of each fake epoch, in months; the second is the best."""


def fake_validation(mae_months: float) -> ValidationResult:
    """Two girls and two boys, two of them of one age band; the third is the worst."""
    errors = mae_months * np.array([0.5, -1.0, 2.0, -0.5])
    ages = np.array([30.0, 100.0, 110.0, 200.0])
    return ValidationResult(ages, ages + errors, np.array([0, 1, 0, 1]))


class FakeRun:
    """Drives the callbacks as `loop.py` does."""

    def __init__(self, folder: Path, *assignments: str) -> None:
        self.folder = folder
        self.config: ExperimentConfig = override(load_recipe("tiny"), assignments)
        self.rows: list[dict[str, Any]] = []
        self.validated: ValidationResult | None = None
        self.shown: list[list[int]] = []
        """Rows of the split whose radiographs were asked for."""
        folder.mkdir(parents=True, exist_ok=True)

    def logs(self) -> list[keras.callbacks.Callback]:
        return log_callbacks(
            self.config,
            self.folder,
            description={"config": configuration.to_dict(self.config), "initial_weights": "none"},
            sample=lambda: np.random.default_rng(0).integers(0, 255, (9, 52, 40, 1), np.uint8),
            validated=lambda: self.validated,
            pictures=self._pictures,
        )

    def _pictures(self, rows: Sequence[int]) -> np.ndarray:
        self.shown.append(list(rows))
        return np.full((len(rows), 52, 40, 1), 128, np.uint8)

    def process(self, *, until: int, first: int = 0, is_last: bool = True) -> None:
        """What one process logs of the epochs `first` to `until` (from 0, `until` not included)."""
        driven = [HistoryCsv(self.folder / "history.csv", self.rows), *self.logs()]
        for callback in driven:
            callback.on_train_begin()
        for epoch in range(first, until):
            self.epoch(driven, epoch)
        for callback in driven if is_last else []:
            callback.on_train_end()

    def epoch(self, driven: Sequence[keras.callbacks.Callback], epoch: int) -> None:
        for callback in driven:
            callback.on_epoch_begin(epoch, {"step": 0})
        self.validated = fake_validation(MAES[epoch])
        row = {
            "mae_months": 30.0 - epoch,
            "learning_rate": 1e-3,
            "validation_mae_months": MAES[epoch],
        }
        self.rows.append({"epoch": epoch + 1, **row})
        logs = {**row, "images_per_second": 100.0, "waiting_share": 0.25, "seconds": 2.0}
        for callback in driven:
            callback.on_epoch_end(epoch, logs)
