"""The only place that resizes: a radiograph into the prepared frame.

`tf.image.resize_with_pad` is not used: its pixels depend on whether the shape is known when the
graph is made, so that training and serving would differ.
"""

import tensorflow as tf


def fit(pixels: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """uint16 [height, width, 1] -> int32 [h, w, 1], the largest of the same shape inside `frame`.

    Antialiased; the new size is integer arithmetic on the dynamic shape.
    """
    frame_height, frame_width = (tf.constant(side, tf.int64) for side in frame)
    size = tf.cast(tf.shape(pixels)[:2], tf.int64)
    height, width = size[0], size[1]
    is_tall = height * frame_width >= width * frame_height
    new_height = tf.where(is_tall, frame_height, (height * frame_width + width // 2) // width)
    new_width = tf.where(is_tall, (width * frame_height + height // 2) // height, frame_width)
    new_size = tf.cast(tf.maximum(tf.stack([new_height, new_width]), 1), tf.int32)
    return resize(pixels, new_size)


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
