import io
import struct
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import psutil
import pytest
import tensorflow as tf
from conftest import draw_phantom
from PIL import Image

from bone_age_tf.files.limits import MAX_SIDE, MIN_SIDE
from bone_age_tf.preprocessing import decoding as radiograph
from bone_age_tf.preprocessing.rejections import Rejection, rejection_from

HAND = draw_phantom(100, 1, height=120, width=90)


def encode(picture: np.ndarray, ending: str = ".png") -> bytes:
    done, encoded = cv2.imencode(ending, picture)
    assert done
    return encoded.tobytes()


def encode_pil(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def decoded(encoded: bytes) -> np.ndarray:
    return radiograph.decode(tf.constant(encoded)).numpy()[..., 0]


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def jpeg_header(width: int, height: int) -> bytes:
    encoded = bytearray(encode(HAND, ".jpg"))
    frame = encoded.index(b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)


def test_8_bit_png_is_multiplied_by_257() -> None:
    np.testing.assert_array_equal(decoded(encode(HAND)), HAND.astype(np.uint16) * 257)


def test_16_bit_png_is_taken_as_it_is() -> None:
    picture = HAND.astype(np.uint16) * 200 + 7
    np.testing.assert_array_equal(decoded(encode(picture)), picture)


def test_1_bit_png_is_black_and_white() -> None:
    picture = HAND > 100
    np.testing.assert_array_equal(
        decoded(encode_pil(Image.fromarray(picture))), picture.astype(np.uint16) * 65535
    )


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "LA"])
def test_grey_content_of_any_png_kind_keeps_its_levels(mode: str) -> None:
    encoded = encode_pil(Image.fromarray(HAND).convert(mode))
    np.testing.assert_allclose(decoded(encoded) / 257, HAND, atol=1)


def test_alpha_does_not_change_the_grey_levels() -> None:
    clear = np.dstack([HAND, HAND, HAND, np.zeros_like(HAND)])
    np.testing.assert_allclose(decoded(encode_pil(Image.fromarray(clear))) / 257, HAND, atol=1)


def test_colour_becomes_grey_between_its_channels() -> None:
    colour = np.dstack([HAND, HAND // 2, HAND // 4])
    grey = decoded(encode(colour)) / 257
    assert np.all(grey >= HAND // 4 - 1.0)
    assert np.all(grey <= HAND + 1.0)
    assert grey.std() > 1


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_has_the_levels_of_another_decoder(mode: str, progressive: bool) -> None:
    encoded = encode_pil(
        Image.fromarray(HAND).convert(mode), "JPEG", quality=95, progressive=progressive
    )
    reference = np.asarray(Image.open(io.BytesIO(encoded)).convert("L"), np.int32)
    pixels = decoded(encoded)
    assert np.all(pixels % 257 == 0)
    np.testing.assert_allclose(pixels // 257, reference, atol=1)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_usable_file_is_not_rejected(ending: str) -> None:
    assert radiograph.find_rejection(encode(HAND, ending)) is None


@pytest.mark.parametrize("size", [(64, 64), (64, 300), (301, 65)])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_size_is_read_from_the_header(size: tuple[int, int], ending: str) -> None:
    encoded = encode(np.zeros(size, np.uint8), ending)
    assert radiograph.image_size(encoded) == size
    assert radiograph.find_rejection(encoded) is None


def test_size_of_what_is_no_image_is_none() -> None:
    assert radiograph.image_size(b"hello") is None


REJECTED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "short png": (png_header(100, 100)[:20], "too_small"),
    "png signature alone": (png_header(100, 100)[:8], "too_small"),
    "low png": (encode(HAND[: MIN_SIDE - 1]), "too_small"),
    "narrow jpeg": (encode(HAND[:, : MIN_SIDE - 1], ".jpg"), "too_small"),
    "png bomb": (png_header(20_000, 20_000), "too_large"),
    "jpeg bomb": (jpeg_header(65_500, 65_500), "too_large"),
    "png size over int32": (png_header(2**32 - 1, 2**32 - 1), "too_large"),
    "one side too long": (png_header(MAX_SIDE + 1, 64), "too_large"),
    "too many pixels": (png_header(8_000, 5_001), "too_large"),
    "gif": (encode_pil(Image.fromarray(HAND), "GIF"), "not_png_or_jpeg"),
    "tiff": (encode_pil(Image.fromarray(HAND), "TIFF"), "not_png_or_jpeg"),
    "webp": (encode_pil(Image.fromarray(HAND), "WEBP"), "not_png_or_jpeg"),
    "bmp": (encode_pil(Image.fromarray(HAND), "BMP"), "not_png_or_jpeg"),
    "pdf": (b"%PDF-1.7\n1 0 obj\n", "not_png_or_jpeg"),
    "html": (b"<!DOCTYPE html><html></html>", "not_png_or_jpeg"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not_png_or_jpeg"),
    "jpeg signature alone": (b"\xff\xd8\xff", "damaged"),
    "png without pixels": (png_header(100, 100), "damaged"),
    "truncated png": (encode(HAND)[:-200], "damaged"),
    "truncated jpeg": (encode(HAND, ".jpg")[:-200], "damaged"),
}
"""Name -> the bytes, and the reason that they are rejected for."""


@pytest.mark.parametrize("name", REJECTED)
def test_rejected_when_checked(name: str) -> None:
    encoded, reason = REJECTED[name]
    rejection = radiograph.find_rejection(encoded)
    assert rejection is not None
    assert rejection.reason == reason
    assert "\n" not in rejection.explanation


@pytest.mark.parametrize("name", REJECTED)
def test_rejected_when_decoded(name: str) -> None:
    encoded, reason = REJECTED[name]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decoded(encoded)
    assert rejection_from(caught.value).reason == reason


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_a_flipped_bit_in_a_png_is_damage(position: float) -> None:
    encoded = bytearray(encode(HAND))
    encoded[int(len(encoded) * position)] ^= 4
    rejection = radiograph.find_rejection(bytes(encoded))
    assert rejection is not None
    assert rejection.reason == "damaged"


@pytest.mark.parametrize("make", [png_header, jpeg_header])
def test_the_explanation_names_height_and_width(make: Callable[[int, int], bytes]) -> None:
    rejection = radiograph.find_rejection(make(20_000, 30_000))
    assert isinstance(rejection, Rejection)
    assert "30000 x 20000" in rejection.explanation


@pytest.mark.parametrize("name", ["png bomb", "jpeg bomb", "gif", "tiff", "pdf", "html"])
def test_a_bomb_costs_neither_time_nor_memory(name: str) -> None:
    encoded, reason = REJECTED[name]
    radiograph.find_rejection(encoded)  # traces the guard
    process = psutil.Process()
    before = process.memory_info().rss
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        rejection = radiograph.find_rejection(encoded)
        seconds.append(time.perf_counter() - start)
        assert rejection is not None
        assert rejection.reason == reason
    assert process.memory_info().rss - before < 50e6
    assert min(seconds) < 0.05
