"""Which objects of a study are meant: it may hold other radiographs, reports, and results of this software."""

from collections.abc import Mapping

from bone_age_tf.dicom.admission import fault_in
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header

LEFT_OUT = ("not_a_radiograph", "body_part", "for_processing")
"""Reasons for which an object is left out, where nobody chose it: without a result, since there is nothing to refuse."""


def left_out(header: Header | Fault | None) -> str:
    """The reason, of `LEFT_OUT`; empty: the object is predicted, or rejected. None is the header of a file that is not DICOM."""
    fault = fault_in(header) if isinstance(header, Header) else header
    return fault.reason if fault is not None and fault.reason in LEFT_OUT else ""


def in_words(counts: Mapping[str, int]) -> str:
    """`1 for_processing, 2 not_a_radiograph`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
