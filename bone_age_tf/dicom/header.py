"""What the header of a DICOM file says, read without its pixels. What is odd is as good as absent."""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from bone_age_tf.dicom import packages, warnings
from bone_age_tf.dicom.ages import Ages, ages_of
from bone_age_tf.dicom.body_parts import is_hand, other_body_part
from bone_age_tf.dicom.elements import Elements, Found, PixelData, read_elements
from bone_age_tf.dicom.fault import DAMAGED, Fault
from bone_age_tf.dicom.inflate import inflated
from bone_age_tf.files.quiet import without_messages_of

DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MANUFACTURER = "bone-age-tf"
"""In all objects of DICOM output."""
NOT_DICOM = Fault(
    "not_a_radiograph",
    "the file has no DICOM preamble, and not both the SOP Class and the Pixel Data of an image",
)

HEADER_BYTES = 2**22
"""Of a deflated file, more than any header."""
_KEYWORDS = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "AccessionNumber", "PatientID"),
    *("Modality", "BodyPartExamined", "AnatomicRegionSequence", "ViewPosition"),
    *("ImageLaterality", "Laterality", "Manufacturer", "ImageType"),
    *("PatientSex", "PatientAge", "PatientBirthDate"),
    *("AcquisitionDate", "AcquisitionDateTime", "StudyDate", "SeriesDate"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "BurnedInAnnotation", "LossyImageCompression"),
    "EncryptedAttributesSequence",
)
_SIDES = {"L": "L", "R": "R", "LEFT": "L", "RIGHT": "R"}
_LOSSY_SYNTAXES = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


@dataclasses.dataclass(frozen=True)
class Header:
    """The attributes that matter here; a text is empty where the file has none."""

    sop_class: str
    """UID."""
    transfer_syntax: str
    """UID; where the meta header is missing, what the bytes show, empty if pixels are compressed."""
    rows: int
    """0 where it is not told, as of all numbers."""
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    samples_per_pixel: int
    photometric_interpretation: str
    pixel_data: PixelData | Literal["encrypted"]
    modality: str
    body_part: str
    """As somebody wrote it, or the meaning of the Anatomic Region Sequence: not for output."""
    laterality: str
    """`L`, `R` or empty, of the image or else of the series."""
    view: str
    sex: str | None
    """`F` or `M`; None where the file does not tell one of them."""
    chronological_age_months: float
    """At the study, by the birth date or else by Patient's Age; NaN where the file does not tell it."""
    warnings: tuple[str, ...] = ()
    """Codes of `warnings.WARNINGS`."""
    is_own_picture: bool = False
    """A picture of an earlier result."""
    # Identity: for joining with a table and for salted ids; it leaves the process nowhere else.
    sop_instance_uid: str = dataclasses.field(default="", repr=False)
    accession_number: str = dataclasses.field(default="", repr=False)
    patient_id: str = dataclasses.field(default="", repr=False)
    study_date: str = dataclasses.field(default="", repr=False)


def read_header(encoded: bytes) -> Header | Fault:
    """The header of a file's bytes. Nothing is decoded, and nothing is refused but what cannot be read."""
    if packages.pydicom() is None:
        return packages.NOT_INSTALLED
    try:
        with without_messages_of("pydicom"):
            file = inflated(encoded, first=HEADER_BYTES)
            return file if isinstance(file, Fault) else _header(read_elements(file, _KEYWORDS))
    except Exception:  # whatever pydicom stumbled over in a damaged file
        return DAMAGED


def _header(found: Found) -> Header | Fault:
    elements, pixel_data = found.elements, found.pixel_data
    sop_class = elements.text("SOPClassUID") or found.meta.text("MediaStorageSOPClassUID")
    if not found.has_preamble and (pixel_data == "absent" or not sop_class):
        return NOT_DICOM
    is_encrypted = pixel_data == "absent" and elements.has("EncryptedAttributesSequence")
    ages = ages_of(elements.text)
    return Header(
        sop_class=sop_class,
        transfer_syntax=found.transfer_syntax,
        rows=elements.count("Rows"),
        columns=elements.count("Columns"),
        frames=elements.count("NumberOfFrames", absent=1),
        bits_allocated=elements.count("BitsAllocated"),
        bits_stored=elements.count("BitsStored"),
        samples_per_pixel=elements.count("SamplesPerPixel", absent=1),
        photometric_interpretation=elements.code("PhotometricInterpretation"),
        pixel_data="encrypted" if is_encrypted else pixel_data,
        modality=elements.code("Modality"),
        body_part=_body_part(elements),
        laterality=_laterality(elements),
        view=elements.code("ViewPosition"),
        sex={"F": "F", "M": "M"}.get(elements.code("PatientSex")),
        chronological_age_months=ages.months,
        warnings=tuple(_warnings(found, ages)),
        is_own_picture=is_own_picture(
            sop_class, elements.text("Manufacturer"), elements.text("ImageType")
        ),
        sop_instance_uid=elements.text("SOPInstanceUID"),
        accession_number=elements.text("AccessionNumber"),
        patient_id=elements.text("PatientID"),
        study_date=elements.text("StudyDate"),
    )


def is_own_picture(sop_class: str, manufacturer: str, image_type: str) -> bool:
    """Whether DICOM output made it of a result. A prediction for it would be drawn again, and so on without end, where an
    archive sends a node whatever it stores."""
    is_derived = image_type.startswith("DERIVED")
    return sop_class == SECONDARY_CAPTURE and manufacturer == MANUFACTURER and is_derived


def _body_part(elements: Elements) -> str:
    return elements.text("BodyPartExamined") or elements.meaning("AnatomicRegionSequence")


def _laterality(elements: Elements) -> str:
    """Of the image, or else of the series; `U` and `B` tell none."""
    text = elements.code("ImageLaterality") or elements.code("Laterality")
    return _SIDES.get(text, "")


def _warnings(found: Found, ages: Ages) -> Iterator[str]:
    elements = found.elements
    if elements.code("PatientSex") == "O":
        yield warnings.SEX_OTHER
    yield from ages.warnings
    if _laterality(elements) == "R":
        yield warnings.RIGHT_HAND
    body_part = _body_part(elements)
    if other_body_part(body_part):
        yield warnings.BODY_PART_DIFFERS
    elif not is_hand(body_part):
        yield warnings.BODY_PART_UNKNOWN
    if elements.text("SOPClassUID") == DX_FOR_PROCESSING:
        yield warnings.FOR_PROCESSING
    if elements.code("BurnedInAnnotation") == "YES":
        yield warnings.BURNED_IN
    if elements.code("LossyImageCompression") == "01" or found.transfer_syntax in _LOSSY_SYNTAXES:
        yield warnings.LOSSY
