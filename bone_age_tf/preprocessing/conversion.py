"""In front of the graph: a file that it does not read becomes a PNG of the same pixels, or is rejected.

| file | what the graph takes |
|---|---|
| PNG; JPEG, grey or RGB | the same bytes |
| TIFF of one page: 1 to 16 bit grey, 8-bit colour or palette | a PNG of its grey levels or colours |
| BMP | a PNG of its colours, by its colour table |
| JPEG of four channels (CMYK, YCCK) | a PNG, in RGB: `(255 - ink)(255 - black) / 255`, without its colour profile |
| DICOM | a PNG, 16-bit grey with bone bright, by `dicom.reader` |
| anything else | rejected, with what to do |

White-is-zero becomes black-is-zero. The size is checked in the header, before pixels are decoded.
"""

import io
import struct
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.reader import read_pixels
from bone_age_tf.files.formats import BMP, DICOM, JPEG, PNG, TIFF, advice, format_of
from bone_age_tf.files.limits import TOO_LARGE, is_too_large
from bone_age_tf.files.quiet import without_messages_of
from bone_age_tf.preprocessing.rejections import Rejection

READ_FORMATS = "DICOM, PNG, JPEG, TIFF or BMP"

_BITS_PER_SAMPLE, _PHOTOMETRIC, _TILE_WIDTH, _TILE_HEIGHT = 258, 262, 322, 323  # tags of TIFF
_WHITE_IS_ZERO = 0
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # Huffman tables, reserved, arithmetic coding conditioning
_UNCOMPRESSED = (0, 3, 6)  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS
_DECODED_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # sequential or progressive, not lossless

# The graph unpacks it at once. Without a filter, for OpenCV tries them out although nothing is packed.
_UNPACKED = (cv2.IMWRITE_PNG_COMPRESSION, 0, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE)


def to_png(encoded: bytes) -> bytes | Rejection:
    """The bytes that the graph takes for a file's bytes. Rejects `not_png_or_jpeg`, `too_large`,
    `damaged`, `multi_page` and `unsupported_pixels`.

    An empty file, and whatever else is wrong with a PNG or JPEG, is left to the graph.
    """
    name = format_of(encoded)
    if not encoded or name == PNG:
        return encoded
    if name == JPEG:
        return _jpeg(encoded)
    reader = READERS.get(name or "")
    if reader is None:
        text = advice(encoded) or f"the content is not that of a {READ_FORMATS} file"
        return Rejection("not_png_or_jpeg", text)
    return _as_png(reader(encoded))


def as_png(pixels: np.ndarray) -> bytes:
    """uint8 or uint16, grey [height, width] or RGB [height, width, 3], as a PNG that keeps every value."""
    native = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    native = native.astype(native.dtype.newbyteorder("="), copy=False)
    return cv2.imencode(".png", native, _UNPACKED)[1].tobytes()


def _as_png(pixels: np.ndarray | Rejection) -> bytes | Rejection:
    return pixels if isinstance(pixels, Rejection) else as_png(pixels)


# === Formats ===


def _jpeg(encoded: bytes) -> bytes | Rejection:
    """The same bytes, but for what TensorFlow's decoder does not take although it is whole."""
    frame = _jpeg_frame(encoded)
    if frame is None:
        return encoded
    marker, precision, channels = frame
    if precision != 8 or marker not in _DECODED_FRAMES:
        text = f"a lossless or {precision}-bit JPEG is not read: save it as PNG"
        return Rejection("unsupported_pixels", text)
    return _as_png(_read(JpegImageFile, encoded)) if channels == 4 else encoded


def _jpeg_frame(encoded: bytes) -> tuple[int, int, int] | None:
    """Marker, bits per sample and channels of the frame header (ITU-T T.81, B.2.2); None: there is none."""
    at = 2
    while at + 10 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES) or marker == 0xF7:  # JPEG-LS
            return marker, encoded[at + 4], encoded[at + 9]
        else:
            at += 2 + struct.unpack_from(">H", encoded, at + 2)[0]
    return None


def _read_bmp(encoded: bytes) -> np.ndarray | Rejection:
    """By OpenCV: Pillow takes a table of black and white for 1-bit pixels, TensorFlow takes none."""
    try:
        height, width, bits, compression, start = _bmp_header(encoded)
    except struct.error:
        return _DAMAGED
    if is_too_large(height, width):
        return _too_large(height, width)
    if compression not in _UNCOMPRESSED:
        return Rejection("unsupported_pixels", "a compressed BMP is not read: save it as PNG")
    row = (width * bits + 31) // 32 * 4
    if not width or start + row * height > len(encoded):
        return _DAMAGED
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return _DAMAGED
    return pixels if pixels.ndim == 2 else pixels[..., 2::-1]


def _bmp_header(encoded: bytes) -> tuple[int, int, int, int, int]:
    """Height, width, bits per pixel, compression and where the pixels start. Raises `struct.error`."""
    (start, size) = struct.unpack_from("<II", encoded, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<4H", encoded, 18)
        return height, width, bits, 0, start
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", encoded, 18)
    return abs(height), abs(width), bits, compression, start


def _read_dicom(encoded: bytes) -> np.ndarray | Rejection:
    pixels = read_pixels(encoded)
    return Rejection(*pixels) if isinstance(pixels, Fault) else pixels


READERS: Mapping[str, Callable[[bytes], np.ndarray | Rejection]] = {
    TIFF: lambda encoded: _read(TiffImageFile, encoded),
    BMP: _read_bmp,
    DICOM: _read_dicom,
}
"""Format -> its reader: a file's bytes -> grey levels or RGB as `as_png` takes them."""


# === Pillow ===


def _read(plugin: type[ImageFile], encoded: bytes) -> np.ndarray | Rejection:
    """Pixels by a plugin of Pillow, called itself: `Image.open` guesses which, and only warns of sizes."""
    text = f"this kind of {plugin.format} is not read: save it as PNG, 8- or 16-bit grey"
    unsupported = Rejection("unsupported_pixels", text)
    with without_messages_of("PIL"):  # of metadata that do not matter here
        try:
            image = plugin(io.BytesIO(encoded))
            rejection = _rejection(image)
            pixels = None if rejection else _pixels(image)
        except Exception as error:  # whatever Pillow stumbled over in a damaged file
            return unsupported if "unknown pixel mode" in str(error) else _DAMAGED
    return (rejection or unsupported) if pixels is None else pixels


def _rejection(image: ImageFile) -> Rejection | None:
    """Why it is not decoded, by its header."""
    sizes = [(image.height, image.width)]
    if isinstance(image, TiffImageFile):
        sizes.append((image.tag_v2.get(_TILE_HEIGHT, 0), image.tag_v2.get(_TILE_WIDTH, 0)))
        if image.is_animated:
            text = "the TIFF has more than one page: save the page of the hand as PNG"
            return Rejection("multi_page", text)
    return next((_too_large(*size) for size in sizes if is_too_large(*size)), None)


def _pixels(image: ImageFile) -> np.ndarray | None:
    """Grey levels or RGB, without alpha; None where Pillow does not give all that the file holds."""
    bits = 8
    if isinstance(image, TiffImageFile):
        bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    if image.mode in ("I;16", "I;16B"):
        return _grey_16(image, bits)
    if bits > 8:  # of colours Pillow gives 8
        return None
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    if image.mode in ("P", "RGB", "CMYK"):
        return np.asarray(image.convert("RGB"))
    return np.asarray(image)[..., :3] if image.mode == "RGBA" else None


def _grey_16(image: ImageFile, bits: int) -> np.ndarray:
    """uint16 of a TIFF, full scale 65535, black is zero: Pillow inverts those of 8 bits, not these."""
    assert isinstance(image, TiffImageFile)
    is_white_zero = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    grey = np.asarray(image).astype(np.uint16)
    if bits == 12:
        grey = (grey << 4) | (grey >> 8)
    return 65535 - grey if is_white_zero else grey


def _too_large(height: int, width: int) -> Rejection:
    return Rejection("too_large", f"{TOO_LARGE} {height} x {width}")


_DAMAGED = Rejection("damaged", "the file is truncated, or its pixels cannot be decoded")
