"""UIDs and dates of the objects, derived from the radiograph and the result: a rerun gives the same object."""

import dataclasses
import hashlib
import json
import uuid
from typing import TYPE_CHECKING

from bone_age_tf import __version__
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LONGEST_UID = 64
_NAMESPACE = uuid.UUID("3a0ab7c5-4a3c-5c0e-9a52-0f3cd1c8b5ae")
_GROUPS = (0x0010, 0x0012, 0x0032, 0x0038)
"""Patient, clinical trial, request, visit."""
_ATTRIBUTES = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "SOPInstanceUID", "SeriesInstanceUID"),
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription"),
    *("AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "SeriesDate"),
    *("SeriesTime", "AccessionNumber", "IssuerOfAccessionNumberSequence"),
    *("ReferringPhysicianName", "ProcedureCodeSequence", "ReferencedStudySequence"),
    *("FrameOfReferenceUID", "Rows", "Columns", "ImagerPixelSpacing", "PatientOrientation"),
    *("Laterality", "ImageLaterality"),
)
_NOT_IN_THE_OBJECT = ("id", "file")
"""Fields of a `Prediction` that no object holds: the same radiograph may be called otherwise in another folder."""


def derived_uid(result: Result, kind: str, *, uid_root: str | None) -> str:
    """A UID for an object of this kind: of the source's UID, what is taken over from it, the model, the prediction and the
    version of this package.

    The same for the same input and model; another one for another, since archives keep the first content of a UID.
    """
    row = {
        name: value
        for name, value in dataclasses.asdict(result.prediction).items()
        if name not in _NOT_IN_THE_OBJECT
    }
    outline = None if result.outline is None else result.outline.tolist()
    about = [_taken_over(result.source), dataclasses.asdict(result.model), row, outline]
    return uid_of(json.dumps([kind, __version__, *about]), uid_root=uid_root)


def _taken_over(source: "Dataset") -> list[tuple[str, str]]:
    """Keywords and values of a header that stand in the objects: a corrected name makes another object. What a transfer may
    change (encoding, private attributes, those of the pixels) is not among them."""
    elements = [source[tag] for tag in sorted(source.keys())]
    return [
        (element.keyword, str(element.value))
        for element in elements
        if element.tag.group in _GROUPS or element.keyword in _ATTRIBUTES
    ]


def uid_of(name: str, *, uid_root: str | None) -> str:
    """The UID of a name: 2.25 and a name-based UUID (RFC 9562, version 5), or below the site's root as many digits of a
    hash as fit."""
    if uid_root is None:
        return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    return f"{uid_root}.{str(number)[: LONGEST_UID - len(uid_root) - 1]}"


def date_and_time(source: "Dataset") -> tuple[str, str]:
    """Date and time of the objects, DA and TM: of the radiograph's acquisition, content, series or study.

    Not of the run, which would make another object of each rerun. 00000000 would be no date: without any, it is that of
    the standard's first edition, 19930101.
    """
    for event in ("Acquisition", "Content", "Series", "Study"):
        date = str(source.get(f"{event}Date") or "")
        if date:
            return date, str(source.get(f"{event}Time") or "000000")
    return "19930101", "000000"
