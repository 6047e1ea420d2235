"""Quality control: is it one whole, readable hand? Scores, and limits for them that were set from data."""

from typing import NamedTuple

import tensorflow as tf

from bone_age_tf.preprocessing import geometry, registration
from bone_age_tf.preprocessing.localizer.decoding import Localization
from bone_age_tf.preprocessing.localizer.network import IMAGE_CLASSES, POINTS, VIEW
from bone_age_tf.preprocessing.localizer.weights import Limits
from bone_age_tf.preprocessing.rejections import OK

TWO_HANDS = 0.5
"""Smallest probability of two hands at which that is the reason."""
POINTS_PER_LINE = 9
"""Points that are sampled on the line from the capitate to a key point."""
TIPS = tuple(number for number, name in enumerate(POINTS) if name.endswith("_tip"))
WRIST = POINTS.index("wrist")
PLACED_POINTS = tuple(
    number
    for number, name in enumerate(POINTS)
    if name not in ("index_tip", "ring_tip", "little_tip")
)
"""Key points that place the hand; the other fingertips are only needed to see whether they are there."""
FREE_POINTS = tuple(
    number for number in PLACED_POINTS if POINTS[number] not in ("middle_tip", "capitate")
)
"""Of these, the ones that do not define the hand unit."""


class Scores(NamedTuple):
    """What the limits are compared with; float32 scalars but for the first."""

    image_class: tf.Tensor
    """Probabilities [classes]."""
    certainty: tf.Tensor
    distance: tf.Tensor
    coverage: tf.Tensor
    edge: tf.Tensor
    wrist: tf.Tensor
    tilt: tf.Tensor
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
    inward = _inward(geometry.move(found.points, to_picture), size) / (unit * step)
    return Scores(
        image_class,
        tf.reduce_min(tf.gather(found.certainty, PLACED_POINTS)),
        _distance(found.points, limits),
        _coverage(found),
        tf.reduce_min(tf.gather(inward, TIPS)),
        inward[WRIST],
        found.tilt,
        unit * step,
    )


def status(scored: Scores, limits: Limits) -> tf.Tensor:
    """`ok`, or the first reason that applies; string scalar."""
    is_hand = scored.image_class[0] >= limits.hand
    reasons = [
        (is_hand, _other_than_one_hand(scored.image_class)),
        (scored.resolution >= limits.resolution, "too_low_resolution"),
        (scored.tilt <= limits.tilt, "oblique"),
        (scored.certainty >= limits.certainty, "implausible_key_points"),
        (scored.distance <= limits.distance, "implausible_key_points"),
        (scored.coverage >= limits.coverage, "no_whole_hand"),
        (scored.wrist >= limits.wrist, "no_whole_hand"),
        (scored.edge >= limits.edge, "mask_touches_top"),
    ]
    result = tf.constant(OK)
    for holds, reason in reversed(reasons):
        result = tf.where(holds, result, reason)
    return result


def _other_than_one_hand(image_class: tf.Tensor) -> tf.Tensor:
    """The likeliest class but that of one hand; two hands only where they are likelier than all else."""
    names = tf.constant(IMAGE_CLASSES)
    two = IMAGE_CLASSES.index("two_hands")
    return tf.where(
        image_class[two] >= TWO_HANDS, names[two], names[1 + tf.argmax(image_class[1:two])]
    )


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
    ends = tf.gather(found.points, PLACED_POINTS)
    places = tf.reshape(capitate + ways * (ends - capitate), [-1, 2])
    last = tf.constant([side - 1 for side in reversed(VIEW)])
    pixels = tf.clip_by_value(tf.cast(tf.round(places), tf.int32), 0, last)
    numbers = pixels[:, 1] * VIEW[1] + pixels[:, 0]
    inside = tf.gather(tf.reshape(found.mask, [-1]), numbers) > 0.5
    return tf.reduce_mean(tf.cast(inside, tf.float32))


def _inward(places: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Points [N, 2] of a picture of `size` -> how far each lies inside of its nearest edge, pixels."""
    last = (
        tf.cast(tf.stack([size[1], size[0]]), tf.float32) - 1.0
    )  # a slice backwards upsets grappler
    return tf.reduce_min(tf.minimum(places, last - places), axis=1) + 0.5
