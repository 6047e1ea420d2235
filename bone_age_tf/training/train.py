"""The verb: a data set and a configuration -> a run folder.

| file                | what                                                                    |
|---------------------|-------------------------------------------------------------------------|
| `run.json`          | resolved configuration, data set and preprocessing, versions, result    |
| `learnt.txt`        | sha256 of the raw files that it learns from, those of first weights too |
| `history.csv`       | one row for each epoch, the same in every repetition of the run         |
| `speed.csv`         | images/s, share of time spent waiting for data, seconds of each epoch   |
| `best.weights.h5`   | averaged weights of the epoch with the lowest validation MAE (sex:      |
|                     | cross-entropy)                                                          |
| `last.weights.h5`   | averaged weights of the last epoch                                      |
| `checkpoint.npz`    | the whole state, from which the same command goes on                    |
| `tensorboard/`      | scalars, figures of the validation, a sheet of augmented inputs         |
| `trackers.json`     | the run's names at Weights & Biases and MLflow, where they are used     |
"""

import contextlib
import dataclasses
import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf import config as configuration
from bone_age_tf import record
from bone_age_tf.config import ExperimentConfig, TrainConfig
from bone_age_tf.data.input_pipeline import (
    PreparedRadiographs,
    Share,
    TrainingBatches,
    ordered_slices,
)
from bone_age_tf.data.leakage import write_learnt
from bone_age_tf.data.manifest import versions, write_json
from bone_age_tf.data.splits import VALIDATION_SPLIT, Selected, raw_files_of, select
from bone_age_tf.data.tfrecords import RecordFiles
from bone_age_tf.errors import UsageError
from bone_age_tf.files import locks
from bone_age_tf.models.backbones import find_backbone
from bone_age_tf.models.batch_normalization import synchronize_normalization
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.regions import crop_of
from bone_age_tf.training import callbacks, checkpoint, loop, run_folder, strategy
from bone_age_tf.training.initial_weights import FirstWeights
from bone_age_tf.training.logging.trackers import log_callbacks
from bone_age_tf.training.objectives import Figure, objective_of
from bone_age_tf.training.optimizer import first_steps, layer_rates, make_optimizer
from bone_age_tf.training.run import RUN_FILE, RUN_SCHEMA
from bone_age_tf.training.strategy import Devices

log = logging.getLogger(__name__)

Notify = Callable[[str, int, int, str], None]


@dataclasses.dataclass(frozen=True)
class TrainReport:
    """How a run ended."""

    epochs: int
    figure: Figure
    """What judged it."""
    best_validation: float | None
    """Lowest value of that on the validation split."""
    history: list[dict[str, Any]]


def train(
    config: ExperimentConfig,
    *,
    data: str,
    run: str,
    weights: str = "imagenet",
    fresh: bool = False,
    on_progress: Notify | None = None,
) -> TrainReport:
    """Train until the configured epochs are finished, from the run's checkpoint where it has one.

    `weights` is `imagenet`, `none`, a `.weights.h5` file of the trunk, or a run folder, whose best
    weights (of trunk and head) and whose mean and SD of the bone age it starts with.
    Raises `InputDataError` where the data set is not whole, `UsageError` where the run folder was
    begun with other settings or data, `InterruptedBySignalError` after SIGINT or SIGTERM.
    """
    folder = Path(run)
    devices = strategy.choose_devices()
    tells_sex = config.model.target == "sex"
    selected = select(PreparedRadiographs.open(data), config.data, known_sex_only=tells_sex)
    first = FirstWeights.find(weights)
    config = _resolve(config, selected, devices, first)
    _require_trunk(config, selected.radiographs)
    if tells_sex:
        _require_both_sexes(selected)
    first.require_fit(config.model)
    if selected.validation is not None:
        first.require_unseen(raw_files_of(selected.radiographs, selected.validation))
    objective_of(config)  # refuses settings that contradict each other
    run_folder.require_run_folder(folder)
    with devices.explained(), _held(folder, devices):
        description = _describe(config, selected, first)
        if not fresh:
            run_folder.require_same_run(folder, description)
        notify = on_progress or (lambda stage, done, total, detail: None)
        return _train(config, selected, devices, folder, description, first, fresh, notify)


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
    first: FirstWeights,
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
        first=None if has_checkpoint else first,
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
        trunk=model.get_layer(config.model.trunk),
        folder=folder,
    )
    logs = _callbacks(config, engine, selected, folder, description) if devices.is_chief else []
    if devices.is_chief:
        _begin(folder, selected, description, first, fresh)
    devices.agree([0], "the start")  # the others wait for the chief's folder
    progress = checkpoint.restore(folder, engine.variables) or checkpoint.Progress()
    devices.agree([progress.epoch, progress.step], "where to go on")
    if progress.epoch or progress.step:
        log.info("going on after epoch %d, step %d", progress.epoch, progress.step)
    _say_devices(devices, batches.steps)
    if devices.is_chief:
        steps, size, epochs = batches.steps, config.train.batch_size, config.train.epochs
        logs = [
            callbacks.HistoryCsv(folder / "history.csv", progress.history),
            *logs,
            callbacks.ProgressReport(
                notify, steps, size, epochs, rows=progress.history, figure=objective.figure
            ),
        ]
    engine.run(progress, logs)
    if devices.is_chief:
        result = {
            "epochs": progress.epoch,
            f"best_validation_{objective.figure.name}": progress.best_validation,
        }
        write_json(folder / RUN_FILE, description | {"result": result})
    return TrainReport(progress.epoch, objective.figure, progress.best_validation, progress.history)


def seed_everything(settings: TrainConfig) -> None:
    """Initial weights and dropout from the seed; the same bits on a GPU, too, where that is wanted."""
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
    first: FirstWeights | None,
) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Model and optimizer on every device; `first` None: a checkpoint will be read."""
    with devices.scope():
        model = build_bone_age_model(
            config.model, radiographs.frame, region=config.data.region, precision=precision
        )
        trunk = model.get_layer(config.model.trunk)
        if first is not None:
            first.load(model, trunk)
        if config.train.normalization == "synchronized":
            synchronize_normalization(trunk)
        rates = layer_rates(model, trunk, config.train.first_layer_rate)
        starts = first_steps(model, trunk, steps * config.train.head_epochs)
        optimizer = make_optimizer(
            config.train, steps * config.train.epochs, precision, rates, starts
        )
        optimizer.build(model.trainable_variables)
    return model, optimizer


def _begin(
    folder: Path,
    selected: Selected,
    description: dict[str, Any],
    first: FirstWeights,
    fresh: bool,
) -> None:
    """The folder of a run that begins; nothing can be refused any more."""
    if fresh:
        run_folder.clear(folder)
    if not (folder / RUN_FILE).exists():
        write_json(folder / RUN_FILE, description)  # first: by it the folder is known as a run
    files = raw_files_of(selected.radiographs, selected.training)
    if files and (first.run is None or first.run.learnt is not None):
        learnt = files | ((first.run and first.run.learnt) or frozenset())
        write_learnt(folder, learnt)
    localizer.keep_beside(selected.radiographs.manifest.preprocessing, folder)


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


def _resolve(
    config: ExperimentConfig, selected: Selected, devices: Devices, first: FirstWeights
) -> ExperimentConfig:
    """Fill in what is taken from the radiographs for training, and them alone (or from the run that
    this one starts from, for whose head no other numbers give months); and by the devices."""
    months = selected.training.bone_age_months.tolist()
    model, augmentation = config.model, config.augmentation
    found = (statistics.fmean(months), max(statistics.pstdev(months), 1.0))
    if first.run is not None:
        theirs = first.run.config.model
        found = (theirs.age_mean_months, theirs.age_sd_months)
    if model.age_mean_months is None:
        model = dataclasses.replace(model, age_mean_months=found[0])
    if model.age_sd_months is None:
        model = dataclasses.replace(model, age_sd_months=found[1])
    if model.target == "sex":  # the network is not told the sex, so there is nothing to mask
        model = dataclasses.replace(model, sex_units=0)
        augmentation = dataclasses.replace(augmentation, mask_sex=0.0)
    readers, normalization = config.train.readers or devices.workers, config.train.normalization
    if normalization == "auto":
        normalization = "synchronized" if devices.replicas > 1 else "each_device"
    if normalization == "each_device" and devices.replicas > 1:
        raise UsageError(
            f"train.normalization=each_device is for one device; there are {devices.replicas}. Each would "
            "have statistics of its own, and the checkpoint those of the first. Say auto."
        )
    settings = dataclasses.replace(config.train, readers=readers, normalization=normalization)
    return dataclasses.replace(config, model=model, augmentation=augmentation, train=settings)


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


def _require_both_sexes(selected: Selected) -> None:
    """Refuse to teach a network to tell girls from boys by radiographs of one sex."""
    counts = np.bincount(selected.training.sex, minlength=len(record.SEX_NAMES))
    if not (counts[record.Sex.F] and counts[record.Sex.M]):
        raise UsageError(
            f"model.target=sex needs radiographs of girls and of boys for training. Received "
            f"{counts[record.Sex.F]} and {counts[record.Sex.M]}. Say --set data.sex=both, or give other data."
        )


def _describe(config: ExperimentConfig, selected: Selected, first: FirstWeights) -> dict[str, Any]:
    manifest, validation = selected.radiographs.manifest, selected.validation
    return {
        "schema": RUN_SCHEMA,
        "config": configuration.to_dict(config),
        "precision": strategy.choose_precision(config.train.precision),
        **first.describe(),
        "data": {
            "plan": manifest.plan,
            "splits": manifest.splits,
            "fold": config.data.fold,
            "training": len(selected.training),
            "validation": len(validation) if validation else 0,
        },
        "preprocessing": configuration.to_dict(manifest.preprocessing.portable()),
        "fingerprint": manifest.fingerprint,
        "versions": versions(),
    }


def _validation(selected: Selected, batch_size: int, share: Share) -> tf.data.Dataset | None:
    if selected.validation is None:
        log.warning("no split %r: the last weights count as the best", VALIDATION_SPLIT)
        return None
    return ordered_slices(
        selected.radiographs, selected.validation, batch_size=batch_size, share=share
    )
