"""The training loop: steps, validation with averaged weights, checkpoints.

It drives ordinary Keras callbacks. One step's loss is the sum of absolute errors over the global
batch divided by its size, so that the number of devices does not change it.
"""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import TrainConfig
from bone_age_tf.errors import InterruptedBySignalError
from bone_age_tf.input_pipeline import TrainingBatches
from bone_age_tf.training import checkpoint

BEST_WEIGHTS = "best.weights.h5"
LAST_WEIGHTS = "last.weights.h5"


@dataclasses.dataclass(eq=False)
class Loop:
    """Everything that a run needs while it trains."""

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    strategy: tf.distribute.Strategy
    batches: TrainingBatches
    validation: tf.data.Dataset | None
    """Batches of ({"image", "sex"}, bone_age_months)."""
    batch_size: int
    loss_scale_months: float
    """Absolute errors are divided by this before the gradient is taken."""
    folder: Path

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that a checkpoint keeps, seed generators included."""
        return [*self.model.variables, *self.optimizer.variables]

    def run(
        self,
        epochs: int,
        progress: checkpoint.Progress,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Train until `epochs` are finished. Raises `InterruptedBySignalError` when told to stop."""
        driven = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        with _stop_signals() as stop:
            driven.on_train_begin()
            while progress.epoch < epochs:
                driven.on_epoch_begin(progress.epoch, {"step": progress.step})
                logs = self._epoch(progress, driven, stop)
                driven.on_epoch_end(progress.epoch - 1, logs)
            driven.on_train_end()

    def _epoch(
        self,
        progress: checkpoint.Progress,
        callbacks: keras.callbacks.CallbackList,
        stop: "_StopRequest",
    ) -> dict[str, float]:
        start = time.monotonic()
        first_step = progress.step
        data = self.strategy.experimental_distribute_dataset(
            self.batches.epoch(progress.epoch, skip=first_step)
        )
        for inputs, months in data:
            progress.loss_sum += float(self._distributed_step(inputs, months))
            progress.step += 1
            mae = progress.loss_sum / (progress.step * self.batch_size)
            callbacks.on_train_batch_end(progress.step - 1, {"mae_months": mae})
            if stop.signal_number and progress.step < self.batches.steps:
                self._save_and_stop(progress, stop.signal_number)
        seconds = time.monotonic() - start
        images = (progress.step - first_step) * self.batch_size
        logs = {
            "mae_months": progress.loss_sum / (progress.step * self.batch_size),
            "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            "images_per_second": images / seconds,
        }
        logs |= self._judge(progress)
        progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        progress.history.append({"epoch": progress.epoch, **logs})
        checkpoint.save(self.folder, self.variables, progress)
        if stop.signal_number:
            self._save_and_stop(progress, stop.signal_number)
        return logs

    def _judge(self, progress: checkpoint.Progress) -> dict[str, float]:
        """Validate and keep the averaged weights: always as `last`, as `best` where they are."""
        with self._averaged_weights():
            self.model.save_weights(self.folder / LAST_WEIGHTS)
            if self.validation is None:
                self.model.save_weights(self.folder / BEST_WEIGHTS)
                return {}
            errors = np.concatenate(
                [np.abs(self._predict(inputs) - months) for inputs, months in self.validation]
            )
            mae = float(errors.mean())
            if progress.best_mae_months is None or mae < progress.best_mae_months:
                progress.best_mae_months = mae
                self.model.save_weights(self.folder / BEST_WEIGHTS)
        return {"validation_mae_months": mae}

    @contextlib.contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """The model with the optimizer's moving average, where it keeps one, instead of its own."""
        own = [variable.numpy() for variable in self.model.trainable_variables]
        self.optimizer.finalize_variable_values(self.model.trainable_variables)
        try:
            yield
        finally:
            for variable, value in zip(self.model.trainable_variables, own, strict=True):
                variable.assign(value)

    def _save_and_stop(self, progress: checkpoint.Progress, signal_number: int) -> None:
        checkpoint.save(self.folder, self.variables, progress)
        raise InterruptedBySignalError(
            f"stopped in epoch {progress.epoch + 1} after {progress.step} of {self.batches.steps} steps; "
            "everything is saved. The same command goes on from here.",
            signal_number,
        )

    @tf.function
    def _distributed_step(self, inputs: dict[str, tf.Tensor], months: tf.Tensor) -> tf.Tensor:
        sums = self.strategy.run(self._step, args=(inputs, months))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _step(self, inputs: dict[str, tf.Tensor], months: tf.Tensor) -> tf.Tensor:
        """One device's part of a step; returns its sum of absolute errors in months."""
        with tf.GradientTape() as tape:
            error_sum = tf.reduce_sum(tf.abs(self.model(inputs, training=True) - months))
            loss = error_sum / (self.batch_size * self.loss_scale_months)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.model.trainable_variables
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return error_sum

    @tf.function(reduce_retracing=True)
    def _predict(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return self.model(inputs, training=False)


def make_optimizer(settings: TrainConfig, total_steps: int) -> keras.optimizers.Optimizer:
    """AdamW with linear warm-up, then a cosine to 1 %, and a moving average of the weights."""
    warmup = min(settings.warmup_steps, max(total_steps // 2, 1))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(total_steps - warmup, 1),
        alpha=0.01,
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=settings.weight_decay,
        use_ema=settings.ema_momentum > 0,
        ema_momentum=settings.ema_momentum,
    )


def validation_batches(examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Records -> batches of the model's inputs and the bone age."""
    return examples.map(
        lambda example: (
            {record.IMAGE: example[record.IMAGE], record.SEX: example[record.SEX]},
            example[record.BONE_AGE_MONTHS],
        )
    ).batch(batch_size)


@dataclasses.dataclass(eq=False)
class _StopRequest:
    signal_number: int = 0


@contextlib.contextmanager
def _stop_signals() -> Iterator[_StopRequest]:
    """SIGINT and SIGTERM ask the loop to stop after its step; a second one acts at once."""
    request = _StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        for known, handler in previous.items():
            signal.signal(known, handler)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
