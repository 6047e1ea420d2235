"""Thirty results of all kinds, as the SR that is made of each."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dicom_results import MODEL, result_of_phantom

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.config.choices import SrClass
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.refusals import IMAGE_QUALITIES
from bone_age_tf.dicom_output.report import report_of

NO_INTERVAL = {"bone_age_low_months": None, "bone_age_high_months": None}
NO_AGE = {
    **dict.fromkeys(("chronological_age_months", "sd_score", "difference_months")),
    **{"verdict": "", "verdict_probability": None},
}
TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
REASONS = ("two_hands", "no_whole_hand", "blank", "body_part", "no_pixel_data", "eclipse")
CASES: dict[str, dict[str, Any]] = {
    "DX": {"number": 1},
    "CR with spacing": {"number": 2},
    "CR without spacing": {"number": 4},
    "girl": {"number": 1, "prediction": {"sex": "F"}, "PatientSex": "F"},
    "boy": {"number": 1, "prediction": {"sex": "M"}, "PatientSex": "M"},
    "sex unknown": {"number": 1, "prediction": {"sex": "unknown", **NO_AGE}, "PatientSex": ""},
    "right hand": {"number": 2, "prediction": {"warning": "right_hand"}, "Laterality": "R"},
    "no side": {"number": 2, "without": ("Laterality",)},
    "no interval": {"number": 1, "prediction": NO_INTERVAL},
    "no age": {"number": 1, "prediction": NO_AGE},
    "no method": {"number": 1, "model": dataclasses.replace(MODEL, reading_method=None)},
    "no coverage": {"number": 1, "model": dataclasses.replace(MODEL, coverage=None)},
    "infant": {"number": 1, "prediction": {"warning": "infant", "bone_age_months": 9}},
    "delayed": {"number": 1, "prediction": {"verdict": "delayed", "sd_score": -2.4}},
    "attributes empty": {"number": 1, **dict.fromkeys(TYPE_2, None)},
    "attributes missing": {"number": 1, "without": TYPE_2},
    "image attributes missing": {
        "number": 1,
        "without": ("PatientOrientation", "ImagerPixelSpacing", "ImageLaterality"),
    },
    "dates missing": {
        "number": 2,
        "without": ("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate"),
    },
    "Secondary Capture": {
        **{"number": 2, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"},
        **{"ConversionType": "WSD", "Manufacturer": "a scanner"},
    },
    "Latin name": {
        **{"number": 1, "SpecificCharacterSet": "ISO_IR 100"},
        "PatientName": "Müller^Jörg",
    },
    "Japanese name": {
        **{"number": 1, "SpecificCharacterSet": ["", "ISO 2022 IR 87"]},
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "UTF-8 name": {"number": 1, "SpecificCharacterSet": "ISO_IR 192", "PatientName": "王^小東"},
    "odd values": {
        **{"number": 1, "StudyDate": "2024.01.31", "PatientAge": "12", "PatientSex": "W"},
        **{"AcquisitionTime": "12:30", "PatientBirthDate": "20061341"},
    },
    "site's own root": {"number": 1, "uid_root": "1.2.826.0.1.3680043.10"},
    **{reason: {"number": 2, "rejected": f"{reason}: it is so"} for reason in REASONS},
}
assert set(REASONS) - set(IMAGE_QUALITIES) == {"eclipse"}  # the general code


def write_reports(folder: Path) -> dict[str, Path]:
    """What it is -> file; half of them are Comprehensive SR, for older viewers."""
    return dict(_written(folder))


def _written(folder: Path) -> Iterator[tuple[str, Path]]:
    for number, (name, case) in enumerate(CASES.items()):
        sr: SrClass = "comprehensive" if number % 2 else "comprehensive_3d"
        config = DicomOutputConfig(sr=sr, uid_root=case.get("uid_root"))
        rest = {key: value for key, value in case.items() if key not in ("number", "uid_root")}
        report = report_of(result_of_phantom(case["number"], **rest), config)
        assert report is not None, name
        path = folder / f"{number:02d}.dcm"
        path.write_bytes(encoded(report))
        yield name, path
