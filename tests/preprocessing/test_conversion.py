import io
import struct
import time
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import psutil
import pytest
from conftest import draw_phantom, encode
from PIL import Image

from bone_age_tf.preprocessing.conversion import as_png, to_png
from bone_age_tf.preprocessing.rejections import Rejection

HAND = draw_phantom(100, 1, height=121, width=91)
HAND_16 = HAND.astype(np.uint16) * 251 + 7
WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE = 0, 1, 3


def write_tiff(
    samples: np.ndarray, photometric: int, *, bits: int = 8, order: str = "<", **tags: object
) -> bytes:
    """An uncompressed TIFF of one strip, by TIFF 6.0 and not by a library; `tags` are `_NUMBER=value`."""
    content = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    height, width = samples.shape[:2]
    values = {
        **{256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8},
        **{277: 1, 278: height, 279: len(content)},
        **{int(name[1:]): value for name, value in tags.items()},
    }
    first_free = 8 + len(content)
    extra = b""
    entries = b""
    for tag, value in sorted(values.items()):
        if isinstance(value, list):  # SHORTs that lie elsewhere
            entry = struct.pack(f"{order}HHII", tag, 3, len(value), first_free + len(extra))
            extra += struct.pack(f"{order}{len(value)}H", *value)
        else:
            entry = struct.pack(f"{order}HHII", tag, 4, 1, value)
        entries += entry
    directory = struct.pack(f"{order}H", len(values)) + entries + bytes(4)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", first_free + len(extra)) + content + extra + directory


def write_bmp(
    indices: np.ndarray, bits: int, table: list[tuple[int, int, int]], *, compression: int = 0
) -> bytes:
    """A BMP of indices [height, width] into a table of (red, green, blue)."""
    planes = np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :]
    rows = np.packbits(planes.reshape(len(indices), -1), axis=1)[::-1]
    content = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    colours = b"".join(bytes([*colour[::-1], 0]) for colour in table)
    start = 54 + len(colours)
    height, width = indices.shape
    first = b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start)
    sizes = struct.pack("<IiiHHII", 40, width, height, 1, bits, compression, len(content))
    return first + sizes + struct.pack("<iiII", 2835, 2835, len(table), 0) + colours + content


def with_pillow(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pixels_of(encoded: bytes) -> np.ndarray:
    """Pixels that a file becomes: grey [height, width] or RGB [height, width, 3]."""
    png = to_png(encoded)
    assert isinstance(png, bytes), png
    assert png.startswith(b"\x89PNG")
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    return found if found.ndim == 2 else found[..., ::-1]


def reason_of(encoded: bytes) -> str:
    rejection = to_png(encoded)
    assert isinstance(rejection, Rejection)
    assert not set("'\n]") & set(rejection.explanation)  # of the wire format of `rejections`
    return rejection.reason


# === What is read ===


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("picture", [HAND, np.dstack([HAND] * 3)], ids=["grey", "colour"])
def test_png_and_jpeg_stay_byte_for_byte(ending: str, picture: np.ndarray) -> None:
    encoded = encode(picture, ending)
    assert to_png(encoded) is encoded


@pytest.mark.parametrize("encoded", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\x10JFIF"])
def test_what_the_graph_rejects_itself_is_left_to_it(encoded: bytes) -> None:
    assert to_png(encoded) is encoded


@pytest.mark.parametrize(
    "compression", [1, 5, 8, 32773], ids=["none", "lzw", "deflate", "packbits"]
)
@pytest.mark.parametrize("picture", [HAND, HAND_16, np.dstack([HAND, HAND // 2, HAND // 3])])
def test_tiff_of_another_writer_keeps_its_pixels(picture: np.ndarray, compression: int) -> None:
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    written = picture if picture.ndim == 2 else picture[..., ::-1]
    encoded = cv2.imencode(".tif", written, options)[1].tobytes()
    found = pixels_of(encoded)
    assert found.dtype == picture.dtype
    np.testing.assert_array_equal(found, picture)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("picture", "bits"), [(HAND, 8), (HAND_16, 16)])
def test_grey_tiff_of_either_byte_order(picture: np.ndarray, bits: int, order: str) -> None:
    encoded = write_tiff(picture, BLACK_IS_ZERO, bits=bits, order=order)
    np.testing.assert_array_equal(pixels_of(encoded), picture)


@pytest.mark.parametrize(("picture", "bits"), [(HAND, 8), (HAND_16, 16)])
def test_white_is_zero_is_inverted(picture: np.ndarray, bits: int) -> None:
    encoded = write_tiff(np.iinfo(picture.dtype).max - picture, WHITE_IS_ZERO, bits=bits)
    np.testing.assert_array_equal(pixels_of(encoded), picture)


def test_12_bits_become_16_of_the_same_full_scale() -> None:
    levels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    pairs = levels.reshape(64, -1, 2).astype(np.uint32)
    three = (pairs[..., 0] << 12) | pairs[..., 1]
    packed = np.stack([three >> 16, three >> 8, three], axis=2).astype(np.uint8)
    encoded = write_tiff(packed.reshape(64, 96), BLACK_IS_ZERO, bits=12, _256=64)
    found = pixels_of(encoded)
    np.testing.assert_array_equal(found >> 4, levels)
    assert (found[0, 0], found[-1, -1]) == (0, 65535)


def test_palette_of_a_tiff_is_applied() -> None:
    inverted = [257 * (255 - level) for level in range(256)]
    encoded = write_tiff(255 - HAND, PALETTE, _320=inverted * 3)
    np.testing.assert_array_equal(pixels_of(encoded), np.dstack([HAND] * 3))


@pytest.mark.parametrize("mode", ["1", "LA", "RGBA", "CMYK"])
def test_tiff_of_other_modes(mode: str) -> None:
    picture = Image.fromarray(HAND).convert("RGB" if mode == "CMYK" else mode).convert(mode)
    found = pixels_of(with_pillow(picture, "TIFF"))
    expected = np.asarray(picture.convert("L"))
    np.testing.assert_allclose(found if found.ndim == 2 else found[..., 0], expected, atol=1)


def test_tiff_that_lies_on_its_side_is_turned_as_its_tag_says() -> None:
    encoded = write_tiff(np.rot90(HAND), BLACK_IS_ZERO, _274=6)  # row 0 is the right side
    np.testing.assert_array_equal(pixels_of(encoded), HAND)


TABLES = {
    "inverted": (8, [(255 - level,) * 3 for level in range(256)]),
    "16 levels in 4 bits": (4, [(17 * level,) * 3 for level in range(16)]),
    "black and white in 1 bit": (1, [(0, 0, 0), (255, 255, 255)]),
    "white and black in 1 bit": (1, [(255, 255, 255), (0, 0, 0)]),
    "black and white in 8 bits": (8, [(0, 0, 0), (255, 255, 255)]),
    "black and white in 4 bits": (4, [(0, 0, 0), (255, 255, 255)]),
    "identity in 8 bits": (8, [(level,) * 3 for level in range(256)]),
    "colours": (8, [(level, level // 2, 255 - level) for level in range(256)]),
}


@pytest.mark.parametrize("name", TABLES)
def test_colour_table_of_a_bmp_is_applied(name: str) -> None:
    bits, table = TABLES[name]
    indices = (HAND.astype(np.uint32) * len(table) // 256).astype(np.uint8)
    expected = np.array(table, np.uint8)[indices]
    found = pixels_of(write_bmp(indices, bits, table))
    np.testing.assert_array_equal(found if found.ndim == 3 else np.dstack([found] * 3), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_bmp_of_another_writer_keeps_its_pixels(mode: str) -> None:
    colour = Image.fromarray(np.dstack([HAND, HAND // 2, HAND // 3]))
    encoded = with_pillow(colour.convert(mode), "BMP")
    expected = np.asarray(colour.convert("L" if mode == "L" else "RGB"))
    np.testing.assert_array_equal(pixels_of(encoded), expected)


@pytest.mark.parametrize("ink", ["all four", "black alone"])
def test_cmyk_jpeg_has_the_levels_of_the_hand(ink: str) -> None:
    """As Adobe's programs write it: inverted, with their marker."""
    black = np.zeros((*HAND.shape, 4), np.uint8)
    black[..., 3] = 255 - HAND
    grey = Image.fromarray(np.dstack([HAND] * 3)).convert("CMYK")
    picture = grey if ink == "all four" else Image.fromarray(black, "CMYK")
    encoded = with_pillow(picture, "JPEG", quality=100)
    assert b"Adobe" in encoded
    found = pixels_of(encoded).astype(int)
    np.testing.assert_allclose(found, np.dstack([HAND] * 3), atol=3)


def test_ycck_jpeg_is_not_taken_for_cmyk() -> None:
    """By the number in Adobe's marker. Stored are 255 - level, two of no chroma, and 255: no black."""
    samples = np.full((*HAND.shape, 4), 127, np.uint8)
    samples[..., 0], samples[..., 3] = HAND, 0  # Pillow stores 255 - each
    encoded = bytearray(with_pillow(Image.fromarray(samples, "CMYK"), "JPEG", quality=100))
    transform = encoded.index(b"Adobe") + 11
    assert encoded[transform] == 0
    encoded[transform] = 2
    np.testing.assert_allclose(pixels_of(bytes(encoded)), np.dstack([HAND] * 3), atol=4)


# === What is rejected ===


def _two_pages() -> bytes:
    picture = Image.fromarray(HAND)
    return with_pillow(picture, "TIFF", save_all=True, append_images=[picture])


def _jpeg_with_frame(marker: int, precision: int) -> bytes:
    encoded = bytearray(encode(HAND, ".jpg"))
    at = encoded.index(b"\xff\xc0")
    encoded[at + 1], encoded[at + 4] = marker, precision
    return bytes(encoded)


REJECTED = {
    "gif": (with_pillow(Image.fromarray(HAND), "GIF"), "not_png_or_jpeg"),
    "webp": (with_pillow(Image.fromarray(HAND), "WEBP"), "not_png_or_jpeg"),
    "jpeg 2000": (with_pillow(Image.fromarray(HAND), "JPEG2000"), "not_png_or_jpeg"),
    "dicom without content": (bytes(128) + b"DICM" + bytes(500), "not_a_radiograph"),
    "html": (b"<html></html>", "not_png_or_jpeg"),
    "two pages": (_two_pages(), "multi_page"),
    "tiff of floats": (
        cv2.imencode(".tif", HAND / np.float32(255))[1].tobytes(),
        "unsupported_pixels",
    ),
    "tiff of signed": (write_tiff(HAND_16 // 2, 1, bits=16, _339=2), "unsupported_pixels"),
    "tiff of 16-bit colour": (
        cv2.imencode(".tif", np.dstack([HAND_16] * 3))[1].tobytes(),
        "unsupported_pixels",
    ),
    "tiff of two bytes": (write_tiff(HAND, 1, bits=8)[:40], "damaged"),
    "tiff cut short": (write_tiff(HAND, 1, bits=8)[:-60], "damaged"),
    "deflated tiff cut short": (
        with_pillow(Image.fromarray(HAND), "TIFF", compression="tiff_deflate")[:300],
        "damaged",
    ),
    "tiff bomb": (write_tiff(HAND, 1, bits=8, _256=20_000, _257=20_000), "too_large"),
    "tile bomb": (write_tiff(HAND, 1, _322=40_000, _323=40_000, _324=8, _325=100), "too_large"),
    "bmp bomb": (
        write_bmp(HAND, 8, [(0, 0, 0)] * 256).replace(
            struct.pack("<ii", 91, 121), struct.pack("<ii", 30_000, 30_000)
        ),
        "too_large",
    ),
    "bmp cut short": (write_bmp(HAND, 8, [(0, 0, 0)] * 256)[:-1], "damaged"),
    "bmp header alone": (write_bmp(HAND, 8, [(0, 0, 0)] * 256)[:24], "damaged"),
    "compressed bmp": (write_bmp(HAND, 8, [(0, 0, 0)] * 256, compression=1), "unsupported_pixels"),
    "cmyk cut short": (
        with_pillow(Image.fromarray(HAND).convert("CMYK"), "JPEG")[:-400],
        "damaged",
    ),
    "12-bit jpeg": (_jpeg_with_frame(0xC1, 12), "unsupported_pixels"),
    "lossless jpeg": (_jpeg_with_frame(0xC3, 8), "unsupported_pixels"),
}
"""Name -> the bytes, and the reason that they are rejected for."""


@pytest.mark.parametrize("name", REJECTED)
def test_what_is_not_read_has_a_reason(name: str) -> None:
    encoded, reason = REJECTED[name]
    assert reason_of(encoded) == reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("webp", "a WebP: save it as PNG"),
        ("dicom without content", "not a radiograph"),
        ("two pages", "more than one page: save the page of the hand as PNG"),
        ("12-bit jpeg", "12-bit JPEG is not read: save it as PNG"),
        ("tiff of floats", "save it as PNG"),
        ("tiff bomb", "height and width 20000 x 20000"),
        ("html", "not that of a DICOM, PNG, JPEG, TIFF or BMP file"),
    ],
)
def test_the_reason_names_what_to_do(name: str, words: str) -> None:
    rejection = to_png(REJECTED[name][0])
    assert isinstance(rejection, Rejection)
    assert words in rejection.explanation


@pytest.mark.parametrize("name", ["tiff bomb", "tile bomb", "bmp bomb", "two pages"])
def test_a_bomb_costs_neither_time_nor_memory(name: str) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    start = time.perf_counter()
    to_png(REJECTED[name][0])
    assert time.perf_counter() - start < 0.5
    assert process.memory_info().rss - before < 50e6


WHOLE: dict[str, Callable[[], bytes]] = {
    "tiff": lambda: write_tiff(HAND, BLACK_IS_ZERO),
    "deflated tiff": lambda: with_pillow(Image.fromarray(HAND), "TIFF", compression="tiff_deflate"),
    "bmp": lambda: write_bmp(HAND, 8, [(level,) * 3 for level in range(256)]),
    "cmyk": lambda: with_pillow(Image.fromarray(HAND).convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_random_damage_is_an_answer_and_no_crash(name: str) -> None:
    whole = WHOLE[name]()
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            spoilt = bytearray(whole)
            for at in rng.integers(0, min(len(spoilt), 400), 4):
                spoilt[at] = rng.integers(256)
            for at in rng.integers(0, len(spoilt), 2):
                spoilt[at] ^= 1 << rng.integers(8)
            assert isinstance(to_png(bytes(spoilt)), bytes | Rejection)


def test_arrays_become_png_with_every_value() -> None:
    colour = np.dstack([HAND_16, HAND_16 // 2, HAND_16 // 3])
    for pixels in (HAND, HAND_16, HAND_16.astype(">u2"), colour, HAND[:, ::2]):
        np.testing.assert_array_equal(pixels_of(as_png(pixels)), pixels)
