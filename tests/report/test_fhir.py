"""`predict --fhir`: Observations that a FHIR library takes, and what is in them."""

import dataclasses
import json
import re
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, encode
from dicom_files import dicom_of
from dicom_results import PREDICTION, _rejected

from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import read_header
from bone_age_tf.dicom_output.results import identity_of
from bone_age_tf.files.images import SourceFile
from bone_age_tf.growth import Heights, assess
from bone_age_tf.inference.predict import Predicted
from bone_age_tf.report.fhir import FhirFolder, observation_of

MODEL = identity_of(ROOT / "saved_models/bone_age")
GREY = np.full((340, 260), 700, np.uint16)
PNG = encode(np.full((99, 99), 90, np.uint8))
TWO_HANDS = "two_hands: there is more than one hand in the picture"


def predicted(content: bytes, *, rejected: str = "", path: str = "", **row: Any) -> Predicted:
    """As `predict` hands it on."""
    header = read_header(content)
    prediction = PREDICTION.__class__(**{**vars(PREDICTION), **row})
    return Predicted(
        file=SourceFile("Canary^Jane.dcm", path),
        prediction=_rejected(prediction, rejected) if rejected else prediction,
        header=None if isinstance(header, Fault) else header,
        encoded=content,
        prepared=None,
        prepared_to_original=None,
        shown_id="dicom-0001",
    )


def observation(content: bytes, **given: Any) -> dict[str, Any]:
    """The Observation, after a library of FHIR has read it and written the same."""
    fhir = pytest.importorskip("fhir.resources.R4B.observation", reason="fhir.resources is not installed")  # fmt: skip
    made = observation_of(predicted(content, **given), MODEL)
    read = fhir.Observation.model_validate_json(json.dumps(made))
    assert json.loads(read.model_dump_json()) == made
    return made


def component(made: dict[str, Any], code: str) -> dict[str, Any]:
    """The component with this code."""
    coded = [one for one in made["component"] if "coding" in one["code"]]
    [found] = [one for one in coded if one["code"]["coding"][0]["code"] == code]
    return found


def months(quantity: dict[str, Any]) -> float:
    """A quantity in months."""
    assert quantity["system"] == "http://unitsofmeasure.org" and quantity["code"] == "mo"
    return quantity["value"]


def test_the_bone_age_and_what_belongs_to_it() -> None:
    made = observation(dicom_of(GREY))
    assert made["status"] == "preliminary"
    assert made["category"][0]["coding"][0]["code"] == "imaging"
    assert made["code"]["coding"] == [
        {"system": "http://loinc.org", "code": "85151-9", "display": "XR Bone age"}
    ]
    assert months(made["valueQuantity"]) == 121.3
    interval = component(made, "371884006")
    assert interval["code"]["text"] == "90 % prediction interval"
    assert [months(interval["valueRange"][end]) for end in ("low", "high")] == [105.2, 137.5]
    score = component(made, "121416")
    assert score["valueQuantity"]["value"] == 0.31
    assert [score["referenceRange"][0][end]["value"] for end in ("low", "high")] == [-2, 2]
    assert score["interpretation"][0]["coding"][0]["code"] == "N"
    assert months(component(made, "121033")["valueQuantity"]) == 118.2
    assert made["effectiveDateTime"] == "2024-01-31"
    assert "121.3 months" in made["text"]["div"] and "Not a medical device" in made["text"]["div"]
    assert "Not a medical device" in made["note"][0]["text"]


def test_what_is_not_known_is_left_out() -> None:
    nothing = dict.fromkeys(
        (
            *("bone_age_low_months", "bone_age_high_months", "chronological_age_months"),
            *("difference_months", "sd_score", "verdict_probability"),
        )
    )
    made = observation(dicom_of(GREY, StudyDate=None), verdict="", **nothing)
    assert not {"component", "effectiveDateTime"} & set(made)


def test_a_rejected_radiograph_has_the_reason_and_no_value() -> None:
    made = observation(dicom_of(GREY), rejected=TWO_HANDS)
    assert made["status"] == "cancelled"
    assert made["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert made["dataAbsentReason"]["text"] == TWO_HANDS
    assert not {"valueQuantity", "component"} & set(made)
    assert "No bone age: there is more than one hand in the picture." in [
        note["text"] for note in made["note"]
    ]


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ImageLaterality": "L"}, "85151006"),
        ({"ImageLaterality": None, "Laterality": "R"}, "78791008"),
        ({"ImageLaterality": None}, "85562004"),
        ({"ImageLaterality": "U"}, "85562004"),
    ],
)
def test_the_site_is_the_hand_of_the_header(attributes: dict[str, Any], code: str) -> None:
    assert observation(dicom_of(GREY, **attributes))["bodySite"]["coding"][0]["code"] == code


def test_the_method_stands_where_the_model_has_one() -> None:
    known = MODEL.__class__(**{**vars(MODEL), "reading_method": "greulich_pyle"})
    unknown = MODEL.__class__(**{**vars(MODEL), "reading_method": None})
    one = predicted(dicom_of(GREY))
    assert observation_of(one, known)["method"]["coding"][0]["code"] == "252956001"
    assert "method" not in observation_of(one, unknown)


def test_the_device_is_the_model() -> None:
    made = observation(dicom_of(GREY))
    [device] = made["contained"]
    assert made["device"]["reference"] == f"#{device['id']}"
    assert device["serialNumber"] == MODEL.manifest_sha256
    versions = {one["type"]["text"]: one["value"] for one in device["version"]}
    assert versions["model"] == "1"
    assert versions["preprocessing fingerprint (sha256)"] == MODEL.fingerprint


# === Identity ===


def test_patient_and_study_are_named_by_their_identifiers_alone() -> None:
    made = observation(dicom_of(GREY, IssuerOfPatientID="HOSPITAL"))
    identifier = made["subject"]["identifier"]
    assert identifier["value"] == "canary-patient"
    assert identifier["assigner"] == {"display": "HOSPITAL"}
    study, image = made["derivedFrom"]
    assert study["type"] == "ImagingStudy"
    assert study["identifier"]["value"] == "urn:oid:1.2.826.0.1.3680043.8.498.1"
    assert image["identifier"]["value"].startswith("urn:oid:1.2.826.0.1.3680043.8.498.")
    text = json.dumps(made)
    for canary in ("Canary", "Jane", "accession", "20140131", "2014-01-31"):
        assert canary not in text


def test_a_picture_that_is_not_dicom_has_no_subject() -> None:
    made = observation(PNG)
    assert not {"subject", "derivedFrom", "effectiveDateTime"} & set(made)
    assert "Canary" not in json.dumps(made)


@pytest.mark.parametrize("content", [PNG, dicom_of(GREY), dicom_of(GREY, SOPInstanceUID=None)])
def test_the_same_file_and_model_give_the_same_observation(content: bytes) -> None:
    made = observation(content)
    assert observation(content) == made
    assert uuid.UUID(made["id"]).version == 5
    uid = made["identifier"][0]["value"].removeprefix("urn:oid:2.25.")
    assert uuid.UUID(int=int(uid)) == uuid.UUID(made["id"])
    other = MODEL.__class__(**{**vars(MODEL), "manifest_sha256": "00" * 32})
    assert observation_of(predicted(content), other)["id"] != made["id"]
    assert observation(content, bone_age_months=99.0)["id"] != made["id"]


def test_files_that_were_not_read_are_told_apart(tmp_path: Path) -> None:
    ids = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode(np.full((99, 99), number, np.uint8)))
        one = predicted(PNG, rejected="no_sex: nothing tells the sex", path=str(path))
        ids.append(observation_of(dataclasses.replace(one, encoded=b""), MODEL)["id"])
    gone = dataclasses.replace(predicted(PNG, path=str(tmp_path / "gone")), encoded=b"")
    assert len({*ids, observation_of(gone, MODEL)["id"]}) == 3


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientID": None},
        {"PatientID": ""},
        {"StudyInstanceUID": None},
        {"StudyDate": "20240231"},
        {"PatientID": "A<b>&\\C"},
        {"PatientID": "患者1", "SpecificCharacterSet": "ISO_IR 192"},
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the file that is made
def test_odd_headers_give_an_observation(attributes: dict[str, Any]) -> None:
    made = observation(dicom_of(GREY, **attributes))
    assert re.fullmatch(r"[A-Za-z0-9\-]{1,64}", made["id"])
    assert ("subject" in made) is bool(attributes.get("PatientID", "there"))


def test_a_file_for_each_row(tmp_path: Path) -> None:
    folder = FhirFolder(str(tmp_path), str(ROOT / "saved_models/bone_age"))
    folder(predicted(dicom_of(GREY)))
    folder(predicted(PNG, rejected=TWO_HANDS))
    assert folder.written == 2
    names = sorted(path.name for path in (tmp_path / "fhir").iterdir())
    assert names == ["0001.json", "0002.json"]
    assert json.loads((tmp_path / "fhir/0002.json").read_text())["status"] == "cancelled"


def test_the_adult_height_is_there_where_a_height_was_given() -> None:
    growth = assess(
        Heights(138.0, 165.0, 180.0),
        bone_age_months=121.3,
        chronological_age_months=118.2,
        sex="F",
        low_months=105.2,
        high_months=137.5,
        reading_method="greulich_pyle",
    )
    made = observation(dicom_of(GREY), growth=growth)
    height = component(made, "8302-2")["valueQuantity"]
    assert (height["value"], height["unit"]) == (138.0, "cm")
    by_text = {one["code"]["text"]: one for one in made["component"]}
    adult = by_text["Predicted adult height (Bayley-Pinneau)"]
    assert "coding" not in adult["code"]  # neither LOINC nor SNOMED CT has one
    assert adult["valueQuantity"]["value"] == round(growth.adult_height_cm or 0, 1)
    between = by_text[
        "Predicted adult height (Bayley-Pinneau): 90 % interval by that of the bone age"
    ]
    assert between["valueRange"]["low"]["value"] < 160 < between["valueRange"]["high"]["value"]
    assert by_text["Target height by the parents (tanner)"]["valueQuantity"]["value"] == 166.0
    assert any("errors of 5 to 6 cm" in note["text"] for note in made["note"])
