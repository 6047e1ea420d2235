"""Key Object Selection: flags the radiograph, and the report on it, so that a viewer finds both."""

from typing import TYPE_CHECKING

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output import codes
from bone_age_tf.dicom_output.attributes import ascii_of, lenient
from bone_age_tf.dicom_output.instance import completed, evidence_of, identity
from bone_age_tf.dicom_output.refusals import IMAGE_QUALITIES, POSITIONING, UNUSABLE
from bone_age_tf.dicom_output.remarks import conclusion_of, remarks_of
from bone_age_tf.dicom_output.report import coded, report_of
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def key_object_of(result: Result, config: DicomOutputConfig) -> "Dataset | None":
    """Of the radiograph, and of the report where one is made; None where no object can be made."""
    if result.obstacle:
        return None
    import highdicom as hd
    from pydicom.uid import ExplicitVRLittleEndian

    report = report_of(result, config) if "report" in config.objects else None
    with lenient():
        evidence = evidence_of(result)
        flagged = [evidence] if report is None else [evidence, report]
        selection = hd.ko.KeyObjectSelection(
            document_title=coded(_title(result)),
            referenced_objects=flagged,
            description=ascii_of(" ".join([conclusion_of(result), *remarks_of(result)])),
        )
        dataset = hd.ko.KeyObjectSelectionDocument(
            flagged,
            selection,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **identity(result, "key_object", config),
        )
        return completed(dataset, evidence, result, config)


def _title(result: Result) -> codes.Concept:
    """Not 113001, Rejected for Quality Reasons: archives hide what is flagged with it (IHE Image Object Change Management)."""
    quality = IMAGE_QUALITIES.get(result.prediction.reason.partition(":")[0])
    return codes.QUALITY_ISSUE if quality in (POSITIONING, UNUSABLE) else codes.OF_INTEREST
