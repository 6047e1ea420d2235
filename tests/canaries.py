"""DICOM files whose every identifying attribute holds a canary, and the search for canaries in what was written."""

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from conftest import draw_phantom
from dicom_files import dataset_of
from pydicom.config import disable_value_validation
from pydicom.datadict import (
    DicomDictionary,
    dictionary_is_retired,
    dictionary_keyword,
    dictionary_VR,
)
from pydicom.dataset import Dataset, FileDataset

ROOT_UID = "1.2.840.4987654321"
STUDY_DATE, BIRTH_DATE, TIME = "19871113", "19771113", "113355"
_VALUES = {
    **{"PN": "CANARYPN^Jane", "LO": "CANARYLO", "SH": "CANARYSH", "AE": "CANARYAE"},
    **{"ST": "CANARYST", "LT": "CANARYLT", "UT": "CANARYUT", "UC": "CANARYUC"},
    **{"UR": "http://canary.example/", "UI": f"{ROOT_UID}.1"},
    **{"DA": STUDY_DATE, "TM": f"{TIME}.987", "DT": f"{STUDY_DATE}{TIME}.987"},
}
"""Value representation -> value, of attributes that may tell who somebody is, or when."""
_READ = ("SOPClassUID", "BodyPartExamined", "PatientID")
_GROUPS = (0x08, 0x10, 0x12, 0x18, 0x20, 0x32, 0x38, 0x40, 0x88, 0x400)
_DATES = [f"{d[:4]}{s}{d[4:6]}{s}{d[6:]}" for d in (STUDY_DATE, BIRTH_DATE) for s in ("", "-")]
_TEXTS = ["canary", ROOT_UID.rsplit(".", maxsplit=1)[-1], *_DATES, TIME]
_PATTERN = re.compile("|".join(_TEXTS).encode(), re.IGNORECASE)
_IN_BASE64 = re.compile(b"Q0FOQVJZ|NBTkFSW|DQU5BUl")
"""CANARY at each of the three offsets."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{64,}={0,2}")


def canary_dicom(number: int, **attributes: Any) -> bytes:
    """The drawn hand of a child of ten, girls and boys in turn; two children have one Patient ID."""
    told = {
        keyword: value
        for tag in DicomDictionary
        if tag >> 16 in _GROUPS and not dictionary_is_retired(tag)
        if (value := _VALUES.get(dictionary_VR(tag)))
        if (keyword := dictionary_keyword(tag)) and keyword not in _READ
    }
    told |= {
        "SOPInstanceUID": f"{ROOT_UID}.{number}",
        "AccessionNumber": f"CANARYACC{number}",
        "PatientID": f"CANARYID{number // 2}",
        "PatientBirthDate": BIRTH_DATE,
        "PatientSex": "FM"[number % 2],
        "BurnedInAnnotation": "YES",
    }
    with disable_value_validation():  # what is odd is written as it is
        return _written(dataset_of(draw_phantom(60 + 5 * number, number), **told | attributes))


def _written(dataset: FileDataset) -> bytes:
    """The bytes of a file, with a sequence, private attributes and a meta header of canaries."""
    request = Dataset()
    request.RequestingPhysician = "CANARYSQ^Doctor"
    dataset.RequestAttributesSequence = [request]
    block = dataset.private_block(0x11, "CANARY CREATOR", create=True)
    block.add_new(1, "LO", "CANARY PRIVATE")
    dataset.file_meta.SourceApplicationEntityTitle = "CANARYAE"
    dataset.file_meta.PrivateInformationCreatorUID = ROOT_UID
    dataset.file_meta.PrivateInformation = b"CANARY META "
    dataset.preamble = b"CANARY PREAMBLE".ljust(128, b"\0")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=False)
    return stream.getvalue()


def canaries_in(contents: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Where a canary is, with what stands around it; in gzip, zip and base64, too."""
    return [
        (name, content[max(0, match.start() - 60) : match.end() + 40])
        for given, whole in contents
        for name, content in _unpacked(given, whole)
        if (match := _PATTERN.search(content) or _IN_BASE64.search(content))
    ]


def _unpacked(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, content
    if content.startswith(b"\x1f\x8b"):
        yield f"{name}!gzip", gzip.decompress(content)
    if content.startswith(b"PK\3\4"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield f"{name}!", member.encode()
                yield from _unpacked(f"{name}!{member}", archive.read(member))
    for match in _BASE64.finditer(content):
        text = match.group().rstrip(b"=")
        yield f"{name}!base64", base64.b64decode(text[: len(text) // 4 * 4])
    if content.startswith(b"\x89PNG"):
        yield f"{name}!text", _png_text(content)


def _png_text(content: bytes) -> bytes:
    """All chunks but those of pixels; compressed ones inflated."""
    at, found = 8, b""
    while at + 8 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        data = content[at + 8 : at + 8 + length]
        if kind in (b"zTXt", b"iTXt"):
            found += zlib.decompressobj().decompress(data.split(b"\0", 2)[-1])
        elif kind != b"IDAT":
            found += data
        at += 12 + length
    return found
