"""Attributes that every object takes over from the radiograph, and those that name this software."""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bone_age_tf import __version__
from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom.header import MANUFACTURER
from bone_age_tf.dicom_output.identifiers import date_and_time, uid_of
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.files.quiet import without_messages_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IMPLEMENTATION_VERSION = "BONE_AGE_TF"

_ALWAYS_THERE = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "Modality"),
)
"""Of type 2 in the Patient and General Study Modules: empty where the radiograph has none."""


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """pydicom and highdicom neither check nor complain: a radiograph's UIDs and texts are kept as received.

    highdicom would log names of patients that it takes for odd. One thread at a time.
    """
    import pydicom.config

    quiet = without_messages_of("highdicom", "pydicom")
    with quiet, pydicom.config.disable_value_validation():
        yield


def evidence_of(source: "Dataset") -> "Dataset":
    """The header as highdicom takes it: with the attributes that it expects, empty ones where the radiograph has none."""
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

    evidence = Dataset()
    evidence.update(source)
    if not UID(str(evidence.get("FrameOfReferenceUID") or "")).is_valid:
        evidence.pop("FrameOfReferenceUID", None)  # dsrdump refuses the whole report
    for keyword in _ALWAYS_THERE:
        if source.get(keyword) is None:
            setattr(evidence, keyword, "")
    return evidence


def completed(dataset: "Dataset", result: Result, config: DicomOutputConfig) -> "Dataset":
    """An object with the dates of the radiograph, so that a rerun gives the same bytes, what names its maker, and its UIDs."""
    dataset.pop("ContributingEquipmentSequence", None)  # highdicom dates it by the clock
    date, time = date_and_time(result.source)
    for event in ("InstanceCreation", "Content"):
        if f"{event}Date" in dataset:
            setattr(dataset, f"{event}Date", date)
            setattr(dataset, f"{event}Time", time)
    for keyword in ("SpecificCharacterSet", "TimezoneOffsetFromUTC"):
        if result.source.get(keyword):
            setattr(dataset, keyword, result.source.get(keyword))
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = model_name(result)
    dataset.DeviceSerialNumber = serial_number(result)
    dataset.SoftwareVersions = [__version__, f"model {result.model.version}"[:64]]
    dataset.file_meta.ImplementationClassUID = uid_of("implementation", uid_root=None)
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    _name_by_content(dataset, config.uid_root)
    return dataset


def _name_by_content(dataset: "Dataset", uid_root: str | None) -> None:
    """UIDs of the object and its series, of all that is in it: whatever makes other bytes (another window, other pixels,
    another release of a library) makes another UID, since archives keep the first content of one."""
    content = hashlib.sha256(_bytes_of(dataset)).hexdigest()
    dataset.SOPInstanceUID = uid_of(f"object {content}", uid_root=uid_root)
    dataset.SeriesInstanceUID = uid_of(f"series {content}", uid_root=uid_root)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def encoded(dataset: "Dataset") -> bytes:
    """The bytes of an object's file, the same for the same object."""
    with lenient():
        return _bytes_of(dataset)


def _bytes_of(dataset: "Dataset") -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def model_name(result: Result) -> str:
    """Name and version of the model, as an LO."""
    return ascii_of(f"{result.model.name} {result.model.version}")[:64]


def serial_number(result: Result) -> str:
    """Of the model as a device: the beginning of the hash that names its files."""
    return result.model.manifest_sha256[:16]


def ascii_of(text: str) -> str:
    """A text of ours, which the radiograph's character set may be too small for."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")
