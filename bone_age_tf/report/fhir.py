"""`predict --fhir`: each result as a FHIR R4 Observation in JSON (hl7.org/fhir/R4/observation.html).

| element | content |
|---|---|
| `status` | `preliminary`: nobody has verified it; `cancelled` of a rejected radiograph, with the reason in `dataAbsentReason` |
| `code`, `valueQuantity` | LOINC 85151-9, months |
| `component` | prediction interval, SD score with its limits and verdict, chronological age; where a height was given: it, the adult height and the target height |
| `bodySite`, `method` | the hand and its side; the method, where the labels were read by one |
| `device` | contained: the model with its version and fingerprints |
| `subject`, `derivedFrom` | of DICOM files alone, by identifiers: the Patient ID; the study and the image by their UIDs |

The prediction interval is a component: `referenceRange` would be that of healthy children, and no extension of R4 has the
interval of an estimate. No name, date of birth or Accession Number is in it.
"""

import dataclasses
import hashlib
import html
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bone_age_tf import __version__
from bone_age_tf.config.choices import RESEARCH_ONLY, SD_SCORE_CONVENTION
from bone_age_tf.dicom_output import codes
from bone_age_tf.dicom_output.codes import Concept
from bone_age_tf.dicom_output.identifiers import derived_uid, uid_of
from bone_age_tf.dicom_output.result import ModelIdentity
from bone_age_tf.dicom_output.results import identity_of, result_of
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import write_json
from bone_age_tf.growth.reference_standards import LIMIT_SD
from bone_age_tf.inference.predict import Predicted
from bone_age_tf.inference.prediction import Prediction
from bone_age_tf.inference.sentences import (
    growth_sentences,
    reason_without_advice,
    warning_sentences,
)
from bone_age_tf.metrics.predictions import OK
from bone_age_tf.report.fhir_elements import concept, heights, months, scores

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FOLDER = "fhir"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
URI = "urn:ietf:rfc:3986"
DICOM_UID = "urn:dicom:uid"
HANDS = {
    "L": Concept("85151006", "SCT", "Structure of left hand"),
    "R": Concept("78791008", "SCT", "Structure of right hand"),
}
"""One concept for site and side: an Observation has no element for the side alone."""
INTERPRETATIONS = {"delayed": ("L", "Low"), "average": ("N", "Normal"), "advanced": ("H", "High")}
"""Verdict -> ObservationInterpretation."""


class FhirFolder:
    """Writes `OUTPUT/fhir/NUMBER.json` for each radiograph, NUMBER being that of its row; `output` is that of `predict`."""

    def __init__(self, output: str, model: str) -> None:
        """Raises `ModelRefusedError` without a model."""
        self.folder = Path(output) / FOLDER
        self.written = 0
        self._model = identity_of(model)

    def __call__(self, predicted: Predicted) -> None:
        """Write the Observation of the next radiograph."""
        self.folder.mkdir(exist_ok=True)
        self.written += 1
        observation = observation_of(predicted, self._model)
        write_json(self.folder / f"{self.written:04d}.json", observation)


def observation_of(predicted: Predicted, model: ModelIdentity) -> dict[str, Any]:
    """The Observation as JSON; the same for the same file and model."""
    try:
        result = result_of(predicted, model, with_radiograph=False)
    except InputDataError:  # the file is gone: then without what its header says
        result = None
    row, source = predicted.prediction, None if result is None else result.source
    if result is not None and result.source.get("SOPInstanceUID"):
        uid = derived_uid(result, "fhir", uid_root=None)
    else:
        uid = _uid_by_content(predicted, model)
    elements = {
        "resourceType": "Observation",
        "id": str(uuid.UUID(int=int(uid.removeprefix("2.25.")))),
        "text": _narrative(row),
        "contained": [_device(model)],
        "identifier": [{"system": URI, "value": f"urn:oid:{uid}"}],
        "status": "preliminary" if row.status == OK else "cancelled",
        "category": [_category()],
        "code": concept(codes.BONE_AGE),
        "bodySite": _body_site(source),
        "method": _method(model),
        "device": {"reference": "#model"},
        "note": [{"text": text} for text in _notes(row, model)],
        **(_value(row, model) if row.status == OK else _absent(row)),
        **({} if source is None else _of_source(source)),
    }
    return {name: value for name, value in elements.items() if value}


def _uid_by_content(predicted: Predicted, model: ModelIdentity) -> str:
    """Of a file without a UID of its own: by its content, or its name where it cannot be read."""
    row = dataclasses.replace(predicted.prediction, id="", file="")
    try:
        content = hashlib.sha256(predicted.encoded or predicted.file.read()).hexdigest()
    except InputDataError:
        content = predicted.shown_id
    about = ["fhir", __version__, content, model.manifest_sha256, dataclasses.asdict(row)]
    return uid_of(json.dumps(about), uid_root=None)


# === The value ===


def _value(row: Prediction, model: ModelIdentity) -> dict[str, Any]:
    assert row.bone_age_months is not None
    return {
        "valueQuantity": months(row.bone_age_months),
        "component": list(_components(row, model)),
    }


def _components(row: Prediction, model: ModelIdentity) -> Iterator[dict[str, Any]]:
    low, high = row.bone_age_low_months, row.bone_age_high_months
    coverage = "" if model.coverage is None else f"{100 * model.coverage:g} % "
    if low is not None and high is not None:
        yield {
            "code": {**concept(codes.UNCERTAINTY), "text": f"{coverage}prediction interval"},
            "valueRange": {"low": months(low), "high": months(high)},
        }
    if row.sd_score is not None:
        yield _sd_score(row.sd_score, row.verdict)
    if row.chronological_age_months is not None:
        yield {
            "code": {**concept(codes.SUBJECT_AGE), "text": "Chronological age"},
            "valueQuantity": months(row.chronological_age_months),
        }
    if row.growth is not None:
        yield from heights(row.growth, coverage)


def _sd_score(score: float, verdict: str) -> dict[str, Any]:
    component = {
        "code": {**concept(codes.Z_SCORE), "text": f"SD score ({SD_SCORE_CONVENTION})"},
        "valueQuantity": scores(score),
        "referenceRange": [{"low": scores(-LIMIT_SD), "high": scores(LIMIT_SD)}],
    }
    if verdict in INTERPRETATIONS:
        code, display = INTERPRETATIONS[verdict]
        system = f"{TERMINOLOGY}/v3-ObservationInterpretation"
        coding = {"system": system, "code": code, "display": display}
        component["interpretation"] = [{"coding": [coding], "text": verdict}]
    return component


def _absent(row: Prediction) -> dict[str, Any]:
    coding = {
        "system": f"{TERMINOLOGY}/data-absent-reason",
        "code": "not-performed",
        "display": "Not Performed",
    }
    reason = row.reason.partition(":")[0]
    text = f"{reason}: {reason_without_advice(row.reason)}"
    return {"dataAbsentReason": {"coding": [coding], "text": text}}


def _notes(row: Prediction, model: ModelIdentity) -> list[str]:
    return [
        f"{RESEARCH_ONLY} Preliminary, not verified by a reader.",
        *([] if row.status == OK else [f"No bone age: {reason_without_advice(row.reason)}."]),
        *growth_sentences(row, model.coverage),
        *warning_sentences(row.warning),
        f"Sex that the bone age is for: {row.sex or 'not told'}.",
        f"Model: {model.statement}",
    ]


# === What it is about ===


def _narrative(row: Prediction) -> dict[str, str]:
    is_known = row.bone_age_months is not None
    value = f"{row.bone_age_months:.1f} months" if is_known else reason_without_advice(row.reason)
    text = html.escape(f"{codes.BONE_AGE.meaning}: {value}. {RESEARCH_ONLY}")
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}


def _category() -> dict[str, Any]:
    system = f"{TERMINOLOGY}/observation-category"
    return {"coding": [{"system": system, "code": "imaging", "display": "Imaging"}]}


def _body_site(source: "Dataset | None") -> dict[str, Any]:
    told = () if source is None else (source.get("ImageLaterality"), source.get("Laterality"))
    side = next((side for side in told if side in HANDS), "")
    return concept(HANDS.get(side, codes.HAND))


def _method(model: ModelIdentity) -> dict[str, Any] | None:
    return concept(codes.GREULICH_PYLE) if model.reading_method == "greulich_pyle" else None


def _device(model: ModelIdentity) -> dict[str, Any]:
    versions = {
        "bone-age-tf": __version__,
        "model": model.version,
        "preprocessing fingerprint (sha256)": model.fingerprint,
    }
    return {
        "resourceType": "Device",
        "id": "model",
        "manufacturer": "bone-age-tf",
        "serialNumber": model.manifest_sha256,
        "deviceName": [{"name": f"bone-age-tf {model.name}", "type": "model-name"}],
        "modelNumber": model.version,
        "version": [{"type": {"text": type}, "value": text} for type, text in versions.items()],
    }


def _of_source(source: "Dataset") -> dict[str, Any]:
    """Whom and what a DICOM header says that it is about."""
    about = {"ImagingStudy": "StudyInstanceUID", "Media": "SOPInstanceUID"}
    return {
        "subject": _subject(source),
        "effectiveDateTime": _date(source),
        "derivedFrom": [
            {
                "type": type,
                "identifier": {"system": DICOM_UID, "value": f"urn:oid:{source.get(keyword)}"},
            }
            for type, keyword in about.items()
            if source.get(keyword)
        ],
    }


def _subject(source: "Dataset") -> dict[str, Any] | None:
    """By the Patient ID, whose issuer is named where the header does."""
    patient_id = _text(source, "PatientID")
    if not patient_id:
        return None
    type = {"coding": [{"system": f"{TERMINOLOGY}/v2-0203", "code": "MR"}]}
    identifier = {"type": type, "value": patient_id}
    issuer = _text(source, "IssuerOfPatientID")
    if issuer:
        identifier["assigner"] = {"display": issuer}
    return {"type": "Patient", "identifier": identifier}


def _text(source: "Dataset", keyword: str) -> str:
    value = source.get(keyword) or ""
    return (value if isinstance(value, str) else "\\".join(value)).strip()


def _date(source: "Dataset") -> str | None:
    """Of the radiograph; a time would need a time zone."""
    dates = (str(source.get(f"{event}Date") or "") for event in ("Acquisition", "Study", "Series"))
    date = next((date for date in dates if len(date) == 8), None)
    return date and f"{date[:4]}-{date[4:6]}-{date[6:]}"
