"""Data augmentation of prepared radiographs, for training only.

The random numbers are an argument: `numbers`, float32 [N, NUMBERS], uniform in [-1, 1), a row for
each radiograph. Equal numbers give equal results, whatever the batch.
"""

import math

import numpy as np
import tensorflow as tf

from bone_age_tf.config import AugmentationConfig
from bone_age_tf.sex import Sex

NUMBERS = 11
(
    _ANGLE,
    _ZOOM,
    _MIRROR,
    _SHIFT_X,
    _SHIFT_Y,
    _GAMMA,
    _DROP_SEX,
    _BLUR,
    _NOISE,
    _NOISE_ROW,
    _NOISE_COLUMN,
) = range(NUMBERS)
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Kernel of the blur: a standard deviation of one pixel."""
_NOISE_MARGIN = 64
"""The noise of a radiograph is a window of one larger field, at one of this many offsets squared."""


def augment(images: tf.Tensor, numbers: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """uint8 [N, height, width, 1] -> the same shape: a warp, a gamma curve, blur and noise.

    The background stays 0.
    """
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.cast(_inverse_affine(tf.shape(images), numbers, config), tf.float32),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    curved = _gamma(warped, numbers[:, _GAMMA], config.gamma)
    if config.blur or config.noise:
        values = _blurred(tf.cast(curved, tf.float32), numbers[:, _BLUR], config.blur)
        values += _noise(tf.shape(images), numbers, config.noise)
        levels = tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)
        curved = tf.where(curved > 0, levels, tf.zeros_like(levels))
    return tf.ensure_shape(curved, images.shape)


def drop_sex(sex: tf.Tensor, numbers: tf.Tensor, share: float) -> tf.Tensor:
    """The sex (int32 [N]), or unknown in a `share` of all cases (sex dropout)."""
    is_dropped = (numbers[:, _DROP_SEX] + 1) / 2 < share
    return tf.where(is_dropped, tf.constant(int(Sex.UNKNOWN), sex.dtype), sex)


def _inverse_affine(shape: tf.Tensor, numbers: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Output pixel -> input pixel, [N, 8]: rotation, zoom, mirror about the centre, then a shift."""
    numbers = tf.cast(numbers, tf.float64)
    height, width = tf.cast(shape[1], tf.float64), tf.cast(shape[2], tf.float64)
    angle = numbers[:, _ANGLE] * (config.rotation_degrees * math.pi / 180)
    zoom = tf.exp(numbers[:, _ZOOM] * -math.log1p(config.zoom))
    flip = tf.where(
        tf.logical_and(config.mirror, numbers[:, _MIRROR] < 0),
        tf.constant(-1.0, tf.float64),
        tf.constant(1.0, tf.float64),
    )
    a, b = tf.cos(angle) * zoom * flip, -tf.sin(angle) * zoom
    c, d = tf.sin(angle) * zoom * flip, tf.cos(angle) * zoom
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    shift_x = centre_x + numbers[:, _SHIFT_X] * config.shift * width
    shift_y = centre_y + numbers[:, _SHIFT_Y] * config.shift * height
    zero = tf.zeros_like(a)
    return tf.stack(
        [
            a,
            b,
            shift_x - a * centre_x - b * centre_y,
            c,
            d,
            shift_y - c * centre_x - d * centre_y,
            zero,
            zero,
        ],
        axis=1,
    )


def _gamma(images: tf.Tensor, number: tf.Tensor, largest: float) -> tf.Tensor:
    exponent = tf.cast(tf.exp(tf.cast(number, tf.float64) * math.log(largest)), tf.float32)
    levels = tf.range(256, dtype=tf.float32) / 255.0
    curves = tf.cast(tf.round(255.0 * levels ** exponent[:, tf.newaxis]), tf.uint8)
    first = 256 * tf.range(tf.shape(images)[0])  # where each radiograph's curve begins
    offsets = tf.cast(images, tf.int32) + first[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.gather(tf.reshape(curves, [-1]), offsets)


def _blurred(values: tf.Tensor, number: tf.Tensor, largest: float) -> tf.Tensor:
    """Blended with a copy blurred by one pixel; half of the radiographs stay unchanged."""
    height, width = tf.shape(values)[1], tf.shape(values)[2]
    tall = tf.pad(values, [[0, 0], [2, 2], [0, 0], [0, 0]], "SYMMETRIC")
    blurred = tf.add_n([k * tall[:, n : n + height] for n, k in enumerate(_BINOMIAL)])
    wide = tf.pad(blurred, [[0, 0], [0, 0], [2, 2], [0, 0]], "SYMMETRIC")
    blurred = tf.add_n([k * wide[:, :, n : n + width] for n, k in enumerate(_BINOMIAL)])
    share = (tf.maximum(number, 0.0) * largest)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return values + share * (blurred - values)


def _noise(shape: tf.Tensor, numbers: tf.Tensor, largest: float) -> tf.Tensor:
    """Normal noise in grey levels, [N, height, width, 1]; none for half of the radiographs."""
    size = shape[1:3] + _NOISE_MARGIN
    field = tf.random.stateless_normal(size, seed=[0, 0])
    offsets = (numbers[:, _NOISE_ROW : _NOISE_COLUMN + 1] + 1) / 2 * _NOISE_MARGIN
    row, column = tf.unstack(tf.cast(offsets, tf.int32), axis=1)
    rows = row[:, tf.newaxis] + tf.range(shape[1])
    columns = column[:, tf.newaxis] + tf.range(shape[2])
    flat = rows[:, :, tf.newaxis] * size[1] + columns[:, tf.newaxis, :]
    sd = tf.maximum(numbers[:, _NOISE], 0.0) * (255.0 * largest)
    windows = tf.gather(tf.reshape(field, [-1]), flat)
    return (sd[:, tf.newaxis, tf.newaxis] * windows)[..., tf.newaxis]
