"""The training loop: steps on any number of devices, validation, checkpoints.

It drives ordinary Keras callbacks. What a setting means does not depend on the number of devices:
a batch is cut into slices, each device sums its errors and gradients over its slices, and the sums
over all devices, divided by the number of radiographs, are clipped and applied.
"""

import dataclasses
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf.config import TrainConfig
from bone_age_tf.errors import InterruptedBySignalError, UsageError
from bone_age_tf.training import checkpoint
from bone_age_tf.training.averaged_weights import AveragedWeights
from bone_age_tf.training.callbacks import REPEATABLE, ValidationResult
from bone_age_tf.training.objectives import MAE, Objective
from bone_age_tf.training.preemption import StopRequest, stop_signals
from bone_age_tf.training.strategy import Devices, all_reduce_sum

log = logging.getLogger(__name__)

BEST_WEIGHTS = "best.weights.h5"
LAST_WEIGHTS = "last.weights.h5"

MOST_LEFT_OUT = 0.05
"""Largest share of an epoch's steps without a finite gradient, before the training counts as diverged."""

_LEFT_OUT = "In epoch {}, {} of {} steps were left out: their gradients were not finite."
_DIVERGED = (
    "The training has diverged: in epoch {} the error or its gradient is no longer a number. Expected finite ones. Try "
    "a smaller --set train.learning_rate, --set train.global_clipnorm=1, or train.precision=float32, in another "
    "--run or with --fresh."
)

Slice = tuple[Any, Any]
"""Inputs of the model and their targets."""


class Batches(Protocol):
    """What a run trains on."""

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Slices of the batches: for each pass one for every replica of this worker."""
        ...


@dataclasses.dataclass(eq=False)
class Loop:
    """The state of a run during training."""

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    devices: Devices
    settings: TrainConfig
    batches: Batches
    objective: Objective
    """What is minimized, and evaluated."""
    validation: tf.data.Dataset | None
    """Slices of the validation split (`input_pipeline.ordered_slices`)."""
    validation_count: int
    backbone: keras.layers.Layer | None
    """What `train.freeze_backbone_epochs` freezes."""
    folder: Path
    validated: ValidationResult | None = None
    """The last validation, where the target is the bone age."""

    def __post_init__(self) -> None:
        self._training_model = self.objective.training_model(self.model)
        self._averages = AveragedWeights(self.model, self.devices, self.settings.ema_momentum)

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that a checkpoint keeps, seed generators included."""
        return [*self.model.variables, *self.optimizer.variables, *self._averages.variables]

    def run(
        self, progress: checkpoint.Progress, callbacks: Sequence[keras.callbacks.Callback]
    ) -> None:
        """Train to the last epoch. Raises `InterruptedBySignalError` after a stop signal."""
        driven = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        self.model.stop_training = False
        with stop_signals() as stop:
            driven.on_train_begin()
            while progress.epoch < self.settings.epochs and not progress.is_finished:
                driven.on_epoch_begin(progress.epoch, {"step": progress.step})
                logs = self._train(progress, driven, stop) | self._validate(progress, driven, stop)
                self._finish_epoch(progress, logs)
                driven.on_epoch_end(progress.epoch - 1, logs)
                if self.model.stop_training:
                    progress.is_finished = True
                    self._save(progress)
            stop.seen.set()  # everything is saved
            driven.on_train_end()
            self.devices.agree([progress.epoch], "the end")

    # === An epoch ===

    def _train(
        self,
        progress: checkpoint.Progress,
        callbacks: keras.callbacks.CallbackList,
        stop: StopRequest,
    ) -> dict[str, float]:
        """The steps of an epoch that are not done yet."""
        if self.backbone is not None:
            self.backbone.trainable = progress.epoch >= self.settings.freeze_backbone_epochs
        start = saved = time.monotonic()
        first, waiting, left_out = progress.radiographs, 0.0, 0
        metric = self.objective.metric.name
        iterator = self.devices.iterate(
            lambda: self.batches.epoch(progress.epoch, skip=progress.step)
        )
        logs: dict[str, float] = {}
        while progress.step < self.batches.steps:
            count = min(self.settings.steps_per_execution, self.batches.steps - progress.step)
            callbacks.on_train_batch_begin(progress.step)
            rows = self.steps(iterator, count, stop)
            for errors, radiographs, waited, _, unfit in rows:
                progress.error_sum += errors
                progress.radiographs += radiographs
                waiting += waited
                left_out += round(unfit)
            progress.step += count
            _require_finite(progress.error_sum, progress, left_out)
            seconds = time.monotonic() - start
            logs = {
                metric: progress.error_sum / progress.radiographs,
                "images_per_second": (progress.radiographs - first) / seconds,
                "waiting_share": waiting / seconds,
            }
            callbacks.on_train_batch_end(progress.step - 1, logs)
            if rows[-1, 3] or (stop.signal_number and self.devices.workers == 1):
                self._save_and_stop(progress, stop)
            if time.monotonic() - saved > 60 * self.settings.checkpoint_minutes:
                self._save(progress)
                saved = time.monotonic()
        if left_out:
            log.warning(_LEFT_OUT.format(progress.epoch + 1, left_out, self.batches.steps))
        return logs | {
            metric: progress.error_sum / progress.radiographs,
            "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            "seconds": time.monotonic() - start,
        }

    def steps(self, iterator: Iterator[Slice], count: int, stop: StopRequest) -> np.ndarray:
        """`count` steps -> of each: sum of errors, radiographs, seconds of waiting, stop requests, and
        1 where it was left out."""
        is_whole = self.backbone is None or self.backbone.trainable
        return self._call(iterator, tf.constant(count), _flag(stop), is_whole).numpy()

    def _validate(
        self,
        progress: checkpoint.Progress,
        callbacks: keras.callbacks.CallbackList,
        stop: StopRequest,
    ) -> dict[str, float]:
        """Evaluate and keep the averaged weights: always as `last`, as `best` where they are."""
        with self._averages.in_place():
            self._save_weights(LAST_WEIGHTS)
            if self.validation is None:
                self._save_weights(BEST_WEIGHTS)
                return {}
            callbacks.on_test_begin()
            answers, months, sex = self._predict_all(self.validation, progress, stop)
            evaluated = self.objective.evaluate(answers, months, sex.astype(int))
            if self.objective.metric is MAE:
                self.validated = ValidationResult(months, answers, sex.astype(int))
            decisive = evaluated[self.objective.metric.name]
            _require_finite(decisive, progress)
            callbacks.on_test_end(evaluated)
            if progress.best_validation is None or decisive < progress.best_validation:
                progress.best_validation = decisive
                self._save_weights(BEST_WEIGHTS)
        return {f"validation_{name}": value for name, value in evaluated.items()}

    def _predict_all(
        self,
        slices: tf.data.Dataset,
        progress: checkpoint.Progress,
        stop: StopRequest,
    ) -> np.ndarray:
        """Answers, true months and sex, float64 [3, n], of the validation split."""
        found: list[np.ndarray] = []
        iterator = self.devices.iterate(lambda: slices)
        while sum(map(len, found)) < self.validation_count:
            found.append(self._predict(iterator, _flag(stop)).numpy())
            if found[-1][:, 3].any() or (stop.signal_number and self.devices.workers == 1):
                self._save_and_stop(progress, stop)
        return np.concatenate(found)[: self.validation_count, :3].T

    def _finish_epoch(self, progress: checkpoint.Progress, logs: dict[str, float]) -> None:
        progress.epoch += 1
        row = {"epoch": progress.epoch, **logs}
        progress.history.append({name: row[name] for name in REPEATABLE if name in row})
        progress.step, progress.error_sum, progress.radiographs = 0, 0.0, 0.0
        self._save(progress)

    # === Files of the run folder ===

    def _save(self, progress: checkpoint.Progress) -> None:
        if self.devices.is_chief:
            checkpoint.save(self.folder, self.variables, progress)

    def _save_weights(self, name: str) -> None:
        if self.devices.is_chief:
            checkpoint.save_weights(self.model, self.folder / name)

    def _save_and_stop(self, progress: checkpoint.Progress, stop: StopRequest) -> None:
        stop.seen.set()
        self._averages.restore()
        self._save(progress)
        self.devices.agree([progress.epoch, progress.step], "where they stopped")
        raise InterruptedBySignalError(
            f"stopped in epoch {progress.epoch + 1} after {progress.step} of {self.batches.steps} steps; "
            "everything is saved. The same command resumes from here.",
            stop.signal_number or signal.SIGTERM,  # another worker's
        )

    # === Graphs ===

    @tf.function(reduce_retracing=True, autograph=False)
    def _call(
        self, iterator: Iterator[Slice], count: tf.Tensor, is_stopping: tf.Tensor, is_whole: bool
    ) -> tf.Tensor:
        """`count` steps, float64 [count, 5]; `is_whole`: the backbone is trained, too."""
        del is_whole  # each value gets its own graph
        if self.settings.steps_per_execution == 1:
            return self._step(iterator, is_stopping)[tf.newaxis]
        rows = tf.TensorArray(tf.float64, size=count, element_shape=(5,))
        _, rows = tf.while_loop(
            lambda number, rows: number < count,
            lambda number, rows: (
                number + 1,
                rows.write(number, self._step(iterator, is_stopping)),
            ),
            [tf.constant(0), rows],
        )
        return rows.stack()

    def _step(self, iterator: Iterator[Slice], is_stopping: tf.Tensor) -> tf.Tensor:
        before = self._now()
        slices = [next(iterator) for _ in range(self.settings.gradient_accumulation_steps)]
        waited = self._now() - before
        sums = self.devices.total(self.devices.run(self._replica_step, slices, is_stopping))
        self._averages.move(self.optimizer.iterations)
        return tf.stack([sums[0], sums[1], waited, sums[2], sums[3]])

    def _now(self) -> tf.Tensor:
        """Seconds; always 0 in a deterministic run, where TensorFlow allows no clock."""
        return tf.zeros((), tf.float64) if self.settings.deterministic else tf.timestamp()

    def _replica_step(self, slices: Sequence[Slice], is_stopping: tf.Tensor) -> tf.Tensor:
        """One device's part of a step -> its sum of errors, radiographs, stop requests, 1 if left out."""
        variables = self.model.trainable_variables
        gradients: list[tf.Tensor] = []
        error_sum, radiographs = tf.zeros((), tf.float64), tf.zeros(())
        for piece in slices:
            with tf.control_dependencies(gradients):  # one pass after another: less memory
                inputs, targets = tf.nest.map_structure(tf.identity, piece)
            errors, found = self._gradients(inputs, targets, variables)
            if gradients:
                found = [old + new for old, new in zip(gradients, found, strict=True)]
            gradients = found
            error_sum += tf.reduce_sum(tf.cast(errors, tf.float64))
            radiographs += tf.cast(tf.size(errors), tf.float32)
        *gradients, together = all_reduce_sum([*gradients, radiographs])
        if not self.settings.drop_remainder:
            rest = self.settings.batch_size / together
            gradients = [gradient * rest for gradient in gradients]
        gradients, left_out = self._finite(gradients)
        self.optimizer.apply(gradients, variables)
        return tf.stack([error_sum, tf.cast(radiographs, tf.float64), is_stopping, left_out])

    def _finite(self, gradients: list[tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The gradients, or zeros where any is not finite; and 1.0 then, float64.

        One such step would make weights NaN for good, and the error may stay finite: a pooling layer takes
        the largest value, which NaN is not. With a scaled loss the optimizer itself does this.
        """
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return gradients, tf.zeros((), tf.float64)
        fit = [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]
        is_fit = tf.reduce_all(fit)
        kept = [tf.where(is_fit, each, tf.zeros_like(each)) for each in gradients]
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync  # all leave it out
        return kept, (1.0 - tf.cast(is_fit, tf.float64)) / replicas

    def _gradients(
        self, inputs: Any, targets: Any, variables: Sequence[keras.Variable]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Metrics [N], and the gradient of the losses' sum over the size of a whole batch."""
        with tf.GradientTape() as tape:
            outputs = self._training_model(inputs, training=True)
            losses, errors = self.objective.losses(outputs, inputs, targets)
            loss = tf.reduce_sum(losses) / self.settings.batch_size
            scaled = self.optimizer.scale_loss(loss)
        found: Any = tape.gradient(scaled, [variable.value for variable in variables])
        return errors, [tf.convert_to_tensor(gradient) for gradient in found]

    @tf.function(autograph=False)
    def _predict(self, iterator: Iterator[Slice], is_stopping: tf.Tensor) -> tf.Tensor:
        """Answers, true months, sex and stop requests of one batch, float64 [N, 4], the same on every
        worker."""
        evaluated = self.devices.run(self._answers, next(iterator), is_stopping)
        return self.devices.concatenated(evaluated)

    def _answers(self, batch: Slice, is_stopping: tf.Tensor) -> tf.Tensor:
        inputs, months = batch
        answers = self.model(inputs, training=False)
        columns = [answers, months, inputs["sex"], tf.fill(tf.shape(months), is_stopping)]
        return tf.stack([tf.cast(column, tf.float64) for column in columns], axis=1)


def _require_finite(error: float, progress: checkpoint.Progress, left_out: int = 0) -> None:
    too_many = left_out > max(MOST_LEFT_OUT * progress.step, 2)
    if too_many or not np.isfinite(error):
        raise UsageError(_DIVERGED.format(progress.epoch + 1))


def _flag(stop: StopRequest) -> tf.Tensor:
    """1 where this process was asked to stop; summed over all, so that all stop together."""
    return tf.constant(float(bool(stop.signal_number)), tf.float64)
