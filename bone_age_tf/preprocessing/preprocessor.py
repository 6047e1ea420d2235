"""The whole preprocessing, from a file's bytes to a prepared radiograph, as one object.

`prepare` calls it for every record, and the exported model holds its graph: the same operations, so the
same pixels. It owns the network that finds the hand.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.preprocessing import decoding, geometry, pipeline
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.localizer import weights
from bone_age_tf.preprocessing.localizer.weights import Localizer
from bone_age_tf.preprocessing.pipeline import Examination, Prepared
from bone_age_tf.preprocessing.rejections import Rejection, assertion_text


class Preprocessor:
    """Prepares radiographs with one configuration.

    Called with a scalar string tensor, the bytes of a PNG or JPEG file, eagerly or inside a graph, it gives
    a `Prepared`: `image` uint8 [*config.frame, 1], `status` string, `prepared_to_original` float32 [2, 3].
    """

    def __init__(self, config: PreprocessingConfig) -> None:
        self.config = config

    @functools.cached_property
    def localizer(self) -> Localizer | None:
        """The network that finds the hand, loaded at its first use; None where `method` is `letterbox`.

        Raises `ModelRefusedError` where the configuration names no hand localizer of this version.
        """
        return weights.load(self.config.localizer) if self.config.method == "registered" else None

    def __call__(self, encoded: tf.Tensor) -> Prepared:
        """The prepared radiograph, or in `status` the reason why it is rejected.

        Fails with the assertions of `decoding.guard`, or, where the pixels are damaged, with the
        decoder's `InvalidArgumentError`; `rejections.rejection_from` gives the reason of both.
        """
        pixels = decoding.decode(encoded)
        if self.localizer is None:
            return pipeline.letterbox(pixels, self.config)
        return self.examine(pixels)[1]

    def examine(self, pixels: tf.Tensor) -> tuple[Examination, Prepared]:
        """uint16 [height, width, 1], full scale 65535 -> all intermediate results, and the prepared radiograph.

        Of a configuration whose `method` is `registered`.
        """
        assert self.localizer is not None
        levels = geometry.pyramid(pixels)
        examined = pipeline.examine(levels, self.localizer)
        return examined, pipeline.register(levels, examined, self.config)

    @functools.cached_property
    def graph(self) -> Callable[[bytes], Any]:
        """The preprocessor as a graph that is traced once: takes the bytes of a file, also of TIFF and BMP."""
        return graph_of(self)

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of everything that determines the prepared pixels, as `pipeline.fingerprint`."""
        return pipeline.fingerprint(self.config)

    def save_beside(self, folder: Path) -> None:
        """Copy a localizer other than the shipped one to where `PreprocessingConfig.resolved` looks."""
        weights.keep_beside(self.config, folder)


def graph_of(function: Callable[[tf.Tensor], Any]) -> Callable[[bytes], Any]:
    """A function of one file's bytes (scalar string) as a graph, with `conversion.to_png` in front of it.

    A file that is rejected there raises the `InvalidArgumentError` that the graph would.
    """
    signature = [tf.TensorSpec([], tf.string)]
    graph = tf.function(function, input_signature=signature, autograph=False)

    def call(encoded: bytes) -> Any:
        png = to_png(encoded)
        if isinstance(png, Rejection):
            raise tf.errors.InvalidArgumentError(None, None, assertion_text(*png))
        return graph(png)

    return call
