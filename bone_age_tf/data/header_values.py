"""DICOM radiographs whose header says that they are not to be read, or otherwise than what was given."""

import math
from collections.abc import Iterator

import numpy as np

from bone_age_tf.dicom.admission import fault_in
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header
from bone_age_tf.dicom.warnings import (
    CHRONOLOGICAL_AGE_DIFFERS,
    LATERALITY_DIFFERS,
    SEX_DIFFERS,
    SEX_OTHER,
    SEX_UNKNOWN,
)
from bone_age_tf.sex import Sex

UNKNOWN = Sex.UNKNOWN.label
MOST_MONTHS = 12.0
"""By which a chronological age may differ from the header's without a warning."""
_SEEN_FROM_THE_BACK = ("", "PA")
"""Views, by their code, of the back of the hand."""


def rejected_by(header: Header | Fault | None) -> Fault | None:
    """Why a file is not decoded: its header cannot be read, or tells that it is not a radiograph of a hand."""
    return header if header is None or isinstance(header, Fault) else fault_in(header)


def warnings_of(
    header: Header,
    *,
    sex: str | None,
    chronological_age_months: float | None = None,
    prepared_to_original: np.ndarray | None = None,
) -> Iterator[str]:
    """Codes of `dicom.warnings.WARNINGS`: those of the header, and where it is not what was given or seen.

    `sex` and age are those that were used; the matrix [2, 3] is that of a registered radiograph, None of any other.
    """
    yield from header.warnings
    if header.sex is None and sex == UNKNOWN and SEX_OTHER not in header.warnings:
        yield SEX_UNKNOWN
    if header.sex is not None and sex in ("F", "M") and sex != header.sex:
        yield SEX_DIFFERS
    age = math.nan if chronological_age_months is None else chronological_age_months
    if abs(age - header.chronological_age_months) > MOST_MONTHS:
        yield CHRONOLOGICAL_AGE_DIFFERS
    if prepared_to_original is not None and _is_other_hand(header, prepared_to_original):
        yield LATERALITY_DIFFERS


def _is_other_hand(header: Header, prepared_to_original: np.ndarray) -> bool:
    """Whether the thumb is on the side of the other hand, which of a left one seen from its back is the right.

    The prepared radiograph has it there, so that the matrix mirrors where the picture has it on the left. Of other
    views than PA it is not known on which side it should be.
    """
    if not header.laterality or header.view not in _SEEN_FROM_THE_BACK:
        return False
    is_mirrored = bool(np.linalg.det(np.asarray(prepared_to_original)[:, :2]) < 0)
    return is_mirrored != (header.laterality == "R")
