"""Positive mining: pseudo-labels by a localizer for radiographs without annotations.

As in Iglovikov et al. 2018: predict, keep what passes the checks, train again. Two views of the
same radiograph, the second one turned and mirrored, must agree.
"""

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import keras
import numpy as np
import tensorflow as tf

from bone_age_tf.preprocessing import geometry, pipeline
from bone_age_tf.preprocessing.localizer import decoding as localization
from bone_age_tf.preprocessing.localizer.network import POINTS, VIEW
from bone_age_tf.training.localizer.examples import Example

MIN_HAND_PROBABILITY = 0.8
MIN_CERTAINTY = 0.5
MAX_POINT_DISTANCE = 0.03
"""Largest difference of a key point between the two views, in capitate - middle fingertip distances."""
MIN_MASK_JACCARD = 0.93
"""Smallest Jaccard index of the two views' masks."""
TURN_DEGREES = 12.0


@dataclasses.dataclass(frozen=True)
class View:
    """The network's outputs for one view, in pixels of the example's image."""

    points: np.ndarray
    """float32 [points, 2]."""
    mask: np.ndarray
    """float32 [height, width], 0 to 1."""
    hand: float
    certainty: float


def mine(
    network: keras.Model, examples: Sequence[Example], notify: Callable[[int, int], None]
) -> list[Example]:
    """Those examples in which a whole hand is found with certainty, with mask and key points.

    Key points that were annotated are kept.
    """
    view_of = viewer(network)
    found = []
    for number, example in enumerate(examples, start=1):
        mined = _mine_one(view_of, example)
        if mined is not None:
            found.append(mined)
        notify(number, len(examples))
    return found


def viewer(network: keras.Model) -> Callable[[np.ndarray, bool], View]:
    """A function of an image (uint8 [height, width]) and of whether it is turned and mirrored."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, 1), tf.uint8),
            tf.TensorSpec((2, 3), tf.float32),
        ],
        autograph=False,
    )
    def locate(image: tf.Tensor, turn: tf.Tensor) -> tuple[tf.Tensor, ...]:
        levels = geometry.pyramid(tf.cast(image, tf.float32) * 257.0)
        to_image = geometry.product(pipeline.whole_matrix(tf.shape(image)[:2]), turn)
        pixels = tf.cast(tf.round(geometry.warp(levels, to_image, VIEW)), tf.int32)
        found = localization.locate(pixels, lambda x: network(x, training=False))
        return (
            geometry.move(found.points, to_image),
            found.mask,
            to_image,
            found.image_class[0],
            tf.reduce_min(found.certainty),
        )

    def view_of(image: np.ndarray, is_turned: bool) -> View:
        turn = _turned() if is_turned else np.eye(2, 3, dtype=np.float32)
        points, mask, to_image, hand, certainty = (
            part.numpy() for part in locate(image[..., np.newaxis], turn)
        )
        whole = cv2.warpAffine(mask[..., 0], to_image, image.shape[::-1], flags=cv2.INTER_LINEAR)
        return View(points, whole, float(hand), float(certainty))

    return view_of


def _turned() -> np.ndarray:
    """A rotation and a mirroring about the centre of the view."""
    centre = (np.array(VIEW[::-1]) - 1) / 2
    matrix = cv2.getRotationMatrix2D(tuple(centre), TURN_DEGREES, 1.1)
    matrix[:, 2] += matrix[:, 0] * (VIEW[1] - 1)
    matrix[:, 0] *= -1
    return matrix.astype(np.float32)


def _mine_one(view_of: Callable[[np.ndarray, bool], View], example: Example) -> Example | None:
    first, second = view_of(example.image, False), view_of(example.image, True)
    tip, capitate = POINTS.index("middle_tip"), POINTS.index("capitate")
    unit = float(np.hypot(*(first.points[tip] - first.points[capitate])))
    apart = np.hypot(*(first.points - second.points).T).max() / max(unit, 1e-6)
    one, other = first.mask > 0.5, second.mask > 0.5
    alike = (one & other).sum() / max((one | other).sum(), 1)
    is_sure = (
        min(first.hand, second.hand) >= MIN_HAND_PROBABILITY
        and min(first.certainty, second.certainty) >= MIN_CERTAINTY
        and apart <= MAX_POINT_DISTANCE
        and alike >= MIN_MASK_JACCARD
    )
    if not is_sure:
        return None
    mask = np.uint8(255) * ((first.mask + second.mask) > 1.0).astype(np.uint8)
    points = (first.points + second.points) / 2
    if example.points is not None:
        points = np.where(np.isnan(example.points), points, example.points)
    return dataclasses.replace(example, mask=mask, points=points)
