"""Losses of the hand localizer: mask, heat maps, image class, polarity and tilt."""

import keras
from keras import ops

from bone_age_tf.preprocessing.localizer.network import OUTPUTS, STRIDE, VIEW

SIGMA = 1.5
"""Width of a key point's target in pixels of the heat map."""
EMPTY = 20.0
"""Pixels added to both sides of the soft Jaccard index, so that an empty mask has one."""


def mask_loss(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Binary cross-entropy - log(soft Jaccard), as in Iglovikov et al. 2018.

    `true` [N, *VIEW, 2] holds the mask and its weight, which is 0 where no mask is known.
    """
    mask, weight = true[..., :1], true[:, 0, 0, 1]
    logits = ops.cast(logits, "float32")
    entropy = ops.mean(
        ops.maximum(logits, 0) - logits * mask + ops.log1p(ops.exp(-ops.abs(logits))),
        axis=(1, 2, 3),
    )
    probability = ops.sigmoid(logits)
    both = ops.sum(probability * mask, axis=(1, 2, 3))
    either = ops.sum(probability + mask, axis=(1, 2, 3)) - both
    jaccard = (both + EMPTY) / (either + EMPTY)
    return ops.mean(weight * (entropy - ops.log(jaccard)))


def heat_loss(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of each map with a Gaussian at its point; `true` [N, points, 2], NaN: unknown."""
    height, width = VIEW[0] // STRIDE, VIEW[1] // STRIDE
    known = ops.cast(ops.logical_not(ops.isnan(true[..., 0])), "float32")
    at = (ops.where(ops.isnan(true), 0.0, true) + 0.5) / STRIDE - 0.5
    columns = ops.exp(-((ops.arange(width, dtype="float32") - at[..., :1]) ** 2) / (2 * SIGMA**2))
    rows = ops.exp(-((ops.arange(height, dtype="float32") - at[..., 1:]) ** 2) / (2 * SIGMA**2))
    columns /= ops.sum(columns, axis=-1, keepdims=True) + 1e-6
    rows /= ops.sum(rows, axis=-1, keepdims=True) + 1e-6
    target = rows[..., :, None] * columns[..., None, :]
    logits = ops.transpose(ops.cast(logits, "float32"), (0, 3, 1, 2))
    flat = ops.log_softmax(ops.reshape(logits, (-1, logits.shape[1], height * width)), axis=-1)
    entropy = -ops.sum(ops.reshape(target, ops.shape(flat)) * flat, axis=-1)
    return ops.sum(known * entropy) / ops.maximum(ops.sum(known), 1.0)


def tilt_loss(true: keras.KerasTensor, found: keras.KerasTensor) -> keras.KerasTensor:
    """Mean squared error of the sine, where it is known; `true` [N, 1], NaN: unknown."""
    known = ops.cast(ops.logical_not(ops.isnan(true)), "float32")
    away = ops.cast(found, "float32") - ops.where(ops.isnan(true), 0.0, true)
    return ops.sum(known * away**2) / ops.maximum(ops.sum(known), 1.0)


LOSSES = {
    OUTPUTS.mask: mask_loss,
    OUTPUTS.heat: heat_loss,
    OUTPUTS.image_class: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    OUTPUTS.inverted: keras.losses.BinaryCrossentropy(from_logits=True),
    OUTPUTS.tilt: tilt_loss,
}
WEIGHTS = {
    OUTPUTS.mask: 1.0,
    OUTPUTS.heat: 1.0,
    OUTPUTS.image_class: 1.0,
    OUTPUTS.inverted: 0.3,
    OUTPUTS.tilt: 3.0,
}
