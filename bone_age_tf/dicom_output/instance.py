"""What the picture, the key objects, the presentation state and the mask have in common."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bone_age_tf import __version__
from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom.header import MANUFACTURER, SECONDARY_CAPTURE
from bone_age_tf.dicom_output import attributes
from bone_age_tf.dicom_output.attributes import model_name, serial_number
from bone_age_tf.dicom_output.identifiers import date_and_time, derived_uid
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class Series(NamedTuple):
    """The series of an object, one for each kind, after that of the report."""

    number: int
    description: str


SERIES: Mapping[str, Series] = {
    "picture": Series(8502, "Bone age, picture (research use)"),
    "key_object": Series(8503, "Bone age, key objects (research use)"),
    "presentation_state": Series(8504, "Bone age, outline (research use)"),
    "segmentation": Series(8505, "Bone age, mask of the hand (research use)"),
}

GREEN = (80, 220, 80)
"""Red, green, blue of the outline, as in the HTML report."""

_GROUPS = (0x0008, 0x0010, 0x0012, 0x0020, 0x0032, 0x0038, 0x0040)
"""Of identification, patient and study."""


def evidence_of(result: Result) -> "Dataset":
    """The radiograph as highdicom takes it: patient and study, UIDs and size, and nothing of how it is displayed."""
    evidence = attributes.evidence_of(result.source)
    for tag in list(evidence.keys()):
        if tag.group not in _GROUPS:
            del evidence[tag]
    evidence.pop("FrameOfReferenceUID", None)  # highdicom would ask for positions in it
    evidence.pop(
        "SpecificCharacterSet", None
    )  # highdicom refuses an empty first value; `completed` puts it in
    for keyword in ("Rows", "Columns"):
        if keyword in result.source:
            evidence[keyword] = result.source[keyword]
    evidence.SamplesPerPixel = 1
    if evidence.SOPClassUID.startswith(f"{SECONDARY_CAPTURE}."):
        # One of several frames, of which highdicom would ask for functional groups.
        evidence.add_new("SOPClassUID", "UI", SECONDARY_CAPTURE)  # not in the element of the source
    return evidence


def identity(result: Result, kind: str, config: DicomOutputConfig) -> dict[str, Any]:
    """The arguments of highdicom's objects that say what made it, in which series; `completed` gives the UIDs."""
    return {
        "sop_instance_uid": derived_uid(result, kind, uid_root=config.uid_root),
        "instance_number": 1,
        "series_instance_uid": derived_uid(result, f"{kind} series", uid_root=config.uid_root),
        "series_number": SERIES[kind].number,
        "series_description": SERIES[kind].description,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": model_name(result),
        "software_versions": __version__,
        "device_serial_number": serial_number(result),
    }


def completed(
    dataset: Any, evidence: "Dataset", result: Result, config: DicomOutputConfig
) -> "Dataset":
    """The object with all of patient and study, and the dates of the radiograph: highdicom writes those of the call."""
    dataset.copy_patient_and_study_information(evidence)  # not by every object of highdicom
    if evidence.SOPClassUID != result.source.SOPClassUID:
        for element in dataset.iterall():
            if element.keyword == "ReferencedSOPClassUID" and element.value == SECONDARY_CAPTURE:
                element.value = result.source.SOPClassUID
    date, time = date_and_time(result.source)
    if "PresentationCreationDate" in dataset:
        dataset.PresentationCreationDate, dataset.PresentationCreationTime = date, time
    if "DateOfSecondaryCapture" in dataset:
        dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = date, time
    return attributes.completed(dataset, result, config)


def side_of(result: Result) -> str:
    """`L`, `R`, or empty where the header does not tell."""
    sides = (result.source.get(keyword) for keyword in ("ImageLaterality", "Laterality"))
    return next((side for side in sides if side in ("L", "R")), "")


def body_part_of(result: Result) -> str:
    """Body Part Examined as received; HAND where the header does not tell."""
    return str(result.source.get("BodyPartExamined") or "HAND")


def orientation_of(result: Result) -> list[str]:
    """Patient Orientation as received; empty where the header does not tell."""
    values = values_of(result.source, "PatientOrientation")
    return [str(value) for value in values] if len(values) == 2 else []


def values_of(source: "Dataset", keyword: str) -> list[Any]:
    """The values of an attribute, one or more; empty where there is none."""
    if keyword not in source or source[keyword].is_empty:
        return []
    value = source[keyword].value
    return list(value) if source[keyword].VM > 1 else [value]


def repeat(dataset: "Dataset", source: "Dataset", keywords: Iterable[str]) -> None:
    """Take over the attributes that the source has."""
    for keyword in keywords:
        if keyword in source:
            dataset[keyword] = source[keyword]
