"""Elements of a FHIR Observation: coded concepts, quantities, and components with heights."""

from collections.abc import Iterator
from typing import Any

from bone_age_tf.dicom_output import codes
from bone_age_tf.dicom_output.codes import Concept
from bone_age_tf.growth.assessment import GrowthAssessment
from bone_age_tf.growth.wording import METHOD

SYSTEMS = {
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "SCT": "http://snomed.info/sct",
    "UCUM": "http://unitsofmeasure.org",
}
"""Coding scheme -> its system in FHIR."""


def concept(code: Concept) -> dict[str, Any]:
    """A CodeableConcept with its own meaning as text."""
    coding = {
        "system": SYSTEMS[code.scheme],
        "code": code.value,
        "display": code.meaning,
    }
    return {"coding": [coding], "text": code.meaning}


def months(value: float) -> dict[str, Any]:
    """A Quantity in months."""
    return {
        "value": round(value, 1),
        "unit": "months",
        "system": SYSTEMS["UCUM"],
        "code": codes.MONTH.value,
    }


def centimetres(value: float) -> dict[str, Any]:
    """A Quantity in centimetres."""
    return {"value": round(value, 1), "unit": "cm", "system": SYSTEMS["UCUM"], "code": "cm"}


def scores(value: float) -> dict[str, Any]:
    """A Quantity in SD."""
    return {"value": round(value, 2), "unit": "SD", "system": SYSTEMS["UCUM"], "code": "1"}


def heights(growth: GrowthAssessment, coverage: str) -> Iterator[dict[str, Any]]:
    """The height now; adult height and target height, for which there is no standard code, by their text."""
    if growth.height_cm is not None:
        code = {**concept(codes.BODY_HEIGHT), "text": "Height at the time of the radiograph"}
        yield {"code": code, "valueQuantity": centimetres(growth.height_cm)}
    for text, height, low, high in (
        (
            f"Predicted adult height ({METHOD})",
            growth.adult_height_cm,
            growth.adult_height_low_cm,
            growth.adult_height_high_cm,
        ),
        (
            f"Target height by the parents ({growth.target_height_convention})",
            growth.target_height_cm,
            growth.target_height_low_cm,
            growth.target_height_high_cm,
        ),
    ):
        if height is not None:
            yield {"code": {"text": text}, "valueQuantity": centimetres(height)}
        if low is not None and high is not None:
            kind = (
                "range"
                if text.startswith("Target")
                else f"{coverage}interval by that of the bone age"
            )
            between = {"low": centimetres(low), "high": centimetres(high)}
            yield {"code": {"text": f"{text}: {kind}"}, "valueRange": between}
