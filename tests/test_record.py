import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.cli.prepare import prepare
from bone_age_tf.config import PrepareConfig
from bone_age_tf.record import ENCODINGS
from bone_age_tf.sex import Sex

FRAME = (6, 4)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, *FRAME, 1), np.uint8)
Decode = Callable[[tf.Tensor], tf.Tensor]


def _encode(pixels: np.ndarray, encoding: str) -> bytes:
    return pixels.tobytes() if encoding == "raw" else tf.io.encode_png(pixels).numpy()


def _decoder(encoding: str, mode: str) -> Decode:
    def decode(images: tf.Tensor) -> tf.Tensor:
        return record.decode_images(images, FRAME, encoding)

    if mode == "eager":
        return decode
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(decode, input_signature=signature, autograph=False)


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["eager", "graph"])
def decode(request: pytest.FixtureRequest, encoding: str) -> Decode:
    return _decoder(encoding, request.param)


# === Whole records ===


def test_a_batch_of_records_is_what_was_serialized(encoding: str) -> None:
    images = [_encode(pixels, encoding) for pixels in PIXELS[:3]]
    rows = [("1000", Sex.F, 90.5), ("hånd", Sex.M, math.nan), ("x", Sex.UNKNOWN, 0.0)]
    serialized = [
        record.serialize(id=id, image=image, sex=sex, bone_age_months=months)
        for (id, sex, months), image in zip(rows, images, strict=True)
    ]
    parsed = record.parse_batch(tf.constant(serialized))
    assert [id.decode() for id in parsed[record.ID].numpy()] == ["1000", "hånd", "x"]
    assert parsed[record.IMAGE].numpy().tolist() == images
    assert parsed[record.SEX].dtype == tf.int64
    assert parsed[record.SEX].numpy().tolist() == [Sex.F, Sex.M, Sex.UNKNOWN]
    np.testing.assert_array_equal(parsed[record.BONE_AGE_MONTHS], np.float32([90.5, np.nan, 0]))


def test_no_records_are_an_empty_batch() -> None:
    parsed = record.parse_batch(tf.constant([], tf.string))
    assert {name: column.shape.as_list() for name, column in parsed.items()} == {
        record.ID: [0],
        record.IMAGE: [0],
        record.SEX: [0],
        record.BONE_AGE_MONTHS: [0],
    }


# === Images ===


def test_a_batch_of_images_is_every_image_by_itself(encoding: str, decode: Decode) -> None:
    images = [_encode(pixels, encoding) for pixels in PIXELS]
    decoded = decode(tf.constant(images))
    assert decoded.dtype == tf.uint8
    np.testing.assert_array_equal(decoded, PIXELS)
    for image, row in zip(images, decoded, strict=True):
        np.testing.assert_array_equal(decode(tf.constant([image]))[0], row)


def test_no_images_have_the_frame_nevertheless(decode: Decode) -> None:
    decoded = decode(tf.constant([], tf.string))
    assert decoded.shape == (0, *FRAME, 1)
    assert decoded.dtype == tf.uint8


def test_the_frame_is_known_before_anything_is_decoded(encoding: str) -> None:
    images = tf.data.Dataset.from_tensors([_encode(PIXELS[0], encoding)]).unbatch().batch(2)
    decoded = images.map(_decoder(encoding, "eager"))
    assert decoded.element_spec == tf.TensorSpec((None, *FRAME, 1), tf.uint8)


@pytest.mark.parametrize(
    "sizes",
    [[(6, 3)], [(3, 4), (3, 4)], [(6, 4), (6, 3)], [(12, 4)]],
    ids=["narrow", "halves-that-make-a-whole", "one-of-two", "two-in-one"],
)
def test_images_of_another_size_are_rejected(
    encoding: str, decode: Decode, sizes: list[tuple[int, int]]
) -> None:
    images = [_encode(np.zeros((*size, 1), np.uint8), encoding) for size in sizes]
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant(images))


def test_the_other_encoding_is_rejected(encoding: str, decode: Decode) -> None:
    (other,) = set(ENCODINGS) - {encoding}
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant([_encode(PIXELS[0], other)]))


def test_the_message_says_which_size_was_expected_and_received() -> None:
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"6 x 4 raw pixels, 24 bytes(.|\n)*23"
    ):
        record.decode_images(tf.constant([bytes(23)]), FRAME, "raw")


def test_an_unknown_encoding_is_rejected_by_name() -> None:
    with pytest.raises(ValueError, match="one of png, raw. Received: 'jpeg'"):
        record.decode_images(tf.constant([b""]), FRAME, "jpeg")


def test_prepare_offers_the_encodings_of_a_record() -> None:
    """`config` and `cli` name them again, so as not to wait for TensorFlow."""
    (option,) = (option for option in prepare.params if option.name == "encoding")
    assert tuple(option.type.choices) == ENCODINGS
    for encoding in ENCODINGS:
        assert PrepareConfig(source="raw", output="out", encoding=encoding).encoding == encoding
