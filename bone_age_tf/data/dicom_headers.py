"""The headers of the DICOM files among the files of a folder."""

import itertools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header
from bone_age_tf.dicom.reader import read_header
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.formats import DICOM, format_of
from bone_age_tf.files.images import MAX_FILE_BYTES, SourceFile

SUFFIXES = (".dcm", ".dicom", ".ima")
EMPTY = Fault("empty", "the file has no content")
UNREADABLE = Fault(
    "unreadable", f"the file cannot be opened, or has more than {MAX_FILE_BYTES // 2**20} MiB"
)


def read_headers(files: Iterable[SourceFile]) -> Mapping[SourceFile, Header | Fault]:
    """The header of each DICOM file, or why it cannot be read. Of other files, only the first bytes are read."""
    files = list(dict.fromkeys(files))
    with ThreadPoolExecutor() as pool:
        found = pool.map(_header_of, files)
        return {file: one for file, one in zip(files, found, strict=True) if one is not None}


def names_of(files: Iterable[SourceFile], dicom: Iterable[SourceFile]) -> dict[SourceFile, str]:
    """What the DICOM files are called in results, `dicom-0001` and so on, in the order of the files.

    Their own names are often those of patients, or UIDs.
    """
    files, own = dict.fromkeys(files), set(dicom)
    taken = {file.stem for file in files if file not in own}
    numbers = (f"dicom-{number:04d}" for number in itertools.count(1))
    free = (name for name in numbers if name not in taken)
    return {file: next(free) for file in files if file in own}


def is_dicom(file: SourceFile) -> bool:
    """By its first bytes; by its ending where these tell nothing, or it cannot be opened."""
    try:
        found = format_of(file.head())
    except InputDataError:
        found = None
    return found == DICOM or (found is None and file.suffix in SUFFIXES)


def _header_of(file: SourceFile) -> Header | Fault | None:
    """None where it is no DICOM file."""
    if not is_dicom(file):
        return None
    try:
        return read_header(file.read()) if file.head() else EMPTY
    except InputDataError:  # its text has the file's name
        return UNREADABLE
