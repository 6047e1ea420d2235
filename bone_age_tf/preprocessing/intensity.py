"""Grey levels: bone bright on dark, and the same range for every radiograph.

Pixels are int32 [height, width, 1] between 0 and `FULL_SCALE`; the stretch is integer arithmetic,
so that every machine and every graph gives the same bytes.
"""

import tensorflow as tf

FULL_SCALE = 65535

POLARITY_SIDE = 128
"""Longer side of the view on which the polarity is estimated."""
POLARITY_WINDOW = 9
"""Width of the neighbourhood there, about that of a finger."""
POLARITY_MARGIN = 0.05
"""Share of the view left out at each border, where films have frames."""
POLARITY_THRESHOLD = -0.1
"""Below it a radiograph counts as inverted. On a 959-image subset of the RSNA training set, none of
them inverted as delivered, 1 falls below it; 7 of the same images inverted on purpose do not. Below
0 because inverted radiographs are rare."""


BLANK_RANGE = 257
"""Grey levels between the percentiles 0.5 and 99.5 that a picture must exceed: one of 8 bits."""
HAND_MASK_THRESHOLD = 0.9
"""Hand probability above which a pixel is used to set the contrast."""


def polarity(view: tf.Tensor) -> tf.Tensor:
    """Skewness (float32 scalar) of the differences from the local mean: positive, bone is bright.

    `view` is a radiograph at `POLARITY_SIDE`. Bones, fingers and marker letters are narrow and brighter
    than what is around them, so the differences are skewed to the bright side; in an inverted
    radiograph, to the dark side.
    """
    low, high = percentiles(view, 1.0, 99.0)
    stretched = tf.cast(tf.clip_by_value(view, low, high) - low, tf.float32)
    stretched /= tf.cast(tf.maximum(high - low, 1), tf.float32)
    local_mean = stretched[tf.newaxis]
    for _ in range(2):  # twice a box is nearly a Gaussian
        local_mean = tf.nn.avg_pool2d(local_mean, POLARITY_WINDOW, strides=1, padding="SAME")
    difference = stretched - local_mean[0]
    size = tf.shape(view)[:2]
    margin = tf.cast(tf.cast(size, tf.float32) * POLARITY_MARGIN, tf.int32)
    inner = difference[margin[0] : size[0] - margin[0], margin[1] : size[1] - margin[1]]
    variance = tf.reduce_mean(tf.square(inner))
    return tf.reduce_mean(inner**3) / tf.maximum(variance**1.5, 1e-12)


def between(pixels: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """int32 grey levels -> uint8: `low` becomes 0 and `high` 255, in whole numbers."""
    span = tf.maximum(high - low, 1)
    levels = (tf.clip_by_value(pixels, low, high) - low) * 255
    return tf.cast((levels + span // 2) // span, tf.uint8)


def percentiles(pixels: tf.Tensor, low: float, high: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The smallest grey levels (int32) that at least `low` % and `high` % of the pixels reach."""
    return levels_at(cumulative_histogram(pixels), low, high)


def cumulative_histogram(pixels: tf.Tensor) -> tf.Tensor:
    """int32 [FULL_SCALE + 1]: how many of the pixels are at or below each grey level."""
    histogram = tf.math.bincount(
        tf.reshape(pixels, [-1]), minlength=FULL_SCALE + 1, maxlength=FULL_SCALE + 1
    )
    return tf.cumsum(histogram)


def levels_at(cumulative: tf.Tensor, low: float, high: float) -> tuple[tf.Tensor, tf.Tensor]:
    """`percentiles` of a cumulative histogram."""
    ranks = tf.math.ceil(tf.cast(cumulative[-1], tf.float64) * [low / 100, high / 100])
    levels = tf.searchsorted(cumulative, tf.cast(ranks, tf.int32))
    return levels[0], levels[1]
