"""The heads: from the joint vector of backbone and sex to the output, float32 [N]. All layers compute in float32.

| answer          | layers                                                    | starts as                         |
|-----------------|-----------------------------------------------------------|-----------------------------------|
| regression      | `score`, a number in standard deviations of the bone age  | about the mean bone age           |
| expectation     | `logits` of 240 months, softmax, mean                     | the training's mean for every one |
| sex             | `score`, logit of a boy                                   | about 0.5                         |
"""

import keras
from keras import layers, ops

from bone_age_tf.config import ModelConfig

SCORE = "score"
LOGITS = "logits"
MONTHS = 240
"""The expectation is one over 1, 2, ..., 240 months, the last month being that of twenty years."""


def dense_layers(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """The layers between the joined vector [N, d] and the output: [N, head_units]."""
    for number in range(1, config.head_layers + 1):
        name = "joint" if number == 1 else f"joint_{number}"
        x = layers.Dropout(config.dropout, dtype="float32", name=f"dropout_{number}")(x)
        x = layers.Dense(config.head_units, config.activation, dtype="float32", name=name)(x)
    if config.head_layers == 1:
        x = layers.Dropout(config.dropout, dtype="float32", name="dropout_2")(x)
    return x


def regression(x: keras.KerasTensor, mean_months: float, sd_months: float) -> keras.KerasTensor:
    """Months: mean + SD * score."""
    score = layers.Dense(1, dtype="float32", name=SCORE)(x)
    months = layers.Rescaling(sd_months, mean_months, dtype="float32", name="months")(score)
    return layers.Reshape((), dtype="float32", name="bone_age_months")(months)


def expectation(x: keras.KerasTensor, mean_months: float, sd_months: float) -> keras.KerasTensor:
    """Months: the mean of a softmax over 1 to 240. Iglovikov et al. 2018.

    It starts as a normal distribution with the given mean and SD, for every radiograph.
    """
    start = [-0.5 * ((month - mean_months) / sd_months) ** 2 for month in range(1, MONTHS + 1)]
    logits = layers.Dense(
        MONTHS,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(start),
        dtype="float32",
        name=LOGITS,
    )(x)
    return Expectation(dtype="float32", name="bone_age_months")(logits)


def boy_probability(x: keras.KerasTensor) -> keras.KerasTensor:
    """Probability that the hand is a boy's."""
    score = layers.Dense(1, dtype="float32", name=SCORE)(x)
    probability = layers.Activation("sigmoid", dtype="float32", name="probability")(score)
    return layers.Reshape((), dtype="float32", name="boy_probability")(probability)


@keras.saving.register_keras_serializable(package="bone_age_tf")
class Expectation(layers.Layer):
    """Logits [N, 240] -> months [N]."""

    def call(self, logits):
        """The mean of the months, weighted by the softmax."""
        months = ops.arange(1, MONTHS + 1, dtype="float32")
        return ops.sum(ops.softmax(logits) * months, axis=-1)
