"""What the structured report says, and that it is the same for the same result."""

import datetime
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_results import MODEL, file_with, objects_of, result_of_phantom
from pydicom.dataset import Dataset

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.config.choices import DICOM_OBJECTS, RESEARCH_ONLY, SD_SCORE_CONVENTION
from bone_age_tf.dicom_output import identifiers
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.identifiers import derived_uid
from bone_age_tf.dicom_output.report import report_of
from bone_age_tf.dicom_output.result import FAULTS_OF_THE_MACHINE, Result
from bone_age_tf.growth import Heights, assess
from bone_age_tf.inference.sentences import WARNINGS

CONFIG = DicomOutputConfig()
TWO_HANDS = "two_hands: there is more than one hand in the picture"
MONTHS = ("mo", "UCUM")


def _report(result: Result, config: DicomOutputConfig = CONFIG) -> Dataset:
    report = report_of(result, config)
    assert report is not None
    return report


def _items(report: Dataset) -> dict[str, list[Dataset]]:
    """Code of the concept name -> the content items of that name, at any depth."""
    found: dict[str, list[Dataset]] = {}

    def walk(item: Dataset) -> None:
        found.setdefault(item.ConceptNameCodeSequence[0].CodeValue, []).append(item)
        for inner in item.get("ContentSequence", ()):
            walk(inner)

    walk(report)
    return found


def _code(item: Dataset) -> tuple[str, str]:
    concept = item.ConceptCodeSequence[0]
    return concept.CodeValue, concept.CodingSchemeDesignator


def _number(item: Dataset) -> tuple[float, tuple[str, str]]:
    value = item.MeasuredValueSequence[0]
    unit = value.MeasurementUnitsCodeSequence[0]
    return float(value.NumericValue), (unit.CodeValue, unit.CodingSchemeDesignator)


def _text(report: Dataset) -> str:
    items = _items(report)
    return " ".join(item.TextValue for code in ("121077", "121106") for item in items[code])


# === Content ===


def test_the_bone_age_is_on_the_outline_of_the_hand() -> None:
    result = result_of_phantom(1)
    report = _report(result)
    assert report.SOPClassUID == pydicom.uid.Comprehensive3DSRStorage
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    (group,) = _items(report)["125007"]
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1410"
    items = _items(group)
    assert _number(items["85151-9"][0]) == (121.3, MONTHS)
    (region,) = items["111030"]
    assert region.GraphicType == "POLYLINE"
    (image,) = region.ContentSequence
    reference = image.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == result.source.SOPInstanceUID
    points = np.array(region.GraphicData).reshape(-1, 2)
    assert (points[0] == points[-1]).all()
    assert result.outline is not None
    np.testing.assert_allclose(points[:-1], result.outline + 0.5, atol=1e-3)


def test_points_outside_the_radiograph_are_drawn_on_its_edge() -> None:
    result = result_of_phantom(1)
    corners = np.array([[-3.0, -3.0], [9999.0, -3.0], [9999.0, 9999.0]])
    report = _report(Result(result.source, result.prediction, MODEL, corners))
    points = np.array(_items(report)["111030"][0].GraphicData).reshape(-1, 2)
    assert points.tolist()[:3] == [[0, 0], [410, 0], [410, 512]]


def test_interval_score_site_and_method_are_coded() -> None:
    items = _items(_report(result_of_phantom(1)))
    assert _number(items["371886008"][0]) == (16.2, MONTHS)
    assert _number(items["371885007"][0]) == (16.1, MONTHS)
    assert _number(items["121416"][0]) == (0.31, ("1", "UCUM"))
    assert items["121406"][0].TextValue == SD_SCORE_CONVENTION
    assert _code(items["363698007"][0]) == ("85562004", "SCT")
    assert _code(items["272741003"][0]) == ("7771000", "SCT")
    assert _code(items["370129005"][0]) == ("252956001", "SCT")
    assert _code(items["121058"][0]) == ("24724-7", "LN")


def test_the_subject_has_the_sex_and_age_that_were_used() -> None:
    items = _items(_report(result_of_phantom(1, prediction={"sex": "F"}, PatientSex="M")))
    assert _code(items["121032"][0]) == ("F", "DCM")
    assert _number(items["121033"][0]) == (118.2, MONTHS)


def test_the_algorithm_and_the_observer_name_the_model() -> None:
    items = _items(_report(result_of_phantom(1)))
    assert [items[code][0].TextValue for code in ("111001", "111003")] == ["bone_age", "1"]
    assert _code(items["111000"][0]) == ("123110", "DCM")
    parameters = " ".join(item.TextValue for item in items["111002"])
    for part in (MODEL.fingerprint, MODEL.manifest_sha256, MODEL.statement, "90 %"):
        assert part in parameters
    assert _code(items["121005"][0]) == ("121007", "DCM")
    assert items["121015"][0].TextValue == "bone_age 1"


def test_a_reader_finds_it_in_sentences() -> None:
    text = _text(_report(result_of_phantom(1, prediction={"warning": "right_hand lossy"})))
    for part in (
        *("Bone age 10 y 1 m (121.3 months)", "90 % prediction interval: 105.2 to 137.5 months"),
        *("Chronological age 9 y 10 m", "SD score +0.31: average", RESEARCH_ONLY),
        *(WARNINGS["right_hand"], WARNINGS["lossy"]),
    ):
        assert part in text


def test_the_adult_height_is_told_in_words_since_it_has_no_code() -> None:
    growth = assess(
        Heights(138.0, 165.0, 180.0),
        bone_age_months=121.34,
        chronological_age_months=118.2,
        sex="F",
        low_months=105.2,
        high_months=137.5,
        reading_method="greulich_pyle",
    )
    result = result_of_phantom(1, prediction={"growth": growth, "sex": "F"})
    comments = [item.TextValue for item in _items(_report(result))["121106"]]
    assert comments[0].startswith("Predicted adult height 159.1 cm, 90 % interval")
    assert any(text.startswith("Target height by the parents 166.0 cm") for text in comments)
    assert derived_uid(result, "x", uid_root=None) != derived_uid(
        result_of_phantom(1, prediction={"sex": "F"}), "x", uid_root=None
    )
    rounded = result.prediction.growth
    assert rounded is not None
    assert rounded.adult_height_cm == round(growth.adult_height_cm or 0, 1)


def test_what_is_not_known_is_not_said() -> None:
    nothing = dict.fromkeys(
        (
            *("bone_age_low_months", "bone_age_high_months", "chronological_age_months"),
            *("sd_score", "verdict_probability", "difference_months"),
        )
    )
    model = {"reading_method": None, "coverage": None}
    result = result_of_phantom(
        2,
        prediction={**nothing, "sex": "unknown", "verdict": ""},
        model=type(MODEL)(**{**vars(MODEL), **model}),
        without=("Laterality",),
    )
    report = _report(result)
    items = _items(report)
    absent = ("371886008", "371885007", "121416", "121406", "370129005", "272741003", "121033")
    assert not set(absent) & set(items)
    assert _code(items["121032"][0]) == ("U", "DCM")
    text = _text(report)
    assert "unknown sex" in text
    assert not any(word in text for word in ("interval", "SD", "Chronological", "None"))


def test_a_rejected_radiograph_has_its_reason() -> None:
    report = _report(result_of_phantom(2, rejected=TWO_HANDS))
    items = _items(report)
    assert _code(items["111101"][0]) == ("TWO_HANDS", "99BONEAGETF")
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99BONEAGETF"
    assert "Bone age not assessed: there is more than one hand in the picture." in _text(report)
    assert not {"85151-9", "111030"} & set(items)


def test_a_reader_at_a_viewer_is_not_told_what_to_type() -> None:
    advice = "body_part: the header names another body part (FOOT): if it is a hand, --accept-dicom"
    text = _text(_report(result_of_phantom(2, rejected=advice)))
    assert "Bone age not assessed: the header names another body part (FOOT)." in text
    assert "--" not in text


def test_older_viewers_get_comprehensive_sr() -> None:
    report = _report(result_of_phantom(1), DicomOutputConfig(sr="comprehensive"))
    assert report.SOPClassUID == pydicom.uid.ComprehensiveSRStorage
    assert report.SOPInstanceUID != _report(result_of_phantom(1)).SOPInstanceUID


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "SOPClassUID", "Rows"])
def test_without_a_study_or_a_size_there_is_no_report(keyword: str) -> None:
    result = result_of_phantom(1, without=(keyword,))
    assert keyword in result.obstacle
    assert report_of(result, CONFIG) is None


def test_a_rejected_radiograph_without_a_size_has_a_report() -> None:
    result = result_of_phantom(1, rejected="damaged: it does not tell it", without=("Rows",))
    assert set(objects_of(result, DicomOutputConfig(objects=DICOM_OBJECTS))) >= {
        "report",
        "key_object",
    }


def test_what_is_no_radiograph_has_no_report() -> None:
    result = result_of_phantom(1, rejected="not_a_radiograph: it is not", SOPClassUID="1.2.3")
    assert "no radiograph" in result.obstacle
    assert report_of(result, CONFIG) is None


@pytest.mark.parametrize("reason", FAULTS_OF_THE_MACHINE)
def test_a_fault_of_the_machine_is_not_reported(reason: str) -> None:
    assert report_of(result_of_phantom(1, rejected=f"{reason}: so"), CONFIG) is None


# === The study that it belongs to ===

TAKEN_OVER: dict[str, Any] = {
    "PatientID": "P" * 70,
    "IssuerOfPatientID": "CLINIC",
    "PatientAge": "009Y",
    "StudyID": "a study that has a long name",
    "AccessionNumber": "A 1",
    "ReferringPhysicianName": "Smith^Jo",
    "StudyInstanceUID": "1.2.03.4",
    "TimezoneOffsetFromUTC": "+0100",
}


@pytest.mark.parametrize("keyword", TAKEN_OVER)
def test_patient_and_study_are_taken_over_as_received(keyword: str) -> None:
    report = _read(result_of_phantom(1, **{keyword: TAKEN_OVER[keyword]}))
    with pydicom.config.disable_value_validation():
        assert report[keyword].value == TAKEN_OVER[keyword]


@pytest.mark.parametrize(
    "name",
    ["Müller^Jörg", "山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう"],
)
def test_names_keep_their_character_set(name: str) -> None:
    character_set: Any = "ISO_IR 100" if name[0] == "M" else "ISO_IR 192"
    if "=" in name:
        character_set = ["", "ISO 2022 IR 87"]
    report = _read(result_of_phantom(1, SpecificCharacterSet=character_set, PatientName=name))
    assert report.PatientName == name
    assert "Bone age" in _text(report)


ODD: dict[str, dict[str, Any]] = {
    "a date that is none": {"StudyDate": "2024.01.31", "StudyTime": "12:30"},
    "a birth date that is none": {"PatientBirthDate": "20061341"},
    "an age that is none": {"PatientAge": "12"},
    "a sex that is none": {"PatientSex": "male"},
    "a side that is none": {"Laterality": "LEFT"},
    "a character set that is none": {"SpecificCharacterSet": "Latin", "PatientName": "Müller"},
    "spacing that is none": {"ImagerPixelSpacing": ["0.1"]},
    "an orientation that is none": {"PatientOrientation": ["L"]},
    "a name of one word": {"PatientName": "Miller"},
    "two patients": {"PatientID": ["1", "2"]},
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_attribute_is_no_error(what: str) -> None:
    report = _read(result_of_phantom(2, **ODD[what]))
    assert _number(_items(report)["85151-9"][0])[0] == 121.3


OPTIONAL = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "Modality"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("AcquisitionDate", "ContentDate", "SeriesDate", "Manufacturer", "ImagerPixelSpacing"),
    *("PatientOrientation", "BodyPartExamined", "ImageLaterality", "StudyDescription"),
)


def test_optional_attributes_may_be_missing_one_by_one_and_all() -> None:
    for without in (*((keyword,) for keyword in OPTIONAL), OPTIONAL):
        report = _read(result_of_phantom(1, without=without))
        assert _number(_items(report)["85151-9"][0])[0] == 121.3
    assert (report.ContentDate, report.ContentTime) == ("19930101", "000000")
    assert report.PatientID == ""


def test_optional_attributes_may_be_empty() -> None:
    report = _read(result_of_phantom(1, **dict.fromkeys(OPTIONAL, None)))
    assert _number(_items(report)["85151-9"][0])[0] == 121.3


def _read(result: Result) -> Dataset:
    """The report, written and read again, also by highdicom."""
    stream = pydicom.filebase.DicomBytesIO(encoded(_report(result)))
    with pydicom.config.disable_value_validation():
        report = highdicom.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(stream))
        assert report.content.get_observer_contexts()
        return report


# === The same report for the same result ===


class _AnotherDay(datetime.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> "_AnotherDay":
        return cls(2031, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("rejected", ["", TWO_HANDS])
def test_the_clock_changes_nothing(rejected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash seeds: test_objects_of_result.py."""
    first = encoded(_report(result_of_phantom(2, rejected=rejected)))
    monkeypatch.setattr(datetime, "datetime", _AnotherDay)
    assert encoded(_report(result_of_phantom(2, rejected=rejected))) == first


def _uid(**changes: Any) -> str:
    return str(_report(result_of_phantom(1, **changes)).SOPInstanceUID)


def test_a_rerun_has_the_same_uid_and_no_date_of_its_own() -> None:
    report = _report(result_of_phantom(1, prediction={"id": "dicom-0007", "file": "b.dcm"}))
    assert report.SOPInstanceUID == _uid()
    assert str(datetime.date.today().year) not in (report.ContentDate, report.InstanceCreationDate)
    assert report.ContentDate == report.InstanceCreationDate == "20240131"
    assert _uid(prediction={"bone_age_months": 121.3400001}) == _uid()
    assert _uid(WindowCenter=1000) == _uid()


def test_another_result_has_another_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    model = type(MODEL)(**{**vars(MODEL), "manifest_sha256": "cd" * 32})
    uids = [
        *(_uid(), _uid(model=model), _uid(PatientName="Corrected^Name")),
        *(_uid(prediction={"sex": "F"}), _uid(prediction={"bone_age_months": 122})),
        *(_uid(prediction={"chronological_age_months": 100}), _uid(rejected=TWO_HANDS)),
    ]
    monkeypatch.setattr(identifiers, "__version__", "9.9.9")
    assert len({*uids, _uid()}) == len(uids) + 1


def test_the_site_can_have_its_own_root() -> None:
    report = _report(result_of_phantom(1), DicomOutputConfig(uid_root="1.2.826.0.1"))
    for uid in (report.SOPInstanceUID, report.SeriesInstanceUID):
        assert uid.startswith("1.2.826.0.1.")
        assert len(uid) <= 64
    assert report.SOPInstanceUID != report.SeriesInstanceUID
    assert report.StudyInstanceUID == pydicom.dcmread(_stream()).StudyInstanceUID


def _stream() -> Any:
    return pydicom.filebase.DicomBytesIO(file_with(1))


@pytest.mark.parametrize("uid", ["", "1.02.3"])
def test_a_frame_of_reference_that_is_none_is_left(uid: str) -> None:
    report = _report(result_of_phantom(1, FrameOfReferenceUID=uid))
    uids = [str(one.value or "") for one in report.iterall() if one.keyword == "UID"]
    assert uids and uid not in uids
