"""Files as they are opened: the pixels of a DICOM file, and what its header says."""

import asyncio
import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bone_age_tf.dicom import process
from bone_age_tf.dicom.reader import Header, read_header
from bone_age_tf.files.formats import DICOM, format_of
from bone_age_tf.inference.sentences import warning_sentences, years
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.rejections import Rejection

HANDS = {"L": "left", "R": "right"}
VIEWS = ("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO")
"""Codes of View Position that are shown; a text of a hospital's own may hold anything."""
_DECODING = ThreadPoolExecutor(process.MOST, thread_name_prefix="dicom")
"""Threads of their own, so that a decoder that hangs delays DICOM files alone."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """A file that a request holds."""

    file: bytes | Rejection
    """A PNG of a DICOM file's pixels, or why it is not read; another file as it is."""
    header: Header | None = None
    """Of a DICOM file that is read."""


async def open_file(encoded: bytes) -> Opened:
    """A file's bytes; DICOM is decoded, once."""
    if format_of(encoded) != DICOM:
        return Opened(encoded)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_DECODING, _open_dicom, encoded)


def _open_dicom(encoded: bytes) -> Opened:
    png, header = to_png(encoded), read_header(encoded)
    if isinstance(png, Rejection) or not isinstance(header, Header):
        return Opened(png)
    return Opened(png, header)


def described(header: Header) -> dict[str, Any]:
    """What the page shows of a header; nothing that names a patient."""
    age = header.chronological_age_months
    is_known = not math.isnan(age)
    return {
        "sex": header.sex,
        "chronological_age_months": age if is_known else None,
        "age_in_words": years(age) if is_known else None,
        "laterality": HANDS.get(header.laterality),
        "view": header.view if header.view in VIEWS else None,
        "warnings": warning_sentences(" ".join(header.warnings)),
    }
