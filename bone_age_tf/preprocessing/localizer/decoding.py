"""The whole radiograph at low resolution -> hand mask, key points and image class.

Coordinates are (x, y), x = column, pixel centres at whole numbers.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bone_age_tf.preprocessing import intensity
from bone_age_tf.preprocessing.localizer.network import OUTPUTS, POINTS, STRIDE, VIEW

Network = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
"""uint8 [1, *VIEW, 2] -> logits by the names in `OUTPUTS`."""

PEAK_RADIUS = 4
"""Pixels of a heat map around its highest one that count as the peak."""
ROUNDING = 64.0
"""Key points are whole multiples of 1 / this pixel, so that differences in the last bit of a
convolution, as between processors or batch sizes, do not reach the prepared pixels."""
MASK_THRESHOLD = 0.5
"""Probability from which a pixel belongs to the hand."""
CLEANING_STRIDE = 2
"""The connected part is found on a mask this much coarser."""


class Localization(NamedTuple):
    """Decoded outputs of the network for one view."""

    points: tf.Tensor
    """float32 [points, 2] in pixels of the view."""
    certainty: tf.Tensor
    """float32 [points]: share of a heat map that lies around its peak, 0 to 1."""
    mask: tf.Tensor
    """float32 [*VIEW, 1]: probability of hand, 0 outside the hand's own connected part."""
    image_class: tf.Tensor
    """float32 [classes]: probabilities that add up to 1."""
    inverted: tf.Tensor
    """float32 scalar: probability that bone is dark."""
    tilt: tf.Tensor
    """float32 scalar: sine of the angle by which the hand is turned out of the picture's plane."""


def locate(view: tf.Tensor, network: Network) -> Localization:
    """int32 [*VIEW, 1], 0 to `FULL_SCALE`, 0 outside of the radiograph -> the decoded outputs."""
    logits = network(network_input(view)[tf.newaxis])
    points, certainty = _peaks(logits[OUTPUTS.heat][0])
    return Localization(
        points,
        certainty,
        _clean(tf.sigmoid(logits[OUTPUTS.mask][0]), points),
        tf.nn.softmax(logits[OUTPUTS.image_class][0]),
        tf.sigmoid(logits[OUTPUTS.inverted][0, 0]),
        logits[OUTPUTS.tilt][0, 0],
    )


def network_input(view: tf.Tensor) -> tf.Tensor:
    """int32 [*VIEW, 1], 0 to `FULL_SCALE` -> uint8 [*VIEW, 2], what the network reads.

    The same picture twice: between two percentiles, where densities keep their order, and
    equalised, so that a faint hand next to a bright marker is visible.
    """
    cumulative = intensity.cumulative_histogram(view)
    low, high = intensity.levels_at(cumulative, 1.0, 99.5)
    stretched = intensity.between(view, low, high)
    share = cumulative - cumulative[tf.reduce_min(view)]
    equalised = tf.gather(share, view) * 255 // tf.maximum(share[-1], 1)
    return tf.ensure_shape(
        tf.concat([stretched, tf.cast(equalised, tf.uint8)], axis=-1), (*VIEW, 2)
    )


def soft_edge(mask: tf.Tensor) -> tf.Tensor:
    """Mask [*VIEW, 1] -> opacity: 1 in the hand and a pixel around it, then falling to 0."""
    wider = tf.nn.max_pool2d(mask[tf.newaxis], 3, 1, "SAME")
    blurred = tf.nn.avg_pool2d(wider, 3, 1, "SAME")[0]
    return tf.clip_by_value(2.0 * blurred - 0.2, 0.0, 1.0)


def _peaks(heat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits [h, w, points] -> the mean place around each map's highest pixel, and its weight."""
    height, width = VIEW[0] // STRIDE, VIEW[1] // STRIDE
    share = tf.nn.softmax(tf.reshape(heat, [height * width, len(POINTS)]), axis=0)
    highest = tf.argmax(share, axis=0, output_type=tf.int32)
    places = tf.range(height * width)
    rows, columns = places // width, places % width
    near = (tf.abs(rows[:, tf.newaxis] - highest // width) <= PEAK_RADIUS) & (
        tf.abs(columns[:, tf.newaxis] - tf.math.floormod(highest, width)) <= PEAK_RADIUS
    )
    weight = tf.where(near, share, 0.0)
    certainty = tf.reduce_sum(weight, axis=0)
    at = tf.cast(tf.stack([columns, rows], axis=1), tf.float32)
    mean = tf.linalg.matmul(weight, at, transpose_a=True) / certainty[:, tf.newaxis]
    points = (mean + 0.5) * STRIDE - 0.5
    return tf.round(points * ROUNDING) / ROUNDING, certainty


def _clean(probability: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """The part of the mask that is connected with the hand's key points, its holes filled."""
    coarse = tf.nn.max_pool2d(probability[tf.newaxis], CLEANING_STRIDE, CLEANING_STRIDE, "VALID")
    inside = coarse[0, :, :, 0] > MASK_THRESHOLD
    hand = _connected(inside, _at(points, inside))
    border = tf.pad(
        tf.zeros(inside.shape - tf.constant(2), tf.bool), [[1, 1], [1, 1]], constant_values=True
    )
    outside = tf.logical_not(hand)
    around = _connected(outside, border & outside)
    filled = _finer(tf.logical_not(around))
    hole = filled & _finer(outside)
    return tf.where(hole[..., tf.newaxis], 1.0, tf.where(filled[..., tf.newaxis], probability, 0.0))


def _at(points: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """bool like `inside`: the pixels of it that hold a key point."""
    height, width = _sides(inside)
    limit = tf.constant([width - 1, height - 1])
    places = tf.clip_by_value(tf.cast(points, tf.int32) // CLEANING_STRIDE, 0, limit)
    marked = tf.scatter_nd(places[:, ::-1], tf.ones(len(POINTS), tf.int32), inside.shape)
    return (marked > 0) & inside


def _sides(plane: tf.Tensor) -> tuple[int, int]:
    """Rows and columns, which are known."""
    height, width = map(int, plane.shape.as_list())
    return height, width


def _runs(inside: tf.Tensor) -> tf.Tensor:
    """int32 [h * w]: the number of the run of its row that a pixel of `inside` belongs to."""
    height, width = _sides(inside)
    # a run ends at each pixel outside and at each row's end
    outside = tf.cumsum(tf.cast(tf.reshape(tf.logical_not(inside), [-1]), tf.int32))
    by_row = tf.reshape(outside, (height, width)) + np.arange(height, dtype=np.int32)[:, np.newaxis]
    return tf.reshape(by_row, [-1])


def _finer(plane: tf.Tensor) -> tf.Tensor:
    height, width = _sides(plane)
    block = (height, CLEANING_STRIDE, width, CLEANING_STRIDE)
    blocks = tf.broadcast_to(plane[:, tf.newaxis, :, tf.newaxis], block)
    return tf.reshape(blocks, (height * CLEANING_STRIDE, width * CLEANING_STRIDE))


def _connected(inside: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """bool [h, w]: pixels that are connected with the seeds within `inside`, in four directions.

    Whole runs of a row, then of a column, are reached at once, until nothing is added.
    """
    height, width = _sides(inside)
    turned = tf.transpose(inside)
    runs, columns = _runs(inside), _runs(turned)

    def spread(reached: tf.Tensor, ids: tf.Tensor, within: tf.Tensor) -> tf.Tensor:
        flat = tf.cast(tf.reshape(reached, [-1]), tf.int32)
        hit = tf.math.unsorted_segment_max(flat, ids, height * width + height + width + 1)
        return tf.reshape(tf.gather(hit, ids) > 0, within.shape) & within

    def sweep(reached: tf.Tensor, before: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        del before
        by_row = spread(reached, runs, inside)
        by_column = tf.transpose(spread(tf.transpose(by_row), columns, turned))
        return by_column, reached

    reached, _ = tf.while_loop(
        lambda now, before: tf.reduce_any(now != before),
        sweep,
        [seeds, tf.zeros_like(seeds)],
    )
    return reached
