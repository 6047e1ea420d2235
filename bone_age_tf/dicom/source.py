"""The header of a DICOM file for objects that belong to it: as received, but without what could not be written again.

A file that `header.read_header` reads gives one, whatever else is wrong with it.
"""

import contextlib
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bone_age_tf.dicom import packages
from bone_age_tf.dicom.elements import MAX_READS, read_elements
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import HEADER_BYTES
from bone_age_tf.dicom.inflate import inflated
from bone_age_tf.files.quiet import without_messages_of

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

KEYWORDS = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "SOPClassUID", "SOPInstanceUID"),
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence"),
    *("PatientBirthTime", "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved"),
    *("AdmissionID", "IssuerOfAdmissionIDSequence", "ClinicalTrialSponsorName"),
    *("ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID"),
    *("ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID"),
    *("ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription"),
    *("AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName"),
    *("ProcedureCodeSequence", "RequestAttributesSequence", "ReferencedStudySequence"),
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesTime", "SeriesDescription"),
    *("Modality", "BodyPartExamined", "Laterality", "ProtocolName", "PresentationIntentType"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
    *("InstitutionName", "InstitutionalDepartmentName", "StationName"),
    *("ImageType", "InstanceNumber", "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime"),
    *("AcquisitionDateTime", "ContentDate", "ContentTime", "PatientOrientation"),
    *("ImageLaterality", "ViewPosition", "ViewCodeSequence", "AnatomicRegionSequence"),
    *("ImagerPixelSpacing", "PixelSpacing", "PixelSpacingCalibrationType", "PixelAspectRatio"),
    *("EstimatedRadiographicMagnificationFactor", "PixelSpacingCalibrationDescription"),
    *("BurnedInAnnotation", "RecognizableVisualFeatures", "QualityControlImage"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape"),
    *("RescaleIntercept", "RescaleSlope", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "WindowCenterWidthExplanation"),
    *("VOILUTSequence", "ShutterShape", "ShutterPresentationValue"),
    *("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"),
    *("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge"),
    *("CenterOfCircularShutter", "RadiusOfCircularShutter", "VerticesOfThePolygonalShutter"),
)
"""What an object of the study, or a picture of the radiograph, repeats; private elements and all others are left."""

MAX_VALUE_BYTES = 2**18
"""Of one element: a look-up table of 16 bits has 128 KiB."""
LONGEST_NUMBER = 16
"""Characters of a Decimal String."""
UTF_8 = "ISO_IR 192"
_TRIAL_EMPTY = (
    *("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName"),
    "ClinicalTrialTimePointID",
)
"""Of type 2."""
_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")
_TIME_ZONE = re.compile(r"[+-][0-9]{4}")
_TEXTS = ("LO", "SH", "ST", "LT", "UT", "UC")
"""Kept also where they are longer than allowed, or have a backslash, so that an archive finds its patient."""
_TERMS: Mapping[str, tuple[str, ...]] = {
    "PatientSex": ("M", "F", "O"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "Laterality": ("L", "R"),
    "ImageLaterality": ("L", "R", "U", "B"),
}
"""The values that the standard allows."""


def read_source(encoded: bytes) -> "Dataset":
    """`KEYWORDS` of a file's bytes, with its transfer syntax in the meta header; without pixels.

    A value without meaning, as an impossible date, is as good as absent. Raises `ValueError` where
    `header.read_header` reads nothing either.
    """
    pydicom: Any = packages.pydicom()
    with without_messages_of("pydicom"):
        file = inflated(encoded, first=HEADER_BYTES)
        if isinstance(file, Fault):
            raise ValueError(file.explanation)
        found = read_elements(file, KEYWORDS, max_reads=MAX_READS + 2 * len(KEYWORDS))
        source = _cleaned(found.elements.dataset)
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            uid = found.meta.text(f"MediaStorage{keyword}")
            if not source.get(keyword) and _UID.fullmatch(uid):
                setattr(source, keyword, uid)
        _complete_trial(source)
        source.file_meta = pydicom.dataset.FileMetaDataset()
        if _UID.fullmatch(found.transfer_syntax):
            source.file_meta.TransferSyntaxUID = found.transfer_syntax
    return source


def _complete_trial(source: "Dataset") -> None:
    """The Clinical Trial modules with all that they must have, or none of them (PS3.3, C.7.1.3 and C.7.2.3)."""
    sponsor, protocol = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID")
    subject = source.get("ClinicalTrialSubjectID") or source.get("ClinicalTrialSubjectReadingID")
    if source.get(sponsor) and source.get(protocol) and subject:
        for keyword in _TRIAL_EMPTY:
            source.setdefault(keyword, "")
        return
    for keyword in KEYWORDS:
        if keyword.startswith("ClinicalTrial"):
            source.pop(keyword, None)


def _cleaned(dataset: "Dataset") -> "Dataset":
    """Without private elements and what has no meaning."""
    pydicom: Any = packages.pydicom()
    kept = pydicom.Dataset()
    for tag in dataset.keys():  # noqa: SIM118 - a data set's iterator converts its elements
        with contextlib.suppress(Exception):  # whatever pydicom stumbles over in this element
            if not tag.is_private and _size(dataset.get_item(tag)) <= MAX_VALUE_BYTES:
                kept.add(_clean(dataset[tag]))
    return kept


def _size(element: Any) -> int:
    return len(element.value) if isinstance(element.value, bytes) else 0


def _clean(element: "DataElement") -> "DataElement":
    """In the VR of the standard. Raises whatever it does of a value without meaning."""
    pydicom: Any = packages.pydicom()
    vr = pydicom.datadict.dictionary_VR(element.tag)
    vr = element.VR if " or " in vr else vr
    value = None if element.is_empty and vr != "SQ" else _value(element, vr)
    return pydicom.DataElement(element.tag, vr, value, validation_mode=pydicom.config.IGNORE)


def _value(element: "DataElement", vr: str) -> Any:
    pydicom: Any = packages.pydicom()
    if vr == "SQ":
        return [_cleaned(item) for item in element.value]
    values = list(element.value) if element.VM > 1 else [element.value]
    if element.keyword == "SpecificCharacterSet":
        is_known = all(name in pydicom.charset.python_encoding for name in values)
        return values if is_known else UTF_8  # texts are decoded
    if vr == "PN":
        return str(values[0])
    if element.keyword == "TimezoneOffsetFromUTC":  # it would move all times
        _require(len(values) == 1 and _TIME_ZONE.fullmatch(str(values[0])))
    if vr in _TEXTS:
        return [str(value) for value in values]
    is_single = pydicom.datadict.dictionary_VM(element.tag) == "1"
    _require(len(values) == 1 or not is_single)
    checked = [_checked(value, vr) for value in values]
    _require(not set(checked) - set(_TERMS.get(element.keyword, checked)))
    return checked[0] if len(checked) == 1 else checked


def _checked(value: Any, vr: str) -> Any:
    """The value if it has a meaning. Raises whatever it does otherwise."""
    valuerep: Any = packages.pydicom().valuerep  # type: ignore[union-attr]
    if vr == "UI":
        _require(_UID.fullmatch(str(value)))
    elif vr == "DS":
        _require(math.isfinite(value))
        return valuerep.DSfloat(value, auto_format=len(str(value)) > LONGEST_NUMBER)
    elif vr == "IS":
        return int(value)
    else:
        valuerep.validate_value(vr, value, packages.pydicom().config.RAISE)  # type: ignore[union-attr]
        if vr in ("DA", "TM", "DT"):
            getattr(valuerep, vr)(value)  # raises where there is no such day
    return value


def _require(is_met: object) -> None:
    if not is_met:
        raise ValueError("a value without meaning")
