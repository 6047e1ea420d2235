"""The exponential moving average of a model's weights, which are evaluated and saved."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf.training.strategy import Devices


class AveragedWeights:
    """An average for each trainable variable of a model; none where the momentum is 0."""

    def __init__(self, model: keras.Model, devices: Devices, momentum: float) -> None:
        self._tracked = list(model.trainable_variables)
        self._devices = devices
        self._momentum = momentum
        self._own: list[np.ndarray] = []
        self.variables: list[keras.Variable] = []
        """For the checkpoint, in the order of the model's."""
        if momentum:
            with devices.scope():
                self.variables = [
                    keras.Variable(v.numpy(), trainable=False, dtype=v.dtype) for v in self._tracked
                ]

    def move(self, iterations: tf.Tensor) -> None:
        """Move the averages towards the variables; the first iteration makes them equal. In a graph."""
        if self.variables:
            share = tf.where(iterations == 1, 1.0, 1.0 - self._momentum)
            self._devices.move(self.variables, self._tracked, share)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Use the averages in the model while the block runs."""
        if self.variables:
            self._own = [variable.numpy() for variable in self._tracked]
            for variable, average in zip(self._tracked, self.variables, strict=True):
                variable.assign(average)
        try:
            yield
        finally:
            self.restore()

    def restore(self) -> None:
        """Restore the model's own variables, if the averages are in place."""
        for variable, value in zip(self._tracked, self._own, strict=False):
            variable.assign(value)
        self._own = []
