"""What a file is, by its first bytes and not by its name: the formats of images, and likely mistakes."""

import re
from collections.abc import Mapping

HEAD_BYTES = 256
"""As many bytes of a file tell what it is."""

PNG, JPEG, TIFF, BMP, DICOM = "PNG", "JPEG", "TIFF", "BMP", "DICOM"

_SIGNATURES: Mapping[str, bytes] = {
    # First, since the preamble of 128 bytes may be the header of a TIFF of the same pixels.
    # With the preamble, or from the first element on: group 2 or 8, then a VR or a small length.
    DICOM: rb".{128}DICM|[\x02\x08]\0.\0(?:[A-Z]{2}|[\x02-\x40]\0\0\0)",
    PNG: rb"\x89PNG\r\n\x1a\n",
    JPEG: rb"\xff\xd8\xff",
    TIFF: rb"II[*+]\0|MM\0[*+]",
    BMP: rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",  # with the size of the second header
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF.{4}WEBP",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "HEIC": rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "AVIF": rb".{4}ftypavi[fs]",
    "PSD": rb"8BPS\0",
    "OpenEXR": rb"v/1\x01",
    "JPEG XR": rb"II\xbc\x01",
}
_DICOMDIR = re.compile(rb".{128}DICM.{12,64}1\.2\.840\.10008\.1\.3\.10\x02", re.DOTALL)
_FORMATS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _SIGNATURES.items()}

_MISTAKES: Mapping[bytes, str] = {
    b"iVBORw0KGgo": "the bytes are base64 text of a PNG: encoded twice",
    b"/9j/": "the bytes are base64 text of a JPEG: encoded twice",
    b"\x93NUMPY": "the bytes are a NumPy file, not a picture",
    b"[": "the bytes look like a JSON list, not a picture",
    b"data:image": "the bytes are a data URL: send what follows the comma, as base64",
    b"%PDF": "the file is a PDF: save the picture in it as PNG or JPEG",
    b"PK\x03\x04": "the file is a zip, or a document that is one: unpack it, or save the picture in it as PNG",
}
"""First bytes of what is no image -> what was probably meant."""


def format_of(encoded: bytes) -> str | None:
    """The name of an image's format, from the whole file or its first `HEAD_BYTES`; None: no image."""
    head = encoded[:HEAD_BYTES]
    return next((name for name, pattern in _FORMATS.items() if pattern.match(head)), None)


def is_dicomdir(encoded: bytes) -> bool:
    """Whether it is the table of contents of a DICOM medium, by its class in the meta header."""
    return _DICOMDIR.match(encoded[:HEAD_BYTES]) is not None


def advice(encoded: bytes) -> str:
    """What a file is that cannot be read, and what to do; empty where it is not known."""
    name = format_of(encoded)
    if name is not None:
        return f"the file is {_with_article(name)}: save it as PNG"
    return next((text for first, text in _MISTAKES.items() if encoded.startswith(first)), "")


def _with_article(name: str) -> str:
    return f"an {name}" if name[0] in "AO" else f"a {name}"
