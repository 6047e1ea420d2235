"""The kinds of objects of a result."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output.key_object import key_object_of
from bone_age_tf.dicom_output.picture import picture_of
from bone_age_tf.dicom_output.presentation_state import presentation_state_of
from bone_age_tf.dicom_output.report import report_of
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.dicom_output.segmentation import segmentation_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Maker = Callable[[Result, DicomOutputConfig], "Dataset | None"]
MAKERS: Mapping[str, Maker] = {
    "report": report_of,
    "picture": picture_of,
    "key_object": key_object_of,
    "presentation_state": presentation_state_of,
    "segmentation": segmentation_of,
}
"""Kind -> what makes it; None where the result gives no such object, as a mask of a rejected radiograph."""

NEED_RADIOGRAPH = ("picture",)
"""Kinds that are made of `Result.png`."""
