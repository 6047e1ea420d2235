"""The record contract: what one prepared radiograph is, in memory and in a TFRecord.

| feature           | type    | meaning                                                        |
|-------------------|---------|----------------------------------------------------------------|
| `id`              | string  | the identifier of the label table                              |
| `image`           | string  | prepared radiograph, uint8 [height, width, 1], background 0:   |
|                   |         | `png` its PNG, `raw` its pixels row by row, height x width     |
|                   |         | bytes; the data set's manifest says which                      |
| `variants`        | strings | the same radiograph with other grey levels, each like `image`; |
|                   |         | absent where the data set has none. Shown in training alone    |
| `sex`             | int64   | index into `sex.SEX_NAMES`: F, M, unknown                      |
| `bone_age_months` | float32 | 0 to 240, NaN where the radiograph has no label                |

All code that reads or writes records imports the names from here.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bone_age_tf.sex import Sex

if TYPE_CHECKING:  # slow to import, and the names are used without it
    import tensorflow as tf

ID = "id"
IMAGE = "image"
VARIANTS = "variants"
SEX = "sex"
BONE_AGE_MONTHS = "bone_age_months"
BONE_AGE_LOW = "bone_age_low_months"
BONE_AGE_HIGH = "bone_age_high_months"
"""Ends of the prediction interval, where a model has one."""
BOY_PROBABILITY = "boy_probability"

ENCODINGS = ("png", "raw")
"""What the bytes of `image` are; the same in all records of a data set."""

MAX_BONE_AGE_MONTHS = 240.0


def serialize(
    *, id: str, image: bytes, sex: Sex, bone_age_months: float, variants: Sequence[bytes] = ()
) -> bytes:
    """One record as the bytes of a `tf.train.Example`, equal for equal arguments.

    `image` and `variants` are in one of `ENCODINGS`; it and their number are the same for every record
    of a data set.
    """
    import tensorflow as tf

    feature = {
        ID: _bytes_feature(id.encode()),
        IMAGE: _bytes_feature(image),
        SEX: tf.train.Feature(int64_list=tf.train.Int64List(value=[int(sex)])),
        BONE_AGE_MONTHS: tf.train.Feature(float_list=tf.train.FloatList(value=[bone_age_months])),
    }
    if variants:
        feature[VARIANTS] = _bytes_feature(*variants)
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def parse_batch(serialized: "tf.Tensor") -> "dict[str, tf.Tensor]":
    """`id`, `image` (still encoded), `sex` (int64) and `bone_age_months` of records, each [N].

    `serialized` is string [N]. Variants are skipped.
    """
    import tensorflow as tf

    return tf.io.parse_example(  # type: ignore[return-value]  # the stub allows for sparse ones
        serialized,
        {
            ID: tf.io.FixedLenFeature([], tf.string),
            IMAGE: tf.io.FixedLenFeature([], tf.string),
            SEX: tf.io.FixedLenFeature([], tf.int64),
            BONE_AGE_MONTHS: tf.io.FixedLenFeature([], tf.float32),
        },
    )


def parse_variants(serialized: "tf.Tensor", count: int) -> "tf.Tensor":
    """The `count` variants of records, string [N, count]; the rest is skipped.

    `serialized` is string [N]. Raises `tf.errors.InvalidArgumentError` where a record has another number.
    """
    import tensorflow as tf

    feature = {VARIANTS: tf.io.FixedLenFeature([count], tf.string)}
    return tf.io.parse_example(serialized, feature)[VARIANTS]  # type: ignore[return-value]


def parse_labels(serialized: "tf.Tensor") -> "dict[str, tf.Tensor]":
    """`id`, `sex` (int64) and `bone_age_months` of records, each [N]; their images are skipped.

    `serialized` is string [N].
    """
    import tensorflow as tf

    return tf.io.parse_example(  # type: ignore[return-value]  # the stub allows for sparse ones
        serialized,
        {
            ID: tf.io.FixedLenFeature([], tf.string),
            SEX: tf.io.FixedLenFeature([], tf.int64),
            BONE_AGE_MONTHS: tf.io.FixedLenFeature([], tf.float32),
        },
    )


def decode_images(images: "tf.Tensor", frame: tuple[int, int], encoding: str) -> "tf.Tensor":
    """The records' `image`, string [N], as uint8 [N, height, width, 1] of the given frame.

    Raises `ValueError` for an encoding that is not one of `ENCODINGS`, and
    `tf.errors.InvalidArgumentError` where an image is not of that encoding or has another size.
    """
    import tensorflow as tf

    if encoding == "raw":
        return _reshaped(images, frame)
    if encoding == "png":
        kind = tf.TensorSpec((*frame, 1), tf.uint8)
        return tf.map_fn(
            functools.partial(_decode_png, frame=frame), images, fn_output_signature=kind
        )
    raise ValueError(
        f"The encoding of a record's image must be one of {', '.join(ENCODINGS)}. "
        f"Received: {encoding!r}. Prepare the data set again with this version."
    )


def _decode_png(image: "tf.Tensor", frame: tuple[int, int]) -> "tf.Tensor":
    import tensorflow as tf

    return tf.ensure_shape(tf.io.decode_png(image, channels=1), (*frame, 1))


def _reshaped(images: "tf.Tensor", frame: tuple[int, int]) -> "tf.Tensor":
    """Raw pixels in one go."""
    import tensorflow as tf

    height, width = frame
    has_size = tf.debugging.assert_equal(
        tf.strings.length(images),
        height * width,
        f"A record's image has the wrong size. Expected: {height} x {width} raw pixels, "
        f"{height * width} bytes. Prepare the data set again. Received, in bytes:",
    )
    with tf.control_dependencies([has_size]):
        pixels = tf.io.decode_raw(images, tf.uint8)
    return tf.reshape(pixels, [tf.shape(images)[0], height, width, 1])


def _bytes_feature(*values: bytes) -> "tf.train.Feature":
    import tensorflow as tf

    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
