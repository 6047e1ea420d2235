"""What the report of a rejected radiograph says of its image quality: a code for each reason."""

from collections.abc import Mapping

from bone_age_tf.dicom_output.codes import OWN_SCHEME, Concept

POSITIONING = Concept("111209", "DCM", "Positioning")
UNUSABLE = Concept("111235", "DCM", "Unusable - Quality renders image unusable")
NO_HAND = Concept("NO_HAND", OWN_SCHEME, "No hand found")
TWO_HANDS = Concept("TWO_HANDS", OWN_SCHEME, "More than one hand")
LOW_RESOLUTION = Concept("LOW_RESOLUTION", OWN_SCHEME, "Too few pixels to be read")
NO_LANDMARKS = Concept("NO_LANDMARKS", OWN_SCHEME, "Fingertips, knuckles and wrist not found")
OTHER_BODY_PART = Concept("OTHER_BODY_PART", OWN_SCHEME, "Header names another body part")
FOR_PROCESSING = Concept("FOR_PROCESSING", OWN_SCHEME, "For Processing, not For Presentation")
NOT_A_RADIOGRAPH = Concept("NOT_RADIOGRAPH", OWN_SCHEME, "Not a radiograph")
DAMAGED = Concept("DAMAGED", OWN_SCHEME, "Pixel data missing, encrypted or damaged")
UNSUPPORTED = Concept("UNSUPPORTED", OWN_SCHEME, "Pixel format not supported")
NOT_ASSESSED = Concept("NOT_ASSESSED", OWN_SCHEME, "Not assessed")
"""Of any reason without a code of its own."""

IMAGE_QUALITIES: Mapping[str, Concept] = {
    # The picture: `preprocessing.rejections.EXPLANATIONS`
    "blank": UNUSABLE,
    "not_a_hand": NO_HAND,
    "no_whole_hand": POSITIONING,
    "two_hands": TWO_HANDS,
    "too_low_resolution": LOW_RESOLUTION,
    "oblique": POSITIONING,
    "implausible_key_points": NO_LANDMARKS,
    "mask_touches_top": POSITIONING,
    # The file: `preprocessing.conversion`
    "too_small": LOW_RESOLUTION,
    "too_large": UNSUPPORTED,
    "unsupported_pixels": UNSUPPORTED,
    "damaged": DAMAGED,
    # The header: `dicom.admission`
    "not_a_radiograph": NOT_A_RADIOGRAPH,
    "body_part": OTHER_BODY_PART,
    "for_processing": FOR_PROCESSING,
    "multi_frame": UNSUPPORTED,
    "unsupported_transfer_syntax": UNSUPPORTED,
    "no_pixel_data": DAMAGED,
    "encrypted": DAMAGED,
    # The sex and the label table: `inference.known`
    "no_sex": NOT_ASSESSED,
    "bad_label": NOT_ASSESSED,
}
"""Reason -> value of Image Quality; a standard value where one means the same (CID 6041, 7010)."""


def image_quality_of(reason: str) -> Concept:
    """The value of Image Quality for a reason code."""
    return IMAGE_QUALITIES.get(reason, NOT_ASSESSED)
