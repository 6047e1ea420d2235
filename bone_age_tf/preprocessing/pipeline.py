"""The order of the steps, their version and their fingerprint.

`prepare_radiograph` is the one way from a file's bytes to a prepared radiograph: `prepare` calls it
for every record, and the exported model holds it.
"""

import functools
import hashlib
import json

import tensorflow as tf

from bone_age_tf import config as configuration
from bone_age_tf import radiograph
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.preprocessing import geometry, intensity

VERSION = 1
"""Raised whenever the same file would give other pixels."""


def prepare_radiograph(encoded: tf.Tensor, config: PreprocessingConfig) -> tf.Tensor:
    """Scalar string of PNG or JPEG -> uint8 [*config.frame, 1].

    Fails with the refusals of `radiograph.guard`, with `blank`, or, where the pixels are damaged,
    with the decoder's `InvalidArgumentError`.
    """
    pixels = geometry.fit(radiograph.decode(encoded), config.frame)
    if config.method == "letterbox":
        view = geometry.fit(pixels, (intensity.POLARITY_SIDE, intensity.POLARITY_SIDE))
        pixels = intensity.correct_polarity(pixels, view)
        grey = intensity.stretch(pixels, config.low_percentile, config.high_percentile)
    else:
        grey = tf.cast((pixels + 128) // 257, tf.uint8)
    return geometry.centre(grey, config.frame)


@functools.cache
def compiled(config: PreprocessingConfig) -> tf.types.experimental.GenericFunction:
    """`prepare_radiograph` for one configuration, traced once."""
    return tf.function(
        lambda encoded: prepare_radiograph(encoded, config),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )


def fingerprint(config: PreprocessingConfig) -> str:
    """sha256 of all that decides a prepared pixel; equal fingerprints, equal pixels."""
    content = {"version": VERSION, **configuration.to_dict(config)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
