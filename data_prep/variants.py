"""Variants of a radiograph: the same hand in the same place, with the grey levels of other devices.

Registration and background are those of the radiograph as it is, found once, so that no variant is
rejected. The processing is that of the raw pixels, and each variant's contrast is computed anew.
"""

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data.processing import random_processing
from bone_age_tf.preprocessing import decoding, geometry, pipeline
from bone_age_tf.preprocessing.intensity import FULL_SCALE
from bone_age_tf.preprocessing.preprocessor import Preprocessor, graph_of
from bone_age_tf.preprocessing.rejections import OK

_PIXELS = tf.TensorSpec((None, None, 1), tf.uint16)


class Found(NamedTuple):
    """What is known of a radiograph after its preparation."""

    pixels: tf.Tensor
    """uint16 [height, width, 1], as in the file."""
    is_inverted: tf.Tensor
    """bool scalar: bone is dark."""
    image: tf.Tensor
    """The prepared radiograph, uint8 [*frame, 1]."""
    status: tf.Tensor
    """String scalar: `ok`, or why it is rejected."""
    examined: Any
    """`pipeline.Examination`; () where `method` is `letterbox`."""


class Variants:
    """Prepares radiographs and variants of them, with one configuration."""

    def __init__(self, config: PreprocessingConfig) -> None:
        self._preprocessor = Preprocessor(config)
        self._find = graph_of(self._examine if config.method == "registered" else self._letterbox)
        self._again: Any = None
        self._lock = threading.Lock()

    def find(self, encoded: bytes) -> Found:
        """Prepare the radiograph as it is. Fails as a `Preprocessor` does."""
        return self._find(encoded)

    def make(self, found: Found, sha256: str, count: int) -> Iterator[tf.Tensor]:
        """`count` variants of a radiograph that is not rejected, uint8 [*frame, 1] each.

        `sha256`, of the file, decides their processing: number n is the same whatever the count.
        """
        assert found.status == OK
        again = self._graph(found)
        bright = _as_picture(found.pixels.numpy(), is_inverted=bool(found.is_inverted))
        for number in range(count):
            rng = np.random.default_rng([int(sha256, 16), number])
            yield again(_as_pixels(random_processing(bright, rng)), found.image, found.examined)

    def _graph(self, found: Found) -> Any:
        """A graph with one signature for radiographs of every size: pixels depend on what it knows of shapes."""
        with self._lock:
            if self._again is None:
                examined = tf.nest.map_structure(tf.TensorSpec.from_tensor, found.examined)
                self._again = tf.function(
                    self._prepare_again,
                    input_signature=[_PIXELS, tf.TensorSpec.from_tensor(found.image), examined],
                    autograph=False,
                )
        return self._again

    def _examine(self, encoded: tf.Tensor) -> Found:
        pixels = decoding.decode(encoded)
        examined, prepared = self._preprocessor.examine(pixels)
        is_raw = tf.logical_not(examined.is_registered)
        is_inverted = (examined.whole.found.inverted > 0.5) & is_raw
        return Found(pixels, is_inverted, prepared.image, prepared.status, examined)

    def _letterbox(self, encoded: tf.Tensor) -> Found:
        pixels = decoding.decode(encoded)
        prepared = pipeline.letterbox(pixels, self._preprocessor.config)
        is_inverted = pipeline.is_inverted(geometry.fit(pixels, self._preprocessor.config.frame))
        return Found(pixels, is_inverted, prepared.image, prepared.status, ())

    def _prepare_again(self, pixels: tf.Tensor, image: tf.Tensor, examined: Any) -> tf.Tensor:
        """The variant of these pixels, bone bright; `image` is the prepared radiograph."""
        config = self._preprocessor.config
        if not examined:
            return pipeline.letterbox(pixels, config, is_bright=True).image
        whole = examined.whole._replace(
            found=examined.whole.found._replace(inverted=tf.constant(0.0))
        )
        levels = geometry.pyramid(pixels)
        variant = pipeline.register(levels, examined._replace(whole=whole), config).image
        is_background = examined.is_registered & (image == 0)  # nothing else removes it there
        return tf.where(is_background, tf.zeros_like(variant), variant)


def _as_picture(pixels: np.ndarray, *, is_inverted: bool) -> np.ndarray:
    """uint16 [height, width, 1] -> float32 [height, width] from 0 to 1, bone bright."""
    picture = pixels[..., 0].astype(np.float32) / FULL_SCALE
    return 1 - picture if is_inverted else picture


def _as_pixels(picture: np.ndarray) -> np.ndarray:
    return np.round(np.clip(picture, 0, 1) * FULL_SCALE).astype(np.uint16)[..., np.newaxis]
