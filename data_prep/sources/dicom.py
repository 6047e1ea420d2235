"""DICOM files in a source of any layout: their headers are read, and salted ids take the place of their names."""

import dataclasses
from collections.abc import Callable, Mapping

from bone_age_tf.data.dicom_headers import SUFFIXES, is_dicom, read_headers
from bone_age_tf.data.label_table import LabelTable
from bone_age_tf.data_prep.pseudonyms import DicomFile, Pseudonyms
from bone_age_tf.data_prep.sources.source import LabelledImages, Source
from bone_age_tf.dicom.fault import DAMAGED
from bone_age_tf.dicom.salt import Salt
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.formats import DICOM, format_of
from bone_age_tf.files.images import IMAGE_SUFFIXES, SourceFile

LAYOUT = "dicom"
"""Of a folder with a table, or with none, that would be the layout `table` without its DICOM files."""
_OTHER_IMAGES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in SUFFIXES)
_AT_ONCE = 64
"""Headers that are read between two notes of progress."""


def has_dicom(source: Source) -> bool:
    """Whether one of its radiographs is a DICOM file."""
    return any(is_dicom(image) for part in source.parts for image in part.images)


def with_ids(source: Source, salt: Salt, on_progress: Callable[[int, int], None]) -> Source:
    """The same, with DICOM files named by their ids.

    So is every file whose content and ending are not those of another image, as one that cannot be opened.
    """
    files = dict.fromkeys(image for part in source.parts for image in part.images)
    hidden = [file for file in files if not _is_other_image(file)]
    names: dict[SourceFile, DicomFile] = {}
    for start in range(0, len(hidden), _AT_ONCE):
        on_progress(start, len(hidden))
        batch = hidden[start : start + _AT_ONCE]
        headers = read_headers(batch)
        names |= {file: DicomFile.of(file, headers.get(file, DAMAGED), salt) for file in batch}
    on_progress(len(hidden), len(hidden))
    return dataclasses.replace(
        source,
        layout=LAYOUT if source.layout == "table" else source.layout,
        parts=tuple(_renamed(part, names) for part in source.parts),
        is_registered=False,  # ml-recipe's radiographs are PNG
        pseudonyms=Pseudonyms(salt, {name.file: name for name in names.values()}),
    )


def _renamed(part: LabelledImages, names: Mapping[SourceFile, DicomFile]) -> LabelledImages:
    images = tuple(names[image].file if image in names else image for image in part.images)
    return dataclasses.replace(
        part, images=images, table=part.table and _without_folders(part.table)
    )


def _without_folders(labels: LabelTable) -> LabelTable:
    """Their names may be those of patients."""
    name = labels.name.rsplit("/", 1)[-1]
    return dataclasses.replace(labels, table=dataclasses.replace(labels.table, name=name))


def _is_other_image(file: SourceFile) -> bool:
    found = _format_of(file)
    return found != DICOM if found else file.suffix in _OTHER_IMAGES


def _format_of(file: SourceFile) -> str | None:
    try:
        return format_of(file.head())
    except InputDataError:
        return None
