"""Resampling of a radiograph into the prepared frame; no other module resamples.

`tf.image.resize_with_pad` is not used: its pixels depend on whether the shape is known when the
graph is made, so that training and serving would differ.

A matrix is float32 [2, 3] and maps (x, y, 1) of one picture to (x, y) of another; x is the column,
and pixel centres are at whole numbers.
"""

from collections.abc import Sequence

import tensorflow as tf

LEVELS = 6
"""Levels of a pyramid: the full resolution, a half, a quarter, ..., 1 / 32."""
SHARP = 1.25
"""Pixels of a level per pixel of the result above which four samples are averaged."""


def fit(pixels: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """uint16 [height, width, 1] -> int32 [h, w, 1], the largest of the same shape inside `frame`.

    Antialiased; the new size is integer arithmetic on the dynamic shape.
    """
    return resize(pixels, fitted_size(tf.shape(pixels)[:2], frame))


def fitted_size(size: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """Rows and columns (int32 [2]) of the largest picture of the same shape inside `frame`."""
    frame_height, frame_width = (tf.constant(side, tf.int64) for side in frame)
    height, width = tf.unstack(tf.cast(size, tf.int64), num=2)
    is_tall = height * frame_width >= width * frame_height
    new_height = tf.where(is_tall, frame_height, (height * frame_width + width // 2) // width)
    new_width = tf.where(is_tall, (width * frame_height + height // 2) // height, frame_width)
    return tf.cast(tf.maximum(tf.stack([new_height, new_width]), 1), tf.int32)


def resize(pixels: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Any numbers [height, width, 1] -> int32 [*size, 1], bilinear with antialiasing, rounded."""
    return tf.cast(tf.round(tf.image.resize(pixels, size, antialias=True)), tf.int32)


def centre(pixels: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """[h, w, 1] -> [*frame, 1] with the radiograph in the middle and 0 around it."""
    room = tf.constant(frame) - tf.shape(pixels)[:2]
    before = room // 2
    padded = tf.pad(
        pixels, [[before[0], room[0] - before[0]], [before[1], room[1] - before[1]], [0, 0]]
    )
    return tf.ensure_shape(padded, (*frame, 1))


def centred_matrix(size: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """Pixels of the frame that `fit` and `centre` make -> pixels of a picture of `size`."""
    fitted = fitted_size(size, frame)
    before = tf.cast((tf.constant(frame) - fitted) // 2, tf.float32)
    step = tf.cast(size, tf.float32) / tf.cast(fitted, tf.float32)
    start = (0.5 - before) * step - 0.5
    return tf.stack([tf.stack([step[1], 0.0, start[1]]), tf.stack([0.0, step[0], start[0]])])


def pyramid(pixels: tf.Tensor) -> list[tf.Tensor]:
    """Numbers [height, width, 1] -> `LEVELS` copies float32 [1, h, w, 1], each half the one before.

    Every pixel of a level is the mean of four of the level before. Both sides have at least `files.limits.MIN_SIDE` pixels.
    """
    levels = [tf.cast(pixels, tf.float32)[tf.newaxis]]
    for _ in range(LEVELS - 1):
        levels.append(tf.nn.avg_pool2d(levels[-1], 2, 2, "VALID"))
    return levels


def warp(
    levels: Sequence[tf.Tensor],
    matrix: tf.Tensor,
    size: tuple[int, int] | tf.Tensor,
    fill: tf.Tensor | float = 0.0,
) -> tf.Tensor:
    """A pyramid -> float32 [*size, channels]: pixel (x, y) shows the source at `matrix` (x, y, 1).

    One bilinear sampling of the level that is just finer than the result, four samples averaged
    where it is more than `SHARP` times finer, so that nothing aliases and nothing is resampled
    twice. What lies outside the source is `fill`.
    """
    size = tf.convert_to_tensor(size)
    step = steps(matrix)
    exact = tf.math.log(tf.maximum(step, 1.0)) / tf.math.log(2.0)
    number = tf.minimum(tf.cast(tf.floor(exact), tf.int32), len(levels) - 1)
    factor = tf.cast(tf.bitwise.left_shift(1, number), tf.float32)
    level = tf.switch_case(number, [lambda level=level: tf.identity(level) for level in levels])
    to_level = _scaled(matrix, factor)

    def four() -> tf.Tensor:
        finer = _halved_steps(to_level)
        sampled = _sample(level, finer, 2 * size, fill)
        return tf.nn.avg_pool2d(sampled, 2, 2, "VALID")[0]

    result = tf.cond(step / factor > SHARP, four, lambda: _sample(level, to_level, size, fill)[0])
    channels = tf.constant([levels[0].shape[-1]])
    return tf.reshape(result, tf.concat([size, channels], axis=0))


def _scaled(matrix: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """The matrix to a picture `factor` times coarser than the one it leads to."""
    shift = (matrix[:, 2:] + 0.5) / factor - 0.5
    return tf.concat([matrix[:, :2] / factor, shift], axis=1)


def _halved_steps(matrix: tf.Tensor) -> tf.Tensor:
    """The matrix from a picture with two pixels for each one of the picture that it leads from."""
    linear = matrix[:, :2] / 2
    shift = matrix[:, 2:] - tf.reduce_sum(linear, axis=1, keepdims=True) / 2
    return tf.concat([linear, shift], axis=1)


def _sample(
    picture: tf.Tensor, matrix: tf.Tensor, size: tf.Tensor, fill: tf.Tensor | float
) -> tf.Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=picture,
        transforms=tf.concat([tf.reshape(matrix, [1, 6]), tf.zeros([1, 2])], axis=1),
        output_shape=size,
        fill_value=tf.cast(fill, tf.float32),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def steps(matrix: tf.Tensor) -> tf.Tensor:
    """Pixels of the picture that a matrix leads to, for one of the picture that it leads from."""
    return tf.sqrt(tf.abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]))


def move(points: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Points [N, 2] where the matrix takes them."""
    return tf.linalg.matmul(points, matrix[:, :2], transpose_b=True) + matrix[:, 2]


def inverse(matrix: tf.Tensor) -> tf.Tensor:
    """The inverse of a matrix that is not singular."""
    (a, b, c), (d, e, f) = (tf.unstack(row, num=3) for row in tf.unstack(matrix, num=2))
    size = a * e - b * d
    back = tf.stack([tf.stack([e, -b]), tf.stack([-d, a])]) / size
    shift = -tf.linalg.matvec(back, tf.stack([c, f]))
    return tf.concat([back, shift[:, tf.newaxis]], axis=1)


def product(second: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """The composition: `first`, then `second`."""
    linear = tf.linalg.matmul(second[:, :2], first[:, :2])
    shift = tf.linalg.matvec(second[:, :2], first[:, 2]) + second[:, 2]
    return tf.concat([linear, shift[:, tf.newaxis]], axis=1)
