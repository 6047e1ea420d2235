"""Random changes of prepared radiographs, for training only.

Every function takes its own seed (int32 [2]) and gives the same result for the same seed.
"""

import math

import tensorflow as tf

from bone_age_tf.config import AugmentationConfig
from bone_age_tf.record import Sex


def augment(image: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """uint8 [height, width, 1] -> the same shape: one warp and a gamma curve; 0 where nothing is."""
    numbers = tf.random.stateless_uniform([6], seed, -1.0, 1.0)
    transform = _inverse_affine(tf.shape(image), numbers, config)
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
    return tf.ensure_shape(_gamma(warped, numbers[5], config.gamma), image.shape)


def mask_sex(sex: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """The sex (int32 scalar), or unknown in `share` of all cases."""
    is_masked = tf.random.stateless_uniform([], seed + 1) < share
    return tf.where(is_masked, tf.constant(int(Sex.UNKNOWN), sex.dtype), sex)


def _inverse_affine(shape: tf.Tensor, numbers: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Output pixel -> input pixel: rotation, zoom, mirror about the centre, then a shift."""
    height, width = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    angle = numbers[0] * (config.rotation_degrees * math.pi / 180)
    zoom = tf.exp(numbers[1] * -math.log1p(config.zoom))
    flip = tf.where(tf.logical_and(config.mirror, numbers[2] < 0), -1.0, 1.0)
    a, b = tf.cos(angle) * zoom * flip, -tf.sin(angle) * zoom
    c, d = tf.sin(angle) * zoom * flip, tf.cos(angle) * zoom
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    shift_x = centre_x + numbers[3] * config.shift * width
    shift_y = centre_y + numbers[4] * config.shift * height
    return tf.stack(
        [
            a,
            b,
            shift_x - a * centre_x - b * centre_y,
            c,
            d,
            shift_y - c * centre_x - d * centre_y,
            0.0,
            0.0,
        ]
    )


def _gamma(image: tf.Tensor, number: tf.Tensor, largest: float) -> tf.Tensor:
    exponent = tf.exp(number * math.log(largest))
    curve = tf.round(255.0 * (tf.range(256, dtype=tf.float32) / 255.0) ** exponent)
    return tf.gather(tf.cast(curve, tf.uint8), tf.cast(image, tf.int32))
