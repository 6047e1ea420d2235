"""Quality control: is it one whole, readable hand? Scores, and limits for them that were set from data."""

from typing import NamedTuple

import tensorflow as tf

from bone_age_tf.preprocessing import geometry, registration
from bone_age_tf.preprocessing.localizer.decoding import Localization
from bone_age_tf.preprocessing.localizer.network import IMAGE_CLASSES, POINTS, VIEW
from bone_age_tf.preprocessing.localizer.weights import Limits
from bone_age_tf.preprocessing.rejections import OK

FINGERS_BEGIN = 0.55
"""Hand units above the capitate from which a contact with the edge cuts fingers."""
EDGE_PIXELS = 1.5
"""Pixels of the view within which the mask is at the edge of the picture."""
POINTS_PER_LINE = 9
"""Points that are sampled on the line from the capitate to a key point."""
FREE_POINTS = tuple(
    number for number, name in enumerate(POINTS) if name not in ("middle_tip", "capitate")
)
"""Key points that do not define the hand unit."""


class Scores(NamedTuple):
    """What the limits are compared with; float32 scalars but for the first."""

    image_class: tf.Tensor
    """Probabilities [classes]."""
    certainty: tf.Tensor
    distance: tf.Tensor
    coverage: tf.Tensor
    edge: tf.Tensor
    resolution: tf.Tensor


def scores(
    image_class: tf.Tensor,
    found: Localization,
    limits: Limits,
    to_picture: tf.Tensor,
    size: tf.Tensor,
) -> Scores:
    """`to_picture` leads from pixels of the view to those of the picture of `size` (height, width)."""
    along, _ = registration.axes(found.points)
    unit = tf.norm(along)
    step = geometry.steps(to_picture)
    return Scores(
        image_class,
        tf.reduce_min(found.certainty),
        _distance(found.points, limits),
        _coverage(found),
        _contact(found, to_picture, size, step) / unit,
        unit * step,
    )


def status(scored: Scores, limits: Limits) -> tf.Tensor:
    """`ok`, or the first reason that applies; string scalar."""
    others = tf.constant(IMAGE_CLASSES[1:])
    likeliest = others[tf.argmax(scored.image_class[1:])]
    is_hand = scored.image_class[0] >= limits.hand
    reasons = [
        (is_hand, likeliest),
        (scored.resolution >= limits.resolution, "too_low_resolution"),
        (scored.certainty >= limits.certainty, "implausible_key_points"),
        (scored.distance <= limits.distance, "implausible_key_points"),
        (scored.coverage >= limits.coverage, "no_whole_hand"),
        (scored.edge <= limits.edge, "mask_touches_top"),
    ]
    result = tf.constant(OK)
    for holds, reason in reversed(reasons):
        result = tf.where(holds, result, reason)
    return result


def shape_vector(points: tf.Tensor) -> tf.Tensor:
    """The free key points in hand units as one vector."""
    return tf.reshape(tf.gather(registration.in_hand_units(points), FREE_POINTS), [-1])


def _distance(points: tf.Tensor, limits: Limits) -> tf.Tensor:
    away = shape_vector(points) - tf.constant(limits.mean, tf.float32)
    spread = tf.linalg.matvec(tf.constant(limits.precision, tf.float32), away)
    return tf.sqrt(tf.maximum(tf.reduce_sum(away * spread), 0.0))


def _coverage(found: Localization) -> tf.Tensor:
    """How far the mask holds the hand that the key points span."""
    capitate = found.points[POINTS.index("capitate")]
    ways = tf.constant([[[number / (POINTS_PER_LINE - 1)]] for number in range(POINTS_PER_LINE)])
    places = tf.reshape(capitate + ways * (found.points - capitate), [-1, 2])
    last = tf.constant([side - 1 for side in reversed(VIEW)])
    pixels = tf.clip_by_value(tf.cast(tf.round(places), tf.int32), 0, last)
    numbers = pixels[:, 1] * VIEW[1] + pixels[:, 0]
    inside = tf.gather(tf.reshape(found.mask, [-1]), numbers) > 0.5
    return tf.reduce_mean(tf.cast(inside, tf.float32))


def _contact(
    found: Localization, to_picture: tf.Tensor, size: tf.Tensor, step: tf.Tensor
) -> tf.Tensor:
    """Pixels of the view in which the fingers' mask is at the edge of the picture."""
    height, width = found.mask.shape[:2]
    rows, columns = tf.meshgrid(
        tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32), indexing="ij"
    )
    places = tf.reshape(tf.stack([columns, rows], axis=-1), [-1, 2])
    x, y = tf.unstack(
        tf.linalg.matmul(places, to_picture[:, :2], transpose_b=True) + to_picture[:, 2], axis=1
    )
    picture_height, picture_width = tf.unstack(tf.cast(size, tf.float32), num=2)
    inward = tf.minimum(tf.minimum(x, picture_width - 1 - x), tf.minimum(y, picture_height - 1 - y))
    is_edge = (inward < EDGE_PIXELS * step) & (inward > -0.5 * step)
    is_finger = registration.in_hand_units_of(places, found.points)[:, 1] > FINGERS_BEGIN
    is_hand = tf.reshape(found.mask, [-1]) > 0.5
    return tf.reduce_sum(tf.cast(is_edge & is_finger & is_hand, tf.float32)) / EDGE_PIXELS
