"""The elements of a DICOM file's header, as bytes: bounded, silent, and without its pixels.

Values are taken from their bytes, not through pydicom's conversions, which warn of what is odd or
raise. What is odd is as good as absent.
"""

import io
import re
import struct
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from bone_age_tf.dicom import packages

PixelData = Literal["there", "absent", "empty", "float"]

MAX_READS = 50_000
"""By pydicom, of one header, two or three an element. It takes sequences apart that nobody asked for:
8 MB of empty items are 20 seconds and 650 MB."""

_SEQUENCE_BYTES, _TEXT_BYTES = 2**16, 1024
_PIXELS: Mapping[int, PixelData] = {
    0x7FE00010: "there",
    0x7FE00008: "float",
    0x7FE00009: "float",
}
_ITEM = b"\xfe\xff\x00\xe0"
_UNDEFINED = 0xFFFFFFFF
_WORDS = ("IS", "DS", "LO", "SH", "CS")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
_CODE_STRING = re.compile(r"[A-Z0-9 _]{1,16}")


class Elements:
    """The elements of a data set of pydicom."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def has(self, keyword: str) -> bool:
        """Whether the element is there, with a value or without."""
        return keyword in self.dataset

    def text(self, keyword: str) -> str:
        """Without padding; characters outside the default repertoire by Specific Character Set."""
        value = self._bytes(keyword)[:_TEXT_BYTES]
        is_plain = value.isascii() and b"\x1b" not in value  # escapes to Japanese are ASCII
        text = value.decode("ascii" if is_plain else self._encoding(), errors="replace")
        return text.strip(" \0")

    def code(self, keyword: str) -> str:
        """A Code String, in capitals; empty where it is not one."""
        text = self.text(keyword).upper()
        return text if _CODE_STRING.fullmatch(text) else ""

    def count(self, keyword: str, *, absent: int = 0) -> int:
        """A whole number, as Unsigned Short or in words; 0 where it is neither."""
        value = self._bytes(keyword)
        if not value.strip(b" \0") and len(value) != 2:
            return absent
        element = self.dataset.get_item(keyword)
        if element.VR in _WORDS or (element.VR is None and keyword == "NumberOfFrames"):
            text = self.text(keyword)
            return int(text) if _WHOLE_NUMBER.fullmatch(text) else 0
        order = "<" if element.is_little_endian else ">"
        return struct.unpack(f"{order}H", value)[0] if len(value) == 2 else 0

    def meaning(self, keyword: str) -> str:
        """Code Meaning of the first item of a code sequence."""
        if not self.has(keyword) or len(self._bytes(keyword)) > _SEQUENCE_BYTES:
            return ""
        items = self.dataset[keyword].value
        return Elements(items[0]).text("CodeMeaning") if items else ""

    def _bytes(self, keyword: str) -> bytes:
        element = self.dataset.get_item(keyword) if keyword in self.dataset else None
        value = getattr(element, "value", None)
        if isinstance(value, bytes):
            return value
        # pydicom converts some at once: the transfer syntax, the character set
        texts = [value] if isinstance(value, str) else value or []
        is_text = all(isinstance(text, str) for text in texts)
        return "\\".join(texts).encode("ascii", "replace") if is_text else b""

    def _encoding(self) -> str:
        names = self._bytes("SpecificCharacterSet").decode("ascii", "replace").split("\\")
        encodings = packages.pydicom().charset.python_encoding  # type: ignore[union-attr]
        known = [encodings[name.strip(" \0")] for name in names if name.strip(" \0") in encodings]
        return known[-1] if known else "latin-1"


class Found(NamedTuple):
    """What is before the pixels, and whether there are any."""

    elements: Elements
    meta: Elements
    """The meta header (group 2)."""
    pixel_data: PixelData
    transfer_syntax: str
    """UID; without a meta header what the bytes show, empty if the pixels are compressed."""
    has_preamble: bool


def read_elements(file: bytes, keywords: tuple[str, ...], *, max_reads: int = MAX_READS) -> Found:
    """These elements of a file that is not deflated. Raises whatever pydicom does of a damaged one."""
    pydicom: Any = packages.pydicom()
    pixels: list[tuple[int, int]] = []

    def is_pixel_data(tag: int, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            pixels.append((tag, length))
        return tag in _PIXELS

    stream = _CountedReads(file)
    stream.left = max_reads
    tags = [pydicom.datadict.tag_for_keyword(keyword) for keyword in keywords]
    dataset = pydicom.filereader.read_partial(stream, is_pixel_data, force=True, specific_tags=tags)
    tag, length = pixels[-1] if pixels else (0, 0)
    return Found(
        Elements(dataset),
        Elements(dataset.file_meta),
        _pixel_data(tag, length, file, stream.tell()) if pixels else "absent",
        _transfer_syntax(dataset, is_compressed=length == _UNDEFINED),
        dataset.preamble is not None,
    )


class _CountedReads(io.BytesIO):
    """A file that stops a reader which takes it apart into millions of elements."""

    left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError("too many elements")
        return super().read(size)


def _pixel_data(tag: int, length: int, file: bytes, at: int) -> PixelData:
    """`at`: where the element begins."""
    if _PIXELS[tag] != "there":
        return _PIXELS[tag]
    if length == _UNDEFINED:
        return "there" if _has_fragment(file, file.find(_ITEM, at, at + 32)) else "empty"
    return "there" if length else "empty"


def _has_fragment(file: bytes, at: int) -> bool:
    """Whether an item that is not empty follows the offset table, which is the item at `at` (PS3.5, A.4)."""
    if at < 0 or at + 8 > len(file):
        return False
    at += 8 + struct.unpack_from("<L", file, at + 4)[0]
    if file[at : at + 4] != _ITEM or at + 8 > len(file):
        return False
    return struct.unpack_from("<L", file, at + 4)[0] > 0


def _transfer_syntax(dataset: Any, *, is_compressed: bool) -> str:
    stated = Elements(dataset.file_meta).text("TransferSyntaxUID")
    if stated or is_compressed:
        return stated
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return "1.2.840.10008.1.2"
    return "1.2.840.10008.1.2.1" if is_little_endian else "1.2.840.10008.1.2.2"
