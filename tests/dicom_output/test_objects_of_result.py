"""All kinds of objects of one result: valid, of the radiograph's study, and the same bytes again."""

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from dicom_checkers import dcmtk, errors_of, written
from dicom_results import dataset_of_phantom, objects_of, result_of_phantom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

from bone_age_tf.config import DICOM_OBJECTS, DicomOutputConfig
from bone_age_tf.dicom.source import read_source
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.result import Result

ALL = DicomOutputConfig(objects=DICOM_OBJECTS)
BESIDE = DicomOutputConfig(objects=tuple(kind for kind in DICOM_OBJECTS if kind != "report"))
"""All kinds but the report, which has tests of its own."""
TWO_HANDS = "two_hands: there is more than one hand in the picture"
OPTIONAL = (
    *("PatientAge", "PatientBirthDate", "PatientSex", "StudyDescription", "PatientOrientation"),
    *("StudyID", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "ImageLaterality"),
    *("AcquisitionDate", "ContentDate", "SeriesDate", "SeriesNumber", "BodyPartExamined"),
    *("ImagerPixelSpacing", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"),
    *("RescaleType", "PresentationLUTShape", "ViewPosition", "AnatomicRegionSequence"),
    *("BurnedInAnnotation", "LossyImageCompression", "ViewCodeSequence", "Modality"),
)
CASES: dict[str, dict[str, Any]] = {
    "DX": {"number": 1},
    "CR, MONOCHROME1": {"number": 2},
    "CR without spacing": {"number": 4},
    "right hand": {"number": 1, "ImageLaterality": "R"},
    "without optional attributes": {"number": 1, "without": OPTIONAL},
    "rejected": {"number": 1, "rejected": TWO_HANDS},
    "rejected CR": {"number": 4, "rejected": TWO_HANDS},
    "Japanese": {
        "number": 2,
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "UTF-8": {"number": 1, "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Łuczak^Żaneta"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_standards_checker_finds_no_error(case: str, tmp_path: Path) -> None:
    result = result_of_phantom(**CASES[case])
    objects = objects_of(result, ALL)
    drawn = {"presentation_state", "segmentation"}
    assert set(objects) == set(DICOM_OBJECTS) - (drawn if result.is_rejected else set())
    for kind, dataset in objects.items():
        path = written(dataset, tmp_path, f"{kind}.dcm")
        assert errors_of(path) == []
        again = pydicom.dcmread(path)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDescription"):
            assert again.get(keyword) == result.source.get(keyword)
        assert again.file_meta.ImplementationVersionName == "BONE_AGE_TF"


@pytest.mark.parametrize(
    "odd",
    [
        {"ShutterShape": "RECTANGULAR"},
        {"ImagerPixelSpacing": "0.1"},
        {"WindowCenter": [100, 200], "WindowWidth": []},
        {"RescaleIntercept": None, "PatientOrientation": "L"},
        {"BurnedInAnnotation": "MAYBE", "LossyImageCompression": "1", "ImageType": ""},
        {"SpecificCharacterSet": "ISO_IR 999", "StudyDate": "31.01.2024", "PatientSex": "X"},
        {"SOPClassUID": MultiFrameGrayscaleWordSecondaryCaptureImageStorage, "NumberOfFrames": 1},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_an_odd_header_makes_valid_objects(odd: dict[str, Any], tmp_path: Path) -> None:
    result = result_of_phantom(1, **odd)
    objects = objects_of(result, BESIDE)
    assert set(objects) == set(BESIDE.objects)
    for kind, dataset in objects.items():
        path = written(dataset, tmp_path, f"{kind}.dcm")
        errors = [line for line in errors_of(path) if "ISO_IR 999" not in line]
        assert errors == []
        references = {
            str(item.ReferencedSOPInstanceUID): str(item.ReferencedSOPClassUID)
            for item in _items(dataset)
            if "ReferencedSOPInstanceUID" in item
        }
        assert references[result.source.SOPInstanceUID] == result.source.SOPClassUID


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """All items of all sequences."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


def test_a_picture_of_a_result_gives_no_objects() -> None:
    """Or each would have a picture again, where an archive sends a node whatever it stores."""
    picture = objects_of(result_of_phantom(1), ALL)["picture"]
    result = dataclasses.replace(result_of_phantom(1), source=read_source(encoded(picture)))
    assert objects_of(result, ALL) == {}


def test_each_kind_has_a_series_of_its_own_in_the_study() -> None:
    result = result_of_phantom(1, AccessionNumber="A-17")
    objects = objects_of(result, ALL)
    assert {str(one.StudyInstanceUID) for one in objects.values()} == {
        str(result.source.StudyInstanceUID)
    }
    assert {one.AccessionNumber for one in objects.values()} == {"A-17"}
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber", "SeriesDescription"):
        assert len({str(one[keyword].value) for one in objects.values()}) == len(objects)
    assert all(one.SeriesInstanceUID != result.source.SeriesInstanceUID for one in objects.values())


def test_other_bytes_have_another_uid() -> None:
    """Archives keep the first content of a UID."""
    result, rejected = result_of_phantom(2), result_of_phantom(2, rejected=TWO_HANDS)
    black = {"png": cv2.imencode(".png", np.zeros((512, 512), np.uint16))[1].tobytes()}
    odd = [
        *({"BodyPartExamined": "WRIST"}, {"BurnedInAnnotation": "YES"}, {"Modality": "OT"}),
        *({"PixelSpacing": [0.1, 0.2]}, {"RescaleSlope": "2"}, {"WindowCenter": "99"}),
        *({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, {"LossyImageCompression": "01"}),
    ]
    results = [
        *(result, rejected, *(dataclasses.replace(one, **black) for one in (result, rejected))),
        *(result_of_phantom(2, **one) for one in odd),
    ]
    contents: dict[str, bytes] = {}
    for config in (ALL, dataclasses.replace(ALL, sr="comprehensive")):
        for one in results:
            for dataset in objects_of(one, config).values():
                content = encoded(dataset)
                assert contents.setdefault(dataset.SOPInstanceUID, content) == content


def test_objects_are_dated_by_the_radiograph() -> None:
    objects = objects_of(result_of_phantom(1), ALL)
    for dataset in objects.values():
        dates = {str(one.value) for one in dataset.iterall() if one.VR == "DA"}
        assert dates <= {"20240131", str(dataset.PatientBirthDate)}
        assert not [one for one in dataset.iterall() if one.VR == "DT"]


def test_another_process_makes_the_same_bytes() -> None:
    """With other hash seeds and at another hour."""
    script = (
        "import hashlib, test_objects_of_result as t\n"
        "print(*t.fingerprints(t.result_of_phantom(1)), *t.fingerprints(t.result_of_phantom(2)))"
    )
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "TZ": "Pacific/Auckland",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
    }
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    expected = [one for number in (1, 2) for one in fingerprints(result_of_phantom(number))]
    assert done.stdout.split() == expected


def fingerprints(result: Result) -> list[str]:
    """sha256 of each object's file."""
    made = objects_of(result, ALL).values()
    return [hashlib.sha256(encoded(dataset)).hexdigest() for dataset in made]


def test_another_result_has_other_uids() -> None:
    uids = {
        (kind, str(dataset.SOPInstanceUID))
        for result in (
            result_of_phantom(1),
            result_of_phantom(1, prediction={"bone_age_months": 130.0}),
            result_of_phantom(3),
        )
        for kind, dataset in objects_of(result, BESIDE).items()
    }
    assert len(uids) == 3 * len(BESIDE.objects)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_radiograph_may_be_implicit_or_big_endian(syntax: UID, tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.update({one.tag: one for one in dataset_of_phantom(1) if one.tag != "PixelData"})
    dataset.ProcedureCodeSequence = [Dataset()]
    dataset.ProcedureCodeSequence[0].CodeValue = "1"
    dataset.ProcedureCodeSequence[0].CodingSchemeDesignator = "L"
    dataset.ProcedureCodeSequence[0].CodeMeaning = "Hand"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(stream)
    source = read_source(stream.getvalue())
    result = dataclasses.replace(result_of_phantom(1), source=source)
    for kind, made in objects_of(result, BESIDE).items():
        path = written(made, tmp_path, f"{kind}.dcm")
        assert errors_of(path) == []
        again = pydicom.dcmread(path)
        assert again.ProcedureCodeSequence[0].CodeMeaning == "Hand"
        assert again.StudyDate == "20240131"


def test_the_image_tools_of_dcmtk_read_picture_and_mask(tmp_path: Path) -> None:
    objects = objects_of(result_of_phantom(1), BESIDE)
    for kind in ("picture", "segmentation"):
        path = written(objects[kind], tmp_path, f"{kind}.dcm")
        assert dcmtk("dcmftest", path).startswith("yes")
    dcmtk("dcmj2pnm", "--write-png", tmp_path / "picture.dcm", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
