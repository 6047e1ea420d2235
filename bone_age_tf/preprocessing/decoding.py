"""Encoded file -> pixels: PNG and JPEG, 8 and 16 bits, validated before anything is decoded.

Everything here is TensorFlow operations, so that the exported model validates and decodes by the same
graph as `prepare`. A file that cannot be used fails an assertion whose text
`rejections.rejection_from` reads back.
"""

import functools
import struct
import zlib

import tensorflow as tf

from bone_age_tf.files.limits import MAX_PIXELS, MAX_SIDE, MIN_SIDE, TOO_LARGE
from bone_age_tf.preprocessing.rejections import Rejection, assertion_text, rejection_from

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
_HEADER_BYTES = 24  # PNG: signature 8, chunk length 4, "IHDR" 4, width 4, height 4


def require(condition: tf.Tensor, reason: str, explanation: str, *data: tf.Tensor) -> tf.Operation:
    """An assertion that rejects the file; use it as a control dependency."""
    return tf.debugging.Assert(condition, [assertion_text(reason, explanation), *data])


def guard(encoded: tf.Tensor) -> tf.Tensor:
    """The same encoded bytes, after a check of the magic bytes and of the image size in the header.

    Takes a scalar string. Rejects `empty`, `not_png_or_jpeg`, `too_small` and `too_large`.
    """
    not_empty = require(tf.strings.length(encoded) > 0, "empty", "the file has no content")
    with tf.control_dependencies([not_empty]):
        header = tf.strings.substr(encoded, 0, _HEADER_BYTES)
    is_png = _is_png(header)
    is_known = require(
        is_png | _is_jpeg(header), "not_png_or_jpeg", "the content is neither PNG nor JPEG"
    )
    with tf.control_dependencies([is_known]):
        encoded = tf.identity(encoded)
    height, width = tf.cond(is_png, lambda: _png_size(header), lambda: _jpeg_size(encoded))
    checks = [
        require(
            tf.minimum(height, width) >= MIN_SIDE,
            "too_small",
            f"the shorter side has fewer than {MIN_SIDE} pixels; height and width",
            height,
            width,
        ),
        require(
            (tf.maximum(height, width) <= MAX_SIDE) & (height * width <= MAX_PIXELS),
            "too_large",
            TOO_LARGE,
            height,
            width,
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(encoded)


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar string of PNG or JPEG -> uint16 [height, width, 1], full scale 65535.

    8-bit pixels are multiplied by 257, colour becomes grey. Rejects what `guard` rejects.
    """
    encoded = guard(encoded)
    pixels = tf.cond(
        _is_png(encoded),
        lambda: tf.io.decode_png(encoded, channels=1, dtype=tf.uint16),
        lambda: (
            tf.cast(
                tf.io.decode_jpeg(encoded, channels=1, dct_method="INTEGER_ACCURATE"), tf.uint16
            )
            * 257
        ),
    )
    return tf.ensure_shape(pixels, (None, None, 1))


def find_rejection(encoded: bytes) -> Rejection | None:
    """Why these bytes cannot be prepared, as far as can be determined without decoding the pixels."""
    try:
        _compiled_guard()(encoded)
    except tf.errors.InvalidArgumentError as error:
        return rejection_from(error)
    is_whole = _png_is_whole if encoded.startswith(PNG_SIGNATURE) else _jpeg_is_whole
    if not is_whole(encoded):
        return Rejection("damaged", "the file is truncated or has a wrong checksum")
    return None


def image_size(encoded: bytes) -> tuple[int, int] | None:
    """Height and width from the header of a PNG or JPEG; None where there are none."""
    try:
        if encoded.startswith(PNG_SIGNATURE):
            height, width = _png_size(tf.constant(encoded[:_HEADER_BYTES]))
        else:
            height, width = _jpeg_size(tf.constant(encoded))
    except tf.errors.InvalidArgumentError:
        return None
    return int(height), int(width)


@functools.cache
def _compiled_guard() -> tf.types.experimental.GenericFunction:
    return tf.function(guard, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def _is_png(encoded: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(PNG_SIGNATURE)) == PNG_SIGNATURE


def _is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(JPEG_SIGNATURE)) == JPEG_SIGNATURE


def _png_size(header: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width (int64) from the IHDR chunk; 0 where the header is truncated."""
    padded = tf.strings.substr(header + b"\0" * _HEADER_BYTES, 16, 8)
    octets = tf.cast(tf.io.decode_raw(padded, tf.uint8), tf.int64)
    places = tf.constant([2**24, 2**16, 2**8, 1], tf.int64)
    return tf.reduce_sum(octets[4:] * places), tf.reduce_sum(octets[:4] * places)


def _jpeg_size(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.image.extract_jpeg_shape(encoded, output_type=tf.int32)
    return tf.cast(shape[0], tf.int64), tf.cast(shape[1], tf.int64)


def _png_is_whole(encoded: bytes) -> bool:
    """Whether every chunk up to IEND is there and its checksum holds (PNG specification, 5.3)."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, position)
        end = position + 12 + length
        if end > len(encoded):
            return False
        (checksum,) = struct.unpack_from(">I", encoded, end - 4)
        if zlib.crc32(encoded[position + 4 : end - 4]) != checksum:
            return False
        if kind == b"IEND":
            return True
        position = end
    return False


def _jpeg_is_whole(encoded: bytes) -> bool:
    return b"\xff\xd9" in encoded[-64 * 1024 :]
