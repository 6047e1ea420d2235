"""All intermediate results of the preprocessing of one file, for display."""

import dataclasses

import cv2
import numpy as np
import tensorflow as tf

from bone_age_tf.preprocessing import decoding as radiograph
from bone_age_tf.preprocessing import geometry, pipeline
from bone_age_tf.preprocessing.localizer.network import IMAGE_CLASSES
from bone_age_tf.preprocessing.preprocessor import Preprocessor, graph_of
from bone_age_tf.preprocessing.rejections import Rejection, rejection_from


@dataclasses.dataclass(frozen=True)
class Finding:
    """Everything in pixels (x, y) of the file, but for the prepared image."""

    radiograph: np.ndarray
    """uint8 [height, width]."""
    prepared: np.ndarray
    """uint8 [*frame]; black where it is rejected."""
    status: str
    """`ok`, or a reason of `rejections`."""
    prepared_to_original: np.ndarray
    """float32 [2, 3]: (x, y, 1) of the prepared radiograph -> (x, y) of the file."""
    points: np.ndarray
    """float32 [points, 2]."""
    mask: np.ndarray
    """uint8 [height, width], 255 hand."""
    inverted: bool
    is_registered: bool
    scores: dict[str, float]
    """The values that were compared with the limits of `quality`."""

    @property
    def frame_corners(self) -> np.ndarray:
        """float [4, 2]: corners of the prepared radiograph in the file."""
        height, width = self.prepared.shape
        right, bottom = width - 0.5, height - 0.5
        corners = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])
        return corners @ self.prepared_to_original[:, :2].T + self.prepared_to_original[:, 2]


class Examiner:
    """Examines files with one preprocessor, whose `method` must be `registered`."""

    def __init__(self, preprocessor: Preprocessor) -> None:
        self._graph = graph_of(lambda encoded: _examine(encoded, preprocessor))

    def find(self, encoded: bytes) -> Finding | Rejection:
        """The same; a file that cannot be decoded is rejected."""
        try:
            return self(encoded)
        except tf.errors.InvalidArgumentError as error:
            return rejection_from(error)

    def __call__(self, encoded: bytes) -> Finding:
        """Raises `tf.errors.InvalidArgumentError` where `radiograph.decode` does."""
        found = {name: value.numpy() for name, value in self._graph(encoded).items()}
        image_class = dict(zip(IMAGE_CLASSES, found.pop("image_class").tolist(), strict=True))
        names = ("certainty", "distance", "coverage", "edge", "wrist", "tilt", "resolution")
        return Finding(
            scores={**image_class, **{name: float(found.pop(name)) for name in names}},
            status=found.pop("status").decode(),
            inverted=bool(found.pop("inverted") > 0.5),
            is_registered=bool(found.pop("is_registered")),
            mask=_largest_part(found.pop("mask")),
            **found,
        )


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """The mask merged from two views, without small fragments at their seam."""
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count < 3:
        return mask
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    return np.where(parts == largest, mask, np.uint8(0))


def _examine(encoded: tf.Tensor, preprocessor: Preprocessor) -> dict[str, tf.Tensor]:
    pixels = radiograph.decode(encoded)
    examined, prepared = preprocessor.examine(pixels)
    size = tf.shape(pixels)[:2]
    scored = examined.scores._asdict()
    return {
        "radiograph": tf.cast((tf.cast(pixels[..., 0], tf.int32) + 128) // 257, tf.uint8),
        "prepared": prepared.image[..., 0],
        "status": prepared.status,
        "prepared_to_original": prepared.prepared_to_original,
        "points": examined.hand.points,
        "mask": tf.cast(_mask(examined, size) > 0.5, tf.uint8) * 255,
        "inverted": examined.whole.found.inverted,
        "is_registered": examined.is_registered,
        **scored,
    }


def _mask(examined: pipeline.Examination, size: tf.Tensor) -> tf.Tensor:
    """float32 [height, width]: of the hand's view, and of the whole radiograph's outside of it."""

    def on_original(plane: tf.Tensor, view: pipeline.View) -> tf.Tensor:
        to_view = geometry.inverse(view.to_original)
        return geometry.warp([plane[tf.newaxis]], to_view, size)[..., 0]

    whole, hand = examined.whole, examined.hand
    seen = on_original(tf.ones_like(hand.found.mask), hand)
    return tf.where(
        seen > 0.99, on_original(hand.found.mask, hand), on_original(whole.found.mask, whole)
    )
