"""The record contract: what one prepared radiograph is, in memory and in a TFRecord.

| feature           | type    | meaning                                                        |
|-------------------|---------|----------------------------------------------------------------|
| `id`              | string  | the identifier of the label table                              |
| `image`           | PNG     | prepared radiograph, uint8 [height, width, 1], background 0    |
| `sex`             | int64   | index into `SEX_NAMES`: F, M, unknown                          |
| `bone_age_months` | float32 | 0 to 240, NaN where the radiograph has no label                |

Everything that reads or writes a record imports the names from here.
"""

import enum

import tensorflow as tf

ID = "id"
IMAGE = "image"
SEX = "sex"
BONE_AGE_MONTHS = "bone_age_months"

MAX_BONE_AGE_MONTHS = 240.0


class Sex(enum.IntEnum):
    """Sex as the model reads it; at every edge it is one of `SEX_NAMES`."""

    F = 0
    M = 1
    UNKNOWN = 2

    @property
    def label(self) -> str:
        """`F`, `M` or `unknown`."""
        return SEX_NAMES[self]


SEX_NAMES = ("F", "M", "unknown")


def sex_from_label(label: str) -> Sex:
    """The sex that one of `SEX_NAMES` stands for. Raises `ValueError` for any other text."""
    return Sex(SEX_NAMES.index(label))


def serialize(*, id: str, image_png: bytes, sex: Sex, bone_age_months: float) -> bytes:
    """One record as the bytes of a `tf.train.Example`, equal for equal arguments."""
    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                ID: _bytes_feature(id.encode()),
                IMAGE: _bytes_feature(image_png),
                SEX: tf.train.Feature(int64_list=tf.train.Int64List(value=[int(sex)])),
                BONE_AGE_MONTHS: tf.train.Feature(
                    float_list=tf.train.FloatList(value=[bone_age_months])
                ),
            }
        )
    )
    return example.SerializeToString(deterministic=True)


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scalars `id`, `image` (PNG bytes), `sex` (int64), `bone_age_months` of one record."""
    return tf.io.parse_single_example(
        serialized,
        {
            ID: tf.io.FixedLenFeature([], tf.string),
            IMAGE: tf.io.FixedLenFeature([], tf.string),
            SEX: tf.io.FixedLenFeature([], tf.int64),
            BONE_AGE_MONTHS: tf.io.FixedLenFeature([], tf.float32),
        },
    )


def decode_image(image_png: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """The record's PNG as uint8 [height, width, 1] of the given frame."""
    return tf.ensure_shape(tf.io.decode_png(image_png, channels=1), (*frame, 1))


def _bytes_feature(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
