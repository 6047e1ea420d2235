"""AdamW with a learning rate for each layer, and its schedule."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from bone_age_tf.config import TrainConfig

FLOOR = 0.01
"""Final learning rate of a decaying schedule, as a share of its highest value."""


def make_optimizer(
    settings: TrainConfig,
    total_steps: int,
    precision: str,
    rates: Sequence[float],
    starts: Sequence[int] | None = None,
) -> keras.optimizers.Optimizer:
    """The optimizer of a run; `rates` are the variables' shares of the learning rate, in order, `starts` the
    steps at which their training begins (None: all at step 0).

    With `mixed_float16` it also scales the loss, and skips a step whose gradient overflows.
    """
    optimizer = LayerwiseAdamW(
        WarmupSchedule(settings, total_steps),
        rates,
        starts,
        decay=settings.weight_decay,
        beta_1=settings.beta_1,
        global_clipnorm=settings.global_clipnorm,
    )
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


class LayerwiseAdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay, both at each variable's share of the learning rate.

    Takes gradients that are summed over all replicas already, so that clipping sees the same norm
    on any number of them. Loshchilov and Hutter 2019.
    """

    def __init__(
        self,
        learning_rate: keras.optimizers.schedules.LearningRateSchedule,
        rates: Sequence[float],
        starts: Sequence[int] | None = None,
        *,
        decay: float,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self._rates = list(rates)
        self._starts = list(starts or [0] * len(rates))
        self._decay = decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable on one device, by TensorFlow's own kernel: a pass over the memory
        instead of Keras' ten."""
        index = self._get_variable_index(variable)
        rate = tf.cast(learning_rate * self._rates[index], variable.dtype)
        age = self.iterations + 1 - self._starts[index]  # the moments are corrected for their own
        step = tf.cast(tf.maximum(age, 1), variable.dtype)
        variable.assign(variable * (1.0 - self._decay * rate))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        """Keras would sum over the replicas here, after clipping."""
        return grads_and_vars


if not hasattr(keras.optimizers.Adam, "_all_reduce_sum_gradients"):
    raise ImportError(
        "This version of Keras sums gradients over devices elsewhere: expected "
        "Optimizer._all_reduce_sum_gradients, as in Keras 3.13 to 3.15 on TensorFlow."
    )


class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear rise to the highest rate, then a decay to `FLOOR` of it, or none."""

    def __init__(self, settings: TrainConfig, total_steps: int) -> None:
        self._highest = settings.learning_rate
        self._shape = settings.schedule
        self._warmup = min(settings.warmup_steps, max(total_steps // 2, 1))
        self._rest = max(total_steps - self._warmup, 1)

    def __call__(self, step: Any) -> Any:
        """The rate of the step with this number, from 0."""
        step = ops.cast(step, "float32")
        rise = step / max(self._warmup, 1)
        gone = ops.clip((step - self._warmup) / self._rest, 0.0, 1.0)
        share = {
            "cosine": FLOOR + (1 - FLOOR) * 0.5 * (1 + ops.cos(math.pi * gone)),
            "linear": 1 - (1 - FLOOR) * gone,
            "constant": ops.ones_like(gone),
        }[self._shape]
        return self._highest * ops.where(step < self._warmup, rise, share)


def layer_rates(model: keras.Model, backbone: keras.Model, decay: float) -> list[float]:
    """The share of the learning rate of every trainable variable, in their order.

    1 outside of the backbone; in it, `decay` to the power of a layer's distance from the head, layers
    with weights counted. Clark et al. 2020 (ELECTRA), Bao et al. 2022 (BEiT).
    """
    layers = [layer for layer in backbone.layers if layer.trainable_variables]
    shares = {
        id(variable): decay ** (len(layers) - place)
        for place, layer in enumerate(layers)
        for variable in layer.trainable_variables
    }
    return [shares.get(id(variable), 1.0) for variable in model.trainable_variables]


def first_steps(model: keras.Model, backbone: keras.Model, head_steps: int) -> list[int]:
    """The step at which the training of every trainable variable begins, in their order."""
    later = {id(variable) for variable in backbone.trainable_variables}
    return [head_steps * (id(variable) in later) for variable in model.trainable_variables]
