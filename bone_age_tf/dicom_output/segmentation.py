"""The mask of the hand as a Segmentation, in the pixels of the radiograph."""

from typing import TYPE_CHECKING, Any

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output import codes
from bone_age_tf.dicom_output.attributes import ascii_of, lenient
from bone_age_tf.dicom_output.identifiers import derived_uid
from bone_age_tf.dicom_output.instance import (
    GREEN,
    body_part_of,
    completed,
    evidence_of,
    identity,
    orientation_of,
    side_of,
    values_of,
)
from bone_age_tf.dicom_output.report import coded
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

WHOLE = 0.98
"""Share of the pixels above which a mask is the radiograph itself."""


def segmentation_of(result: Result, config: DicomOutputConfig) -> "Dataset | None":
    """Binary, of one segment in one frame; None of a rejected radiograph, and where it would be no hand: a model without
    registration receives the whole radiograph."""
    if result.obstacle or result.mask is None or not 0 < result.mask.mean() < WHOLE:
        return None
    import highdicom as hd
    from pydicom.uid import ExplicitVRLittleEndian

    with lenient():
        evidence = evidence_of(result)
        dataset = hd.seg.Segmentation(
            [evidence],
            result.mask,
            hd.seg.SegmentationTypeValues.BINARY,
            [_segment(result)],
            content_label="HAND",
            content_description="What the model received of the radiograph",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **identity(result, "segmentation", config),
        )
        organization = derived_uid(result, "dimension organization", uid_root=config.uid_root)
        for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
            item.DimensionOrganizationUID = organization  # highdicom's is a random one
        _add_plane(dataset, result)
        dataset.ContentCreatorName = None  # required, may be empty
        dataset.PatientOrientation = orientation_of(result)  # there is no position in the patient
        dataset.BodyPartExamined = body_part_of(result)
        return completed(dataset, evidence, result, config)


def _segment(result: Result) -> Any:
    """The hand, of the side that the header tells."""
    import highdicom as hd

    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Hand",
        segmented_property_category=coded(codes.ANATOMICAL_STRUCTURE),
        segmented_property_type=coded(codes.HAND),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=ascii_of(result.model.name),
            version=ascii_of(result.model.version),
            family=coded(codes.ARTIFICIAL_INTELLIGENCE),
        ),
        display_color=hd.color.CIELabColor.from_rgb(*GREEN),
    )
    side = codes.LATERALITIES.get(side_of(result))
    if side is not None:
        hand = segment.SegmentedPropertyTypeCodeSequence[0]
        hand.SegmentedPropertyTypeModifierCodeSequence = [coded(side)]
    return segment


def _add_plane(dataset: Any, result: Result) -> None:
    """A plane with the radiograph's own axes, in no frame of reference.

    A radiograph has neither a position in the patient nor a thickness, and the standard asks for none. But readers do:
    without these OHIF 3.13 shows a black page, and dcmqi reads no mask. Without a spacing, lengths are in pixels.
    """
    from pydicom.dataset import Dataset

    measures, orientation, position = Dataset(), Dataset(), Dataset()
    spacings = (
        values_of(result.source, keyword) for keyword in ("PixelSpacing", "ImagerPixelSpacing")
    )
    measures.PixelSpacing = next(
        (one for one in spacings if len(one) == 2 and min(one) > 0), [1, 1]
    )
    measures.SliceThickness = measures.SpacingBetweenSlices = 1
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    position.ImagePositionPatient = [0, 0, 0]
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence = [orientation]
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = [position]
