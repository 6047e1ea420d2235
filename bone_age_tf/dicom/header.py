"""What the header of a DICOM file says, read without its pixels."""

import dataclasses
import io
import math
from typing import Any

from bone_age_tf.dicom import packages
from bone_age_tf.dicom.fault import DAMAGED, Fault


@dataclasses.dataclass(frozen=True)
class Header:
    """The attributes that matter here; a text is empty where the file has none."""

    sop_class: str
    """UID."""
    transfer_syntax: str
    """UID."""
    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    samples_per_pixel: int
    photometric_interpretation: str
    modality: str
    body_part: str
    laterality: str
    """`L`, `R` or empty, of the image or else of the series."""
    view: str
    sex: str | None
    """`F` or `M`; None where the file does not tell one of them."""
    chronological_age_months: float
    """At the study; NaN where the file does not tell it."""
    warnings: tuple[str, ...] = ()
    """Codes of `warnings.WARNINGS`."""
    # Identity: for joining with a table and for salted ids; it leaves the process nowhere else.
    sop_instance_uid: str = dataclasses.field(default="", repr=False)
    accession_number: str = dataclasses.field(default="", repr=False)
    patient_id: str = dataclasses.field(default="", repr=False)
    study_date: str = dataclasses.field(default="", repr=False)


def read_header(encoded: bytes) -> Header | Fault:
    """The header of a file's bytes. Nothing is decoded, and nothing is refused but what cannot be read."""
    pydicom = packages.pydicom()
    if pydicom is None:
        return packages.NOT_INSTALLED
    try:
        return _header(pydicom.dcmread(io.BytesIO(encoded), stop_before_pixels=True, force=True))
    except Exception:  # whatever pydicom stumbled over in a damaged file
        return DAMAGED


def _header(dataset: Any) -> Header:
    return Header(
        sop_class=str(dataset.SOPClassUID),
        transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        frames=int(dataset.get("NumberOfFrames") or 1),
        bits_allocated=int(dataset.BitsAllocated),
        bits_stored=int(dataset.BitsStored),
        samples_per_pixel=int(dataset.SamplesPerPixel),
        photometric_interpretation=str(dataset.PhotometricInterpretation),
        modality=_text(dataset, "Modality"),
        body_part=_text(dataset, "BodyPartExamined"),
        laterality=_text(dataset, "ImageLaterality") or _text(dataset, "Laterality"),
        view=_text(dataset, "ViewPosition"),
        sex={"F": "F", "M": "M"}.get(_text(dataset, "PatientSex")),
        chronological_age_months=_age(_text(dataset, "PatientAge")),
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        accession_number=_text(dataset, "AccessionNumber"),
        patient_id=_text(dataset, "PatientID"),
        study_date=_text(dataset, "StudyDate"),
    )


def _text(dataset: Any, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip()


def _age(text: str) -> float:
    """Months of an Age String, as `012Y`."""
    months = {"Y": 12.0, "M": 1.0, "W": 12 / 52.18, "D": 12 / 365.25}.get(text[-1:])
    return float(text[:-1]) * months if months and text[:-1].isdigit() else math.nan
