"""What a row of results says of a header that contradicts itself, or of pixels that may mislead."""

from collections.abc import Mapping

SEX_OTHER = "sex_other"
SEX_UNKNOWN = "sex_unknown"
SEX_DIFFERS = "sex_differs"
AGE_DIFFERS = "age_differs"
AGE_IMPLAUSIBLE = "age_implausible"
CHRONOLOGICAL_AGE_DIFFERS = "chronological_age_differs"
RIGHT_HAND = "right_hand"
LATERALITY_DIFFERS = "laterality_differs"
BODY_PART_UNKNOWN = "body_part_unknown"
BODY_PART_DIFFERS = "body_part_differs"
FOR_PROCESSING = "for_processing"
BURNED_IN = "burned_in"
LOSSY = "lossy"

WARNINGS: Mapping[str, str] = {
    SEX_OTHER: "the header's sex is O (other): the sex is unknown unless it is given",
    SEX_UNKNOWN: "the header does not tell the sex: the bone age is that for an unknown sex",
    SEX_DIFFERS: "the sex that was given is not that of the header; the result has the one that was used",
    AGE_DIFFERS: "birth date and Patient's Age differ by more than a year: the birth date is used",
    AGE_IMPLAUSIBLE: "an age of the header is negative or over 30 years: it is not used",
    CHRONOLOGICAL_AGE_DIFFERS: "the age that was given differs from the header's by more than a year",
    RIGHT_HAND: "the header says right hand: its thumb is turned to the side of a left one",
    LATERALITY_DIFFERS: "the thumb is not on the side that the header's laterality and view imply",
    BODY_PART_UNKNOWN: "the header's body part is no term that is known here",
    BODY_PART_DIFFERS: "the header names another body part, which was accepted",
    FOR_PROCESSING: "For Processing: not the grey levels that a reader sees; it was accepted",
    BURNED_IN: "the header says that text is burned into the picture: it may show a name",
    LOSSY: "the picture was compressed with loss",
}
"""Code -> one line for a person, without anything that identifies a patient."""
