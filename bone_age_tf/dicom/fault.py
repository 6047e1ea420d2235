"""Why a DICOM file is not read."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A stable code and one line for a person, without anything that identifies a patient."""

    reason: str
    explanation: str


DAMAGED = Fault("damaged", "the DICOM file is truncated, or its pixels cannot be decoded")
