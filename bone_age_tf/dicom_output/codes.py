"""Coded concepts of the report and of the FHIR Observation, each with its source. No DICOM package is needed."""

from typing import NamedTuple


class Concept(NamedTuple):
    """A code of a coding scheme."""

    value: str
    scheme: str
    """`DCM`, `LN` (LOINC), `SCT` (SNOMED CT), `UCUM`."""
    meaning: str


BONE_AGE = Concept("85151-9", "LN", "XR Bone age")
"""LOINC. 37362-1 is a report code with the same words."""
MONTH = Concept("mo", "UCUM", "month")
