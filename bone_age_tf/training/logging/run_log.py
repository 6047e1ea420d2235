"""Metrics and figures for the logs of a run, made once per epoch for all logs."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf.config import ExperimentConfig
from bone_age_tf.training.callbacks import ValidationResult, read_rows
from bone_age_tf.training.logging import validation_figures
from bone_age_tf.training.objectives import Metric, metric_of

SCATTER = "validation/true_and_predicted"
WORST = "validation/worst"
INPUTS = "augmented_inputs"

Value = bool | int | float | str


@dataclasses.dataclass(eq=False)
class RunLog:
    """The numbers and pictures of a run."""

    config: ExperimentConfig
    folder: Path
    """The run's; its `history.csv` holds the metrics of earlier processes."""
    description: Mapping[str, Any]
    """What `run.json` holds."""
    sample: Callable[[], np.ndarray]
    """Augmented inputs, uint8 [N, height, width, 1]."""
    validated: Callable[[], ValidationResult | None]
    """The last validation; None where the target is not the bone age."""
    pictures: Callable[[Sequence[int]], np.ndarray]
    """Rows of the validation split -> prepared radiographs, uint8 [k, height, width, 1]."""
    _last_figures: tuple[int, dict[str, np.ndarray]] = (0, {})

    @property
    def metric(self) -> Metric:
        """What the run is evaluated by."""
        return metric_of(self.config.model)

    @property
    def best(self) -> str:
        """Name of the lowest validation so far."""
        return f"{self.metric.name}/best_validation"

    @property
    def hyper_parameters(self) -> dict[str, Value]:
        """The settings that decide the run, with dotted names as `--set` takes them."""
        settings = configuration.to_dict(self.config)
        del settings["logging"]
        return dict(_flat(settings))

    def scalars(self, logs: Mapping[str, float]) -> dict[str, float]:
        """An epoch's numbers under the names they have in every log."""
        metric = self.metric.name
        prefix = "validation_"
        validated = {k.removeprefix(prefix): v for k, v in logs.items() if k.startswith(prefix)}
        values = {
            f"{metric}/train": logs.get(metric),
            **{f"{name}/validation": value for name, value in validated.items()},
            self.best: self._lowest(validated.get(metric)),
            "learning_rate": logs.get("learning_rate"),
            **{f"speed/{name}": logs.get(name) for name in ("images_per_second", "waiting_share")},
        }
        if result := self.validated():
            values |= {f"validation_by_sex/{k}": v for k, v in result.mae_by_sex().items()}
            values |= {f"validation_by_age/{k}": v for k, v in result.mae_by_age().items()}
        return {name: float(value) for name, value in values.items() if value is not None}

    def figures(self, epoch: int) -> dict[str, np.ndarray]:
        """Pictures of the validation after `epoch` (from 1), uint8 [height, width, 3]."""
        if self._last_figures[0] != epoch:
            self._last_figures = epoch, self._draw(epoch)
        return self._last_figures[1]

    def inputs(self) -> np.ndarray:
        """Sheet of the first augmented inputs, uint8 [height, width, 3]."""
        return validation_figures.inputs_sheet(self.sample())

    def _lowest(self, value: float | None) -> float | None:
        if value is None:
            return None
        rows = read_rows(self.folder / "history.csv")
        return min([value, *(float(row[f"validation_{self.metric.name}"]) for row in rows)])

    def _draw(self, epoch: int) -> dict[str, np.ndarray]:
        result = self.validated()
        if result is None:
            return {}
        rows = validation_figures.worst_rows(result)
        worst = validation_figures.worst_sheet(result, rows, self.pictures(rows), f"epoch {epoch}")
        return {SCATTER: validation_figures.scatter(result, f"epoch {epoch}"), WORST: worst}


class EpochLog(keras.callbacks.Callback):
    """A log that is opened with the first epoch trained: a finished run stays as it is."""

    def __init__(self, run: RunLog) -> None:
        super().__init__()
        self._shown = run
        self._is_open = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Open the log before the first step."""
        if not self._is_open:
            self.open(self._shown)
            self._is_open = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's numbers and pictures."""
        self.write(epoch + 1, self._shown.scalars(logs or {}), self._shown.figures(epoch + 1))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the log."""
        if self._is_open:
            self.close()

    def open(self, run: RunLog) -> None:
        """Begin a log, or resume the one that an earlier process began."""
        raise NotImplementedError

    def write(self, epoch: int, scalars: dict[str, float], figures: dict[str, np.ndarray]) -> None:
        """Add one epoch (from 1); figures are uint8 [height, width, 3], red first."""
        raise NotImplementedError

    def close(self) -> None:
        """The run is finished."""
        raise NotImplementedError


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Value]]:
    flat: list[tuple[str, Value]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{name}.")
        else:
            plain = value if isinstance(value, Value) else json.dumps(value)
            flat.append((f"{prefix}{name}", plain))
    return flat
