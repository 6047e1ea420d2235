"""Data augmentation of prepared radiographs, for training only.

The random numbers are an argument: `numbers`, float32 [N, NUMBERS], uniform in [-1, 1), a row for
each radiograph. Equal numbers give equal results, whatever the batch.
"""

import math

import numpy as np
import tensorflow as tf

from bone_age_tf.config import AugmentationConfig
from bone_age_tf.sex import Sex

_GRID = (7, 5)
"""Rows and columns of the points that the elastic change moves."""
_SINGLE = 20
NUMBERS = _SINGLE + 2 * math.prod(_GRID)
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
    _VARIANT,
    _CONTRAST,
    _CONTRAST_SIZE,
    _CUTOUT,
    _CUTOUT_ROW,
    _CUTOUT_COLUMN,
    _CUTOUT_HEIGHT,
    _CUTOUT_WIDTH,
    _CUTOUT_GREY,
) = range(_SINGLE)
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Kernel of the blur: a standard deviation of one pixel."""
_NOISE_MARGIN = 64
"""The noise of a radiograph is a window of one larger field, at one of this many offsets squared."""


def augment(images: tf.Tensor, numbers: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """uint8 [N, height, width, 1] -> the same shape: a warp, then other grey levels.

    The background stays 0.
    """
    warped = _warped(images, numbers, config)
    curved = _gamma(warped, numbers[:, _GAMMA], config.gamma)
    values = tf.cast(curved, tf.float32)
    if config.contrast:
        values = _local_contrast(curved, numbers, config.contrast)
    if config.blur or config.noise:
        values = _blurred(values, numbers[:, _BLUR], config.blur)
        values += _noise(tf.shape(images), numbers, config.noise)
    if config.cutout:
        values = _cut_out(values, numbers, config.cutout)
    levels = tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)
    return tf.ensure_shape(tf.where(curved > 0, levels, tf.zeros_like(levels)), images.shape)


def drop_sex(sex: tf.Tensor, numbers: tf.Tensor, share: float) -> tf.Tensor:
    """The sex (int32 [N]), or unknown in a `share` of all cases (sex dropout)."""
    is_dropped = (numbers[:, _DROP_SEX] + 1) / 2 < share
    return tf.where(is_dropped, tf.constant(int(Sex.UNKNOWN), sex.dtype), sex)


def variant_of(numbers: tf.Tensor, count: int, share: float) -> tf.Tensor:
    """int32 [N]: which of its `count` variants a radiograph is shown as, from 1; 0 for those, all but a
    `share`, that are shown as they are."""
    place = (tf.cast(numbers[:, _VARIANT], tf.float64) + 1) / 2 / share
    return tf.where(place < 1, 1 + tf.cast(place * count, tf.int32), 0)


# === Geometry ===


def _warped(images: tf.Tensor, numbers: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """uint8 [N, height, width, 1], resampled once; 0 where it lies outside."""
    matrix = tf.cast(_inverse_affine(tf.shape(images), numbers, config), tf.float32)
    if config.elastic:
        return _sampled(images, _places(tf.shape(images), matrix, numbers, config.elastic))
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrix,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _places(shape: tf.Tensor, matrix: tf.Tensor, numbers: tf.Tensor, largest: float) -> tf.Tensor:
    """Input (x, y) of each output pixel, float32 [N, height, width, 2]: affine, and moved with its
    neighbours by up to `largest`, a share of the height (elastic: Simard et al. 2003)."""
    height, width = shape[1], shape[2]
    grid = tf.reshape(numbers[:, _SINGLE:], [-1, *_GRID, 2])
    moved = tf.image.resize(grid, [height, width], "bicubic")
    moved *= largest * tf.cast(height, tf.float32)
    x = tf.range(width, dtype=tf.float32)[tf.newaxis, tf.newaxis, :]
    y = tf.range(height, dtype=tf.float32)[tf.newaxis, :, tf.newaxis]
    a, b, c, d, e, f, _, _ = (row[:, tf.newaxis, tf.newaxis] for row in tf.unstack(matrix, axis=1))
    return moved + tf.stack([a * x + b * y + c, d * x + e * y + f], axis=-1)


def _sampled(images: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Bilinear; `places` are (x, y) of the images, float32 [N, height, width, 2]."""
    shape = tf.shape(images)
    size = tf.cast([shape[2], shape[1]], tf.float32)
    inside = tf.clip_by_value(places + 1, 0.0, size + 1)  # of images with a border of 0
    corner = tf.minimum(tf.floor(inside), size)
    x, y = tf.unstack(inside - corner, axis=-1)
    column, row = tf.unstack(tf.cast(corner, tf.int32), axis=-1)
    stride, rows = shape[2] + 2, shape[1] + 2
    first = tf.range(shape[0])[:, tf.newaxis, tf.newaxis] * (rows * stride)
    at = first + row * stride + column
    pixels = tf.reshape(tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]]), [-1])
    corners = [at, at + 1, at + stride, at + stride + 1]
    q, r, s, t = (tf.cast(tf.gather(pixels, corner), tf.float32) for corner in corners)
    upper, lower = q + x * (r - q), s + x * (t - s)
    return tf.cast(tf.round(upper + y * (lower - upper)), tf.uint8)[..., tf.newaxis]


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


# === Grey levels ===


def _gamma(images: tf.Tensor, number: tf.Tensor, largest: float) -> tf.Tensor:
    exponent = tf.cast(tf.exp(tf.cast(number, tf.float64) * math.log(largest)), tf.float32)
    levels = tf.range(256, dtype=tf.float32) / 255.0
    curves = tf.cast(tf.round(255.0 * levels ** exponent[:, tf.newaxis]), tf.uint8)
    first = 256 * tf.range(tf.shape(images)[0])  # where each radiograph's curve begins
    offsets = tf.cast(images, tf.int32) + first[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.gather(tf.reshape(curves, [-1]), offsets)


def _local_contrast(images: tf.Tensor, numbers: tf.Tensor, largest: float) -> tf.Tensor:
    """uint8 [N, height, width, 1] -> float32: differences from the surroundings grow or shrink.

    Mean and SD of what is not background stay, so that large differences shrink where small ones grow,
    as with a device's local equalisation. All sums are exact, whatever their order.
    """
    values = tf.cast(images, tf.float32)
    height = tf.shape(images)[1]
    share = ((numbers[:, _CONTRAST_SIZE] + 1) / 2)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    near, far = (_box_mean(images, height // part) for part in (40, 8))
    amount = tf.exp(numbers[:, _CONTRAST] * math.log1p(largest)) - 1
    detail = values - near - share * (far - near)
    changed = values + amount[:, tf.newaxis, tf.newaxis, tf.newaxis] * detail
    is_hand = images > 0
    (mean, sd), (new_mean, new_sd) = (_mean_and_sd(each, is_hand) for each in (values, changed))
    return (changed - new_mean) * (sd / tf.maximum(new_sd, 1.0)) + mean


def _box_mean(images: tf.Tensor, reach: tf.Tensor) -> tf.Tensor:
    """Mean of the square of 2 `reach` + 1 pixels around each pixel, 0 outside, float32."""
    side = 2 * reach + 1
    sums = tf.cast(images, tf.int32)
    for axis in (1, 2):
        room = [[reach + 1, reach] if each == axis else [0, 0] for each in range(4)]
        total = tf.cumsum(tf.pad(sums, room), axis)
        length = tf.shape(images)[axis]
        first, last = (tf.range(start, start + length) for start in (0, side))
        sums = tf.gather(total, last, axis=axis) - tf.gather(total, first, axis=axis)
    return tf.cast(sums, tf.float32) / tf.cast(side * side, tf.float32)


def _mean_and_sd(values: tf.Tensor, is_counted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """float32 [N, 1, 1, 1] each, of values rounded to a sixteenth."""
    rounded = tf.cast(tf.round(values * 16) / 16, tf.float64)
    weights = tf.cast(is_counted, tf.float64)
    count = tf.maximum(tf.reduce_sum(weights, [1, 2, 3], keepdims=True), 1)
    mean = tf.reduce_sum(weights * rounded, [1, 2, 3], keepdims=True) / count
    square = tf.reduce_sum(weights * rounded**2, [1, 2, 3], keepdims=True) / count
    sd = tf.sqrt(tf.maximum(square - mean**2, 0))
    return tf.cast(mean, tf.float32), tf.cast(sd, tf.float32)


def _cut_out(values: tf.Tensor, numbers: tf.Tensor, largest: float) -> tf.Tensor:
    """A rectangle of one grey, of the sides' `largest` share at most (DeVries and Taylor 2017); none for
    half of the radiographs."""
    shape = tf.cast(tf.shape(values), tf.float32)
    is_row, is_column = (
        _is_between(shape[axis], numbers[:, place], numbers[:, side], largest)
        for axis, place, side in (
            (1, _CUTOUT_ROW, _CUTOUT_HEIGHT),
            (2, _CUTOUT_COLUMN, _CUTOUT_WIDTH),
        )
    )
    is_cut = is_row[:, :, tf.newaxis] & is_column[:, tf.newaxis, :]
    is_cut &= (numbers[:, _CUTOUT] > 0)[:, tf.newaxis, tf.newaxis]
    grey = tf.round(255 * tf.maximum(numbers[:, _CUTOUT_GREY], 0.0))
    return tf.where(is_cut[..., tf.newaxis], grey[:, tf.newaxis, tf.newaxis, tf.newaxis], values)


def _is_between(length: tf.Tensor, place: tf.Tensor, side: tf.Tensor, largest: float) -> tf.Tensor:
    """bool [N, length]: up to half of a side from its centre."""
    centre, half = (place + 1) / 2 * length, (side + 1) / 4 * largest * length
    away = tf.abs(tf.range(length)[tf.newaxis] + 0.5 - centre[:, tf.newaxis])
    return away <= half[:, tf.newaxis]


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
