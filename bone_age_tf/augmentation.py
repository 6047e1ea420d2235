"""Random changes of prepared radiographs, for training only.

What is random comes from outside: `numbers`, float32 [N, NUMBERS], uniform in [-1, 1), a row for
each radiograph. Equal numbers give equal results, whatever the batch.
"""

import math

import tensorflow as tf

from bone_age_tf.config import AugmentationConfig
from bone_age_tf.record import Sex

NUMBERS = 7
_ANGLE, _ZOOM, _MIRROR, _SHIFT_X, _SHIFT_Y, _GAMMA, _MASK_SEX = range(NUMBERS)


def augment(images: tf.Tensor, numbers: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """uint8 [N, height, width, 1] -> the same shape: one warp and a gamma curve; 0 where nothing is."""
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.cast(_inverse_affine(tf.shape(images), numbers, config), tf.float32),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(_gamma(warped, numbers[:, _GAMMA], config.gamma), images.shape)


def mask_sex(sex: tf.Tensor, numbers: tf.Tensor, share: float) -> tf.Tensor:
    """The sex (int32 [N]), or unknown in `share` of all cases."""
    is_masked = (numbers[:, _MASK_SEX] + 1) / 2 < share
    return tf.where(is_masked, tf.constant(int(Sex.UNKNOWN), sex.dtype), sex)


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
    places = tf.cast(images, tf.int32) + first[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.gather(tf.reshape(curves, [-1]), places)
