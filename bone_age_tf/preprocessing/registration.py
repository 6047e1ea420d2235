"""Key points -> the frame of Iglovikov et al. 2018 in the radiograph.

The frame has 2080 x 1600 (rows x columns) pixels at scale 1: the hand is upright, the tip of the
middle finger at row 100 above the centre of the capitate at row 1600, column 800, and the thumb is
on the right, as in a left hand seen from its back.
"""

import tensorflow as tf

from bone_age_tf.config import FRAME_HEIGHT, FRAME_WIDTH
from bone_age_tf.preprocessing.localizer.network import POINTS

TIP = (800.0, 100.0)
"""Column and row of the middle fingertip in the frame at scale 1."""
CAPITATE = (800.0, 1600.0)

EMPTY_ROWS = 64
"""1 / this of the rows, at the top, are free in a registered radiograph."""
MIN_EMPTY_SHARE = 0.3
"""Share of a registered radiograph that is exactly 0, at least."""
MAX_CAPITATE_OFFSET = 300.0
"""Pixels of the frame at scale 1 between the capitate of a registered radiograph and its nominal position, at most."""
MAX_TILT = 0.25
"""Tangent of the angle between its middle finger and the vertical, at most."""

_TIP, _THUMB, _CAPITATE, _INDEX, _LITTLE = (
    POINTS.index(name)
    for name in ("middle_tip", "thumb_tip", "capitate", "index_mcp", "little_mcp")
)


def frame_matrix(points: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """float32 [points, 2] in a picture -> matrix from pixels of the frame to pixels of the picture."""
    scale = frame[0] / FRAME_HEIGHT
    origin = tf.constant([(place + 0.5) * scale - 0.5 for place in CAPITATE], tf.float32)
    unit = (CAPITATE[1] - TIP[1]) * scale
    return hand_matrix(points, origin, unit)


def hand_matrix(points: tf.Tensor, origin: tf.Tensor, unit: float) -> tf.Tensor:
    """The similarity that leads from an upright left hand to the one in the picture.

    In the upright hand the capitate is at `origin` (x, y) and the middle fingertip `unit` above it.
    """
    along, right = axes(points)
    down = -along
    linear = tf.stack([right, down], axis=1) * (1 / unit)  # as a graph is optimized to do
    shift = points[_CAPITATE] - tf.linalg.matvec(linear, origin)
    return tf.concat([linear, shift[:, tf.newaxis]], axis=1)


def axes(points: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Capitate -> middle fingertip, and the same length at a right angle towards the thumb."""
    along = points[_TIP] - points[_CAPITATE]
    length = tf.maximum(tf.norm(along), 1e-3)
    along = tf.where(tf.norm(along) < 1e-3, tf.stack([0.0, -length]), along)
    right = tf.stack([-along[1], along[0]])
    return along, tf.where(is_mirrored(points), -right, right)


def is_mirrored(points: tf.Tensor) -> tf.Tensor:
    """bool scalar: with the fingers up, the thumb is on the left."""
    along = points[_TIP] - points[_CAPITATE]
    right = tf.stack([-along[1], along[0]])
    towards_thumb = points[_THUMB] + points[_INDEX] - 2 * points[_LITTLE]
    return tf.reduce_sum(towards_thumb * right) < 0


def in_hand_units(points: tf.Tensor) -> tf.Tensor:
    """Key points as (towards the thumb, towards the fingers) of the capitate; fingertip at (0, 1)."""
    return in_hand_units_of(points, points)


def in_hand_units_of(places: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Points [N, 2] in the units of the hand with the key points `points`."""
    along, right = axes(points)
    square = tf.maximum(tf.reduce_sum(along**2), 1e-6)
    away = places - points[_CAPITATE]
    return tf.stack([tf.linalg.matvec(away, right), tf.linalg.matvec(away, along)], axis=1) / square


def is_done(levels: list[tf.Tensor], points: tf.Tensor) -> tf.Tensor:
    """Whether the picture is a hand in the frame already, its background removed, at any scale."""
    size = tf.shape(levels[0])[1:3]
    has_shape = size[0] * FRAME_WIDTH == size[1] * FRAME_HEIGHT
    coarse = levels[2][0]
    above = coarse[: tf.shape(coarse)[0] // EMPTY_ROWS]
    is_removed = tf.reduce_max(above) == 0.0
    is_removed &= tf.reduce_mean(tf.cast(coarse == 0.0, tf.float32)) > MIN_EMPTY_SHARE
    scale = tf.cast(size[0], tf.float32) / FRAME_HEIGHT
    placed = (points + 0.5) / scale - 0.5
    tip, capitate = placed[_TIP], placed[_CAPITATE]
    is_near = tf.norm(capitate - CAPITATE) < MAX_CAPITATE_OFFSET
    is_upright = tf.abs(tip[0] - capitate[0]) < (capitate[1] - tip[1]) * MAX_TILT
    is_left = tf.logical_not(is_mirrored(points))
    return has_shape & is_removed & is_near & is_upright & is_left
