"""The drawn result as a Secondary Capture of one frame in RGB, which every viewer shows."""

from typing import TYPE_CHECKING, Any

from bone_age_tf import __version__
from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output import codes
from bone_age_tf.dicom_output.attributes import lenient, model_name
from bone_age_tf.dicom_output.drawing import draw
from bone_age_tf.dicom_output.instance import (
    body_part_of,
    completed,
    evidence_of,
    identity,
    orientation_of,
    repeat,
    side_of,
)
from bone_age_tf.dicom_output.report import coded
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def picture_of(result: Result, config: DicomOutputConfig) -> "Dataset | None":
    """None where the radiograph cannot be decoded."""
    pixels = None if result.obstacle else draw(result)
    if pixels is None:
        return None
    import highdicom as hd
    from pydicom.uid import ExplicitVRLittleEndian

    with lenient():
        evidence = evidence_of(result)
        dataset = hd.sc.SCImage.from_ref_dataset(
            evidence,
            pixels,
            photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
            bits_allocated=8,
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            patient_orientation=(
                "L",
                "F",
            ),  # replaced below: it may be unknown, which highdicom refuses
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **identity(result, "picture", config),
        )
        _describe(dataset, result)
        return completed(dataset, evidence, result, config)


def _describe(dataset: Any, result: Result) -> None:
    """What it shows, and what it was made of."""
    dataset.Modality = "OT"  # no radiograph: a node that takes those of DX and CR leaves it
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.BodyPartExamined = body_part_of(result)
    dataset.Laterality = side_of(result)
    dataset.PatientOrientation = orientation_of(result)
    dataset.DerivationDescription = f"Outline and bone age drawn on the radiograph, model {model_name(result)}, bone-age-tf {__version__}"
    dataset.DerivationCodeSequence = [coded(codes.SPATIAL_RESAMPLING)]
    dataset.SourceImageSequence = [_source_image(result)]
    # Whether its text identifies the patient (PS3.3, C.7.6.1): ours does not, that of the radiograph may.
    burned_in = result.source.get("BurnedInAnnotation")
    if burned_in in ("YES", "NO"):
        dataset.BurnedInAnnotation = burned_in
    if result.source.get("LossyImageCompression") == "01":  # what was lost stays lost
        repeat(dataset, result.source, _LOSSY)


def _source_image(result: Result) -> "Dataset":
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = result.source.SOPClassUID
    item.ReferencedSOPInstanceUID = result.source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE)]
    return item
