"""The verb: a data set and a configuration -> a run folder.

| file                | what                                                                    |
|---------------------|-------------------------------------------------------------------------|
| `run.json`          | resolved configuration, data set and preprocessing, versions, result    |
| `history.csv`       | one row for each epoch                                                  |
| `best.weights.h5`   | averaged weights of the epoch with the lowest validation MAE            |
| `last.weights.h5`   | averaged weights of the last epoch                                      |
| `checkpoint.npz`    | the whole state, from which the same command goes on                    |
| `tensorboard/`      | scalars and a sheet of augmented inputs                                 |
"""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf import locks, record
from bone_age_tf.config import ExperimentConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.input_pipeline import PreparedRadiographs, TrainingBatches
from bone_age_tf.manifest import versions, write_json
from bone_age_tf.models.backbones import find_backbone, load_trunk_weights
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.preprocessing import localizer
from bone_age_tf.preprocessing.regions import crop_of
from bone_age_tf.runs import RUN_FILE, RUN_SCHEMA
from bone_age_tf.training import callbacks, checkpoint, loop, run_folder, strategy

log = logging.getLogger(__name__)

TRAINING_SPLIT = "train"
VALIDATION_SPLIT = "validation"


@dataclasses.dataclass(frozen=True)
class TrainReport:
    """How a run ended."""

    epochs: int
    best_validation_mae_months: float | None
    history: list[dict[str, Any]]


def train(
    config: ExperimentConfig,
    *,
    data: str,
    run: str,
    weights: str = "imagenet",
    fresh: bool = False,
    on_progress: Callable[[str, int, int, str], None] | None = None,
) -> TrainReport:
    """Train until the configured epochs are finished, from the run's checkpoint where it has one.

    Raises `InputDataError` where the data set is not whole, `UsageError` where the run folder was
    begun with other settings or data, `InterruptedBySignalError` after SIGINT or SIGTERM.
    """
    folder = Path(run)
    radiographs = PreparedRadiographs.open(data)
    radiographs.require_labels(TRAINING_SPLIT)
    config = _resolve(config, radiographs)
    _require_trunk(config, radiographs)
    run_folder.require_run_folder(folder)
    busy = f"{folder}: another process is training in this folder. Wait for it, or choose another --run."
    with locks.held(folder / run_folder.LOCK, busy):
        description = _describe(config, radiographs, weights)
        if not fresh:
            run_folder.require_same_run(folder, description)
        notify = on_progress or (lambda stage, done, total, detail: None)
        return _train(config, radiographs, folder, description, weights, fresh, notify)


def _train(
    config: ExperimentConfig,
    radiographs: PreparedRadiographs,
    folder: Path,
    description: dict[str, Any],
    weights: str,
    fresh: bool,
    notify: Callable[[str, int, int, str], None],
) -> TrainReport:
    keras.utils.set_random_seed(config.train.seed)
    devices = strategy.choose_strategy()
    batches = TrainingBatches(
        radiographs,
        TRAINING_SPLIT,
        config.augmentation,
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        cache=config.train.cache,
    )
    with devices.scope():
        model = build_bone_age_model(
            config.model,
            radiographs.frame,
            region=config.data.region,
            precision=description["precision"],
        )
        if fresh or not (folder / checkpoint.FILE).exists():
            load_trunk_weights(model.get_layer(config.model.trunk), weights)
        optimizer = _optimizer(config, batches.steps, description["precision"])
        optimizer.build(model.trainable_variables)
    validation = _validation(radiographs, config.train.batch_size)
    if fresh:
        run_folder.clear(folder)  # only now that nothing can be refused any more
    localizer.keep_beside(radiographs.manifest.preprocessing, folder)
    if not (folder / RUN_FILE).exists():
        write_json(folder / RUN_FILE, description)
    engine = loop.Loop(
        model=model,
        optimizer=optimizer,
        strategy=devices,
        batches=batches,
        validation=validation,
        batch_size=config.train.batch_size,
        loss_scale_months=float(config.model.age_sd_months or 1),
        folder=folder,
    )
    progress = checkpoint.restore(folder, engine.variables)
    if progress is None:
        progress = checkpoint.Progress()
    else:
        log.info("going on after epoch %d, step %d", progress.epoch, progress.step)
    epochs = config.train.epochs
    engine.run(
        epochs,
        progress,
        [
            callbacks.HistoryCsv(folder / "history.csv", progress.history),
            callbacks.TensorBoardLog(folder / "tensorboard", lambda: _sample(batches)),
            callbacks.ProgressReport(notify, batches.steps, config.train.batch_size, epochs),
        ],
    )
    result = {"epochs": epochs, "best_validation_mae_months": progress.best_mae_months}
    write_json(folder / RUN_FILE, description | {"result": result})
    return TrainReport(epochs, progress.best_mae_months, progress.history)


def _resolve(config: ExperimentConfig, radiographs: PreparedRadiographs) -> ExperimentConfig:
    """Fill in what is taken from the training split, and from it alone."""
    labels = radiographs.manifest.labels[TRAINING_SPLIT]
    model = config.model
    if model.age_mean_months is None:
        model = dataclasses.replace(model, age_mean_months=labels["mean_months"])
    if model.age_sd_months is None:
        model = dataclasses.replace(model, age_sd_months=max(labels["sd_months"], 1.0))
    return dataclasses.replace(config, model=model)


def _require_trunk(config: ExperimentConfig, radiographs: PreparedRadiographs) -> None:
    """Refuse a region or trunk that does not exist, or a region too small for the trunk."""
    rows, columns = crop_of(config.data.region, radiographs.frame)
    height, width = radiographs.frame
    find_backbone(config.model.trunk, (height - sum(rows), width - sum(columns)))
    if config.data.region != "frame" and radiographs.manifest.preprocessing.method != "registered":
        raise UsageError(
            f"data.region={config.data.region} needs registered radiographs; these are "
            f"{radiographs.manifest.preprocessing.method}. Prepare the data with --preprocess registered."
        )


def _describe(
    config: ExperimentConfig, radiographs: PreparedRadiographs, weights: str
) -> dict[str, Any]:
    manifest = radiographs.manifest
    return {
        "schema": RUN_SCHEMA,
        "config": configuration.to_dict(config),
        "precision": strategy.choose_precision(config.train.precision),
        "weights": weights if weights in ("imagenet", "none") else Path(weights).name,
        "data": {"plan": manifest.plan, "splits": manifest.splits},
        "preprocessing": configuration.to_dict(manifest.preprocessing.portable()),
        "fingerprint": manifest.fingerprint,
        "versions": versions(),
    }


def _optimizer(config: ExperimentConfig, steps: int, precision: str) -> keras.optimizers.Optimizer:
    optimizer = loop.make_optimizer(config.train, steps * config.train.epochs)
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _validation(radiographs: PreparedRadiographs, batch_size: int) -> Any:
    if VALIDATION_SPLIT not in radiographs.manifest.splits:
        log.warning("no split %r: the last weights count as the best", VALIDATION_SPLIT)
        return None
    radiographs.require_labels(VALIDATION_SPLIT)
    return loop.validation_batches(radiographs.examples(VALIDATION_SPLIT), batch_size)


def _sample(batches: TrainingBatches) -> np.ndarray:
    """The first augmented radiographs of the first epoch."""
    inputs, _ = next(iter(batches.epoch(0)))
    return inputs[record.IMAGE].numpy()
