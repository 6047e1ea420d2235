"""Training: a data set and a configuration -> a run folder.

| file                | what                                                                    |
|---------------------|-------------------------------------------------------------------------|
| `run.json`          | resolved configuration, data set and preprocessing, versions, result    |
| `run.toml`          | the resolved configuration, for `train --config`                        |
| `training_files.txt`| sha256 of the raw files that it is trained on, with those of its weights |
| `history.csv`       | one row for each epoch, the same in every repetition of the run         |
| `speed.csv`         | images/s, share of time spent waiting for data, seconds of each epoch   |
| `best.weights.h5`   | averaged weights of the epoch with the lowest validation MAE (sex:      |
|                     | cross-entropy)                                                          |
| `last.weights.h5`   | averaged weights of the last epoch                                      |
| `checkpoint.npz`    | the whole state, from which the same command resumes                    |
| `tensorboard/`      | scalars, figures of the validation, a sheet of augmented inputs         |
| `trackers.json`     | the run's names at Weights & Biases and MLflow, where they are used     |
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import ExperimentConfig, TrainConfig
from bone_age_tf.config.choices import VALIDATION_SPLIT
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.input_pipeline import Share, TrainingBatches, ordered_slices
from bone_age_tf.data.leakage import write_training_files
from bone_age_tf.data.splits import Selected, raw_files_of, select
from bone_age_tf.data.tfrecords import RecordFiles
from bone_age_tf.files import locks
from bone_age_tf.files.atomic import write_json
from bone_age_tf.metrics.baseline import CONSTANT_VALIDATION_MAE
from bone_age_tf.models.batch_normalization import synchronize_normalization
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.training import callbacks, checkpoint, loop, strategy
from bone_age_tf.training import run as run_folder
from bone_age_tf.training.initial_weights import InitialWeights
from bone_age_tf.training.logging.trackers import log_callbacks
from bone_age_tf.training.objectives import Metric, objective_of
from bone_age_tf.training.optimizer import first_steps, layer_rates, make_optimizer
from bone_age_tf.training.resolve import (
    describe,
    require_backbone,
    require_both_sexes,
    resolve,
    warn_of_missing_sex,
)
from bone_age_tf.training.run import RUN_FILE
from bone_age_tf.training.strategy import Devices

log = logging.getLogger(__name__)

Notify = Callable[[str, int, int, str], None]


@dataclasses.dataclass(frozen=True)
class TrainReport:
    """How a run ended."""

    epochs: int
    metric: Metric
    """What it was evaluated by."""
    best_validation: float | None
    """Lowest value of that on the validation split."""
    constant: float | None
    """MAE there of a constant, the mean bone age of the training radiographs; None: no such split, or another target."""
    history: list[dict[str, Any]]


def train(
    config: ExperimentConfig,
    *,
    data: str,
    run: str,
    initial_weights: str = "imagenet",
    fresh: bool = False,
    on_progress: Notify | None = None,
) -> TrainReport:
    """Train until the configured epochs are finished, from the run's checkpoint where it has one.

    `initial_weights` is `imagenet`, `none`, a `.weights.h5` file of the backbone, or a run folder, whose best
    weights (of backbone and head) and whose mean and SD of the bone age it starts with.
    Raises `InputDataError` where the data set is not whole, `UsageError` where the run folder was
    begun with other settings or data, `InterruptedBySignalError` after SIGINT or SIGTERM.
    """
    folder = Path(run)
    devices = strategy.choose_devices()
    tells_sex = config.model.target == "sex"
    selected = select(PreparedRadiographs.open(data), config.data, known_sex_only=tells_sex)
    initial = InitialWeights.find(initial_weights)
    config = resolve(config, selected, devices, initial)
    require_backbone(config, selected.radiographs)
    if tells_sex:
        require_both_sexes(selected)
    elif devices.is_chief:
        warn_of_missing_sex(config, selected)
    initial.require_fit(config.model)
    if selected.validation is not None:
        initial.require_unseen(raw_files_of(selected.radiographs, selected.validation))
    objective_of(config)  # raises for contradictory settings
    run_folder.require_run_folder(folder)
    with devices.explained(), _held(folder, devices):
        description = describe(config, selected, initial)
        if not fresh:
            run_folder.require_same_run(folder, description)
        notify = on_progress or (lambda stage, done, total, detail: None)
        return _train(config, selected, devices, folder, description, initial, fresh, notify)


@contextlib.contextmanager
def _held(folder: Path, devices: Devices) -> Iterator[None]:
    """The run folder, for the one process that writes it."""
    busy = f"{folder}: another process is training in this folder. Wait for it, or choose another --run."
    with (
        locks.held(folder / run_folder.LOCK, busy) if devices.is_chief else contextlib.nullcontext()
    ):
        yield


def _train(
    config: ExperimentConfig,
    selected: Selected,
    devices: Devices,
    folder: Path,
    description: dict[str, Any],
    initial: InitialWeights,
    fresh: bool,
    notify: Notify,
) -> TrainReport:
    seed_everything(config.train)
    share = Share(devices.worker, devices.workers, devices.local_replicas)
    radiographs, validation = selected.radiographs, selected.validation
    batches = TrainingBatches(
        radiographs, selected.training, config.augmentation, config.train, share
    )
    objective = objective_of(config)
    has_checkpoint = (folder / checkpoint.FILE).exists() and not fresh
    model, optimizer = _build(
        config,
        radiographs,
        devices,
        description["precision"],
        batches.steps,
        initial=None if has_checkpoint else initial,
    )
    engine = loop.Loop(
        model=model,
        optimizer=optimizer,
        devices=devices,
        settings=config.train,
        batches=batches,
        objective=objective,
        validation=_validation(selected, config.train.batch_size, share),
        validation_count=len(validation) if validation else 0,
        backbone=model.get_layer(config.model.backbone),
        folder=folder,
    )
    logs = _callbacks(config, engine, selected, folder, description) if devices.is_chief else []
    if devices.is_chief:
        _begin(folder, config, selected, description, initial, fresh)
    devices.agree([0], "the start")  # the others wait for the chief's folder
    progress = checkpoint.restore(folder, engine.variables) or checkpoint.Progress()
    devices.agree([progress.epoch, progress.step], "where to resume")
    if progress.epoch or progress.step:
        log.info("resuming after epoch %d, step %d", progress.epoch, progress.step)
    _say_devices(devices, batches.steps)
    if devices.is_chief:
        steps, size, epochs = batches.steps, config.train.batch_size, config.train.epochs
        logs = [
            callbacks.HistoryCsv(folder / "history.csv", progress.history),
            *logs,
            callbacks.ProgressReport(
                notify, steps, size, epochs, rows=progress.history, metric=objective.metric
            ),
        ]
    engine.run(progress, logs)
    constant = _mae_of_constant(selected) if config.model.target == "bone_age" else None
    if devices.is_chief:
        result = {
            "epochs": progress.epoch,
            f"best_validation_{objective.metric.name}": progress.best_validation,
            CONSTANT_VALIDATION_MAE: constant,
        }
        write_json(folder / RUN_FILE, description | {"result": result})
    return TrainReport(
        epochs=progress.epoch,
        metric=objective.metric,
        best_validation=progress.best_validation,
        constant=constant,
        history=progress.history,
    )


def _mae_of_constant(selected: Selected) -> float | None:
    """MAE of the training radiographs' mean bone age on the validation radiographs; None where there are none."""
    validation = selected.validation
    if validation is None or not len(validation):
        return None
    mean = selected.training.bone_age_months.mean()
    return float(np.abs(validation.bone_age_months - mean).mean())


def seed_everything(settings: TrainConfig) -> None:
    """Initial weights and dropout from the seed; bitwise reproducible on a GPU, too, if `deterministic` is set."""
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()


def _build(
    config: ExperimentConfig,
    radiographs: PreparedRadiographs,
    devices: Devices,
    precision: str,
    steps: int,
    *,
    initial: InitialWeights | None,
) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Model and optimizer on every device; `initial` None: a checkpoint will be read."""
    with devices.scope():
        model = build_bone_age_model(
            config.model, radiographs.frame, region=config.data.region, precision=precision
        )
        backbone = model.get_layer(config.model.backbone)
        if initial is not None:
            initial.load(model, backbone)
        if config.train.normalization == "synchronized":
            synchronize_normalization(backbone)
        rates = layer_rates(model, backbone, config.train.layerwise_lr_decay)
        starts = first_steps(model, backbone, steps * config.train.freeze_backbone_epochs)
        optimizer = make_optimizer(
            config.train, steps * config.train.epochs, precision, rates, starts
        )
        optimizer.build(model.trainable_variables)
    return model, optimizer


def _begin(
    folder: Path,
    config: ExperimentConfig,
    selected: Selected,
    description: dict[str, Any],
    initial: InitialWeights,
    fresh: bool,
) -> None:
    """Write the folder of a new run, after all checks."""
    if fresh:
        run_folder.clear(folder)
    if not (folder / RUN_FILE).exists():
        write_json(folder / RUN_FILE, description)  # first: it marks the folder as a run
    run_folder.write_config(folder, config)
    files = raw_files_of(selected.radiographs, selected.training)
    if files and (initial.run is None or initial.run.training_files is not None):
        earlier = (initial.run and initial.run.training_files) or frozenset()
        write_training_files(folder, files | earlier)
    Preprocessor(selected.radiographs.manifest.preprocessing).save_beside(folder)


def _callbacks(
    config: ExperimentConfig,
    engine: loop.Loop,
    selected: Selected,
    folder: Path,
    description: dict[str, Any],
) -> list[keras.callbacks.Callback]:
    """Speed, TensorBoard and trackers."""

    def sample() -> np.ndarray:
        inputs, _ = next(iter(engine.batches.epoch(0)))
        return inputs[record.IMAGE].numpy()

    def pictures(rows: Sequence[int]) -> np.ndarray:
        assert selected.validation is not None
        numbers = selected.validation.numbers[np.array(rows)]
        serialized = RecordFiles(selected.validation.paths).read(numbers)
        decoded = selected.radiographs.decode(tf.constant(serialized.tolist()))
        return decoded[record.IMAGE].numpy()

    return log_callbacks(
        config,
        folder,
        description=description,
        sample=sample,
        validated=lambda: engine.validated,
        pictures=pictures,
    )


def _say_devices(devices: Devices, steps: int) -> None:
    if devices.replicas > 1:
        log.info(
            f"worker {devices.worker + 1} of {devices.workers}, {devices.local_replicas} devices each, "
            f"{steps} steps an epoch"
        )


def _validation(selected: Selected, batch_size: int, share: Share) -> tf.data.Dataset | None:
    if selected.validation is None:
        log.warning("no split %r: the last weights count as the best", VALIDATION_SPLIT)
        return None
    return ordered_slices(
        selected.radiographs, selected.validation, batch_size=batch_size, share=share
    )
