"""A synthetic radiograph as a DICOM file: DX and CR in turn, so that anyone can try both without a patient.

| number | class | pixels |
|---|---|---|
| odd | DX For Presentation | 12 bit in 16, MONOCHROME2, window of the whole range |
| even | CR | 12 bit in 16, MONOCHROME1, no window; every other one without pixel spacing |

The chronological age is the bone age and up to a year more or less. UIDs are derived from the
settings, the number and the pixels (root 2.25): the same settings give the same bytes.
"""

import datetime
import hashlib
import io
import uuid
from typing import Any

import numpy as np

from bone_age_tf.config import PhantomConfig
from bone_age_tf.data_prep.phantom.draw import Truth
from bone_age_tf.dicom import packages
from bone_age_tf.errors import EnvironmentFaultError

STUDY_DATE = datetime.date(2024, 1, 31)
OBLIQUE, LATERAL = 20.0, 70.0
"""Degrees out of the plane from which a view is called so; neither has a term of its own in View Position."""
BITS_STORED = 12

_DX, _CR = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1"
_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_ROOT = uuid.UUID("3f0c2f0e-6a52-5d0c-9a0e-0b6f6d5f7a11")
_DAYS_PER_MONTH = 365.25 / 12


def require_pydicom() -> Any:
    """pydicom. Raises `EnvironmentFaultError` where it is not installed."""
    pydicom = packages.pydicom()
    if pydicom is None:
        raise EnvironmentFaultError(
            "--format dicom needs pydicom: pip install 'bone-age-tf[dicom]', then again."
        )
    return pydicom


def encode(config: PhantomConfig, number: int, radiograph: np.ndarray, truth: Truth) -> bytes:
    """The bytes of a DICOM file of the radiograph uint8 [height, width] with this number, from 1."""
    pydicom = require_pydicom()
    is_dx = number % 2 == 1
    dataset = pydicom.Dataset()
    uids = _uids(config, number, radiograph)
    attributes = {
        **_patient(config, number, truth),
        **_study_and_series(number, uids, "DX" if is_dx else "CR"),
        **_image(radiograph, truth),
        **(_dx(pydicom, truth) if is_dx else _cr(truth, with_spacing=number % 4 == 2)),
    }
    dataset.update(_as_dataset(pydicom, attributes))
    grey = (radiograph.astype("<u2") << 4) | (radiograph >> 4)  # 255 becomes 4095
    dataset.add_new("PixelData", "OW", (grey if is_dx else 4095 - grey).astype("<u2").tobytes())
    return _file(pydicom, dataset)


def _file(pydicom: Any, dataset: Any) -> bytes:
    """Part 10 bytes; the implementation is ours, so that they do not depend on pydicom's version."""
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = _EXPLICIT_VR_LITTLE_ENDIAN
    dataset.file_meta.ImplementationClassUID = _uid("implementation")
    dataset.file_meta.ImplementationVersionName = "BONE_AGE_TF"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _as_dataset(pydicom: Any, attributes: dict[str, Any]) -> Any:
    """A data set of keywords and values; a list of dictionaries is a sequence."""
    dataset = pydicom.Dataset()
    for keyword, value in attributes.items():
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            value = [_as_dataset(pydicom, item) for item in value]  # noqa: PLW2901
        setattr(dataset, keyword, value)
    return dataset


# === Identity ===


def _uids(config: PhantomConfig, number: int, radiograph: np.ndarray) -> dict[str, str]:
    pixels = hashlib.sha256(radiograph.tobytes()).hexdigest()
    levels = ("Study", "Series", "SOP")
    name = f"{config.seed}/{number}/{pixels}"
    return {f"{level}InstanceUID": _uid(f"{level}/{name}") for level in levels}


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(_ROOT, name).int}"


def _patient(config: PhantomConfig, number: int, truth: Truth) -> dict[str, Any]:
    rng = np.random.default_rng([config.seed, number, 1])  # not the one that draws
    months = max(truth.bone_age_months + rng.uniform(-12, 12), 1)
    born = STUDY_DATE - datetime.timedelta(days=round(months * _DAYS_PER_MONTH))
    return {
        "PatientName": f"PHANTOM^{number:04d}",
        "PatientID": f"PHANTOM-{config.seed}-{number:04d}",
        "PatientBirthDate": f"{born:%Y%m%d}",
        "PatientSex": truth.sex,
        "PatientAge": _age_string(born),
    }


def _age_string(born: datetime.date) -> str:
    """Completed years; months below two years."""
    months = 12 * (STUDY_DATE.year - born.year) + STUDY_DATE.month - born.month
    months -= STUDY_DATE.day < born.day
    return f"{months:03d}M" if months < 24 else f"{months // 12:03d}Y"


def _study_and_series(number: int, uids: dict[str, str], modality: str) -> dict[str, Any]:
    date = f"{STUDY_DATE:%Y%m%d}"
    return {
        **uids,
        **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), date),
        **dict.fromkeys(("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"), "120000"),
        "Modality": modality,
        "StudyID": str(number),
        "AccessionNumber": f"PHANTOM{number:04d}",
        "ReferringPhysicianName": "",
        "StudyDescription": "Synthetic radiograph, not of a child",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Manufacturer": "bone-age-tf",
        "ManufacturerModelName": "phantom",
        "DeviceSerialNumber": "1",
        "SoftwareVersions": "1",
    }


# === Image ===


def _image(radiograph: np.ndarray, truth: Truth) -> dict[str, Any]:
    return {
        "ImageType": ["ORIGINAL", "PRIMARY", ""],
        "PatientOrientation": [
            "L",
            "H",
        ],  # fingertips above, thumb right or that of a right hand left
        "BodyPartExamined": "HAND",
        "ViewPosition": "PA" if abs(truth.acquisition.out_of_plane_degrees) < OBLIQUE else "",
        "BurnedInAnnotation": "NO",
        "SamplesPerPixel": 1,
        "Rows": radiograph.shape[0],
        "Columns": radiograph.shape[1],
        "BitsAllocated": 16,
        "BitsStored": BITS_STORED,
        "HighBit": BITS_STORED - 1,
        "PixelRepresentation": 0,
    }


def _side(truth: Truth) -> str:
    return "R" if truth.acquisition.mirrored else "L"


def _cr(truth: Truth, *, with_spacing: bool) -> dict[str, Any]:
    spacing = {"ImagerPixelSpacing": [f"{truth.pixel_spacing_mm:.4f}"] * 2}
    return {
        "SOPClassUID": _CR,
        "Laterality": _side(truth),
        "PhotometricInterpretation": "MONOCHROME1",
        **(spacing if with_spacing else {}),
    }


def _dx(pydicom: Any, truth: Truth) -> dict[str, Any]:
    return {
        "SOPClassUID": _DX,
        "ImageLaterality": _side(truth),
        "PresentationIntentType": "FOR PRESENTATION",
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
        "LossyImageCompression": "00",
        "WindowCenter": 2048,
        "WindowWidth": 4096,
        "DetectorType": "DIRECT",
        "PositionerType": "NONE",
        "ImagerPixelSpacing": [f"{truth.pixel_spacing_mm:.4f}"] * 2,
        "AnatomicRegionSequence": [_code("85562004", "SCT", "Hand")],
        "ViewCodeSequence": [{**_view(truth), "ViewModifierCodeSequence": []}],
        "AcquisitionContextSequence": [],
    }


def _view(truth: Truth) -> dict[str, Any]:
    """The view's code, of DICOM's CID 4010."""
    degrees = abs(truth.acquisition.out_of_plane_degrees)
    if degrees < OBLIQUE:
        return _code("272479007", "SCT", "postero-anterior")
    if degrees < LATERAL:
        return _code("399059000", "SCT", "postero-anterior oblique")
    return _code("399067008", "SCT", "lateral")


def _code(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}
