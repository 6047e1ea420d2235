"""The structured report: TID 1500, with the bone age on the outline of the hand, or why there is none."""

from typing import TYPE_CHECKING

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def report_of(result: Result, config: DicomOutputConfig) -> "Dataset":
    """Comprehensive 3D SR or Comprehensive SR."""
    raise NotImplementedError
