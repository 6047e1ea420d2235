"""Coded concepts of the report and of the FHIR Observation, each with its source. No DICOM package is needed."""

from typing import NamedTuple


class Concept(NamedTuple):
    """A code of a coding scheme."""

    value: str
    scheme: str
    """`DCM`, `LN` (LOINC), `SCT` (SNOMED CT), `UCUM`, `UMLS`, or `OWN_SCHEME`."""
    meaning: str


OWN_SCHEME = "99BONEAGETF"
"""Designator of the codes that no standard has (PS3.16, 8: private ones begin with 99)."""
OWN_SCHEME_NAME = "Reasons of bone-age-tf for which a radiograph gets no bone age"

# === Report ===

BONE_AGE = Concept("85151-9", "LN", "XR Bone age")
"""LOINC. 37362-1 is a report code with the same words."""
VIEWS_FOR_BONE_AGE = Concept("24724-7", "LN", "XR Bones Views for bone age")
"""LOINC, the procedure that is reported."""
GREULICH_PYLE = Concept("252956001", "SCT", "Greulich and Pyle bone age method")
"""SNOMED CT: the measurement method, where the labels were read by that atlas."""
Z_SCORE = Concept("121416", "DCM", "Z-Score of measurement")
"""CID 227, Sample Statistical Descriptors: the SD score."""
UNCERTAINTY = Concept("371884006", "SCT", "+/-, range of measurement uncertainty")
"""CID 225: the prediction interval as a whole."""
SUBJECT_CLASS = Concept("121024", "DCM", "Subject Class")
PATIENT = Concept("121025", "DCM", "Patient")
SUBJECT_SEX = Concept("121032", "DCM", "Subject Sex")
"""TID 1007: the sex that the bone age is for."""
SUBJECT_AGE = Concept("121033", "DCM", "Subject Age")
"""TID 1007: the chronological age."""
BODY_HEIGHT = Concept("8302-2", "LN", "Body height")
"""LOINC, as in FHIR's vital signs (hl7.org/fhir/R4/bodyheight.html). Neither LOINC nor DICOM has a code of a predicted
adult height or of a mid-parental height: these are told in words."""
ARTIFICIAL_INTELLIGENCE = Concept("123110", "DCM", "Artificial Intelligence")
"""CID 7162, the algorithm family."""
IMAGE_QUALITY = Concept("111101", "DCM", "Image Quality")
QUALITATIVE_EVALUATIONS = Concept("C0034375", "UMLS", "Qualitative Evaluations")
"""TID 1500, row 12: the container of text."""
CONCLUSION = Concept("121077", "DCM", "Conclusion")
COMMENT = Concept("121106", "DCM", "Comment")

SEXES = {
    "F": Concept("F", "DCM", "Female"),
    "M": Concept("M", "DCM", "Male"),
    "unknown": Concept("U", "DCM", "Unknown sex"),
}
"""CID 7455."""

# === Site ===

ANATOMICAL_STRUCTURE = Concept("91723000", "SCT", "Anatomical Structure")
"""CID 7150, the category of a segment."""
HAND = Concept("85562004", "SCT", "Hand")
LATERALITIES = {
    "L": Concept("7771000", "SCT", "Left"),
    "R": Concept("24028007", "SCT", "Right"),
}
"""CID 244. There is no code of a left hand in the standard's tables."""

# === Units ===

MONTH = Concept("mo", "UCUM", "month")
NO_UNITS = Concept("1", "UCUM", "no units")

# === Key objects, CID 7010 ===

OF_INTEREST = Concept("113000", "DCM", "Of Interest")
QUALITY_ISSUE = Concept("113010", "DCM", "Quality Issue")

# === Derived images ===

SOURCE_IMAGE = Concept("121322", "DCM", "Source image for image processing operation")
"""CID 7202."""
SPATIAL_RESAMPLING = Concept("113085", "DCM", "Spatial resampling")
"""CID 7203. There is no code of drawing on an image."""
