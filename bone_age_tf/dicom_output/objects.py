"""The objects of one result."""

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output.report import report_of
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Maker = Callable[[Result, DicomOutputConfig], "Dataset | None"]
MAKERS: Mapping[str, Maker] = {"report": report_of}
"""Kind -> what makes it; None where the result gives no such object, as a mask of a rejected radiograph."""


def objects_of(result: Result, config: DicomOutputConfig) -> dict[str, "Dataset"]:
    """Kind -> data set with its meta header, of the kinds that were asked for and that the result gives."""
    made = {kind: MAKERS[kind](result, config) for kind in config.objects}
    return {kind: dataset for kind, dataset in made.items() if dataset is not None}


def encoded(dataset: "Dataset") -> bytes:
    """The bytes of an object's file, the same for the same object."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
