"""The structured report: TID 1500, with the bone age on the outline of the hand, or why there is none."""

from collections.abc import MutableSequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bone_age_tf import __version__
from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.config.choices import SD_SCORE_CONVENTION
from bone_age_tf.dicom.header import DX_FOR_PROCESSING
from bone_age_tf.dicom_output import codes
from bone_age_tf.dicom_output.attributes import (
    MANUFACTURER,
    ascii_of,
    completed,
    evidence_of,
    lenient,
    model_name,
    serial_number,
)
from bone_age_tf.dicom_output.codes import Concept
from bone_age_tf.dicom_output.identifiers import derived_uid, uid_of
from bone_age_tf.dicom_output.refusals import image_quality_of
from bone_age_tf.dicom_output.remarks import conclusion_of, percent, remarks_of
from bone_age_tf.dicom_output.result import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER = 8501
"""High, so that it is none of the modality's own."""
TRACKING_NAME = "Bone age"


def report_of(result: Result, config: DicomOutputConfig) -> "Dataset | None":
    """Comprehensive 3D SR or Comprehensive SR; None of what is no radiograph, or says nothing of the radiograph."""
    if result.obstacle:
        return None
    from highdicom import sr
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    make = sr.Comprehensive3DSR if config.sr == "comprehensive_3d" else sr.ComprehensiveSR
    with lenient():
        evidence = evidence_of(result.source)
        own_scheme = CodingSchemeIdentificationItem(codes.OWN_SCHEME, codes.OWN_SCHEME_NAME)
        report = make(
            evidence=[evidence],
            content=_content(result, evidence, config),
            series_instance_uid=derived_uid(result, "report series", uid_root=config.uid_root),
            series_number=SERIES_NUMBER,
            series_description="Bone age (research use)",
            sop_instance_uid=derived_uid(result, "report", uid_root=config.uid_root),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            specific_character_set=None,
            coding_schemes=[own_scheme] if result.is_rejected else None,
        )
        return completed(report, result, config)


def coded(concept: Concept) -> Any:
    """A concept as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(concept.value, concept.scheme, concept.meaning)


# === Content tree ===


def _content(result: Result, evidence: "Dataset", config: DicomOutputConfig) -> Any:
    """TID 1500."""
    from highdicom import sr

    tracking = sr.TrackingIdentifier(
        uid=derived_uid(result, "tracking", uid_root=config.uid_root), identifier=TRACKING_NAME
    )
    group = _refusal if result.is_rejected else _measurements
    report = sr.MeasurementReport(
        observation_context=_observation_context(result, config),
        procedure_reported=coded(codes.VIEWS_FOR_BONE_AGE),
        imaging_measurements=[group(result, evidence, tracking)],
        referenced_images=_images_of_library(evidence),
    )
    report[0].ContentSequence.append(_texts(result))
    _separate(report[0])
    return report


def _separate(item: "Dataset") -> None:
    """Items of containers are no running text, as highdicom says: readers would show a number without its name."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for inner in item.get("ContentSequence", ()):
        _separate(inner)


def _observation_context(result: Result, config: DicomOutputConfig) -> Any:
    """TID 1001: the model as a device (TID 1004), and the subject with the sex and age that were used (TID 1007)."""
    from highdicom import sr
    from pydicom.sr.codedict import codes as standard

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of(f"device {result.model.manifest_sha256}", uid_root=config.uid_root),
        manufacturer_name=MANUFACTURER,
        model_name=model_name(result),
        serial_number=serial_number(result),
    )
    context = sr.ObservationContext(sr.ObserverContext(standard.DCM.Device, device))
    of_subject = {"relationship_type": sr.RelationshipTypeValues.HAS_OBS_CONTEXT}
    row = result.prediction
    for name, value in (
        (codes.SUBJECT_CLASS, codes.PATIENT),
        (codes.SUBJECT_SEX, codes.SEXES.get(row.sex, codes.SEXES["unknown"])),
    ):
        context.append(sr.CodeContentItem(coded(name), coded(value), **of_subject))
    if row.chronological_age_months is not None:
        age, month = _rounded(row.chronological_age_months), coded(codes.MONTH)
        context.append(sr.NumContentItem(coded(codes.SUBJECT_AGE), age, month, **of_subject))
    return context


def _images_of_library(evidence: "Dataset") -> "list[Dataset]":
    """The radiograph for the image library (TID 1600), where highdicom can describe it: the modality of a Secondary Capture
    is none of the template's, and it takes the spacing and orientation of a projection as given."""
    if str(evidence.SOPClassUID) not in _ACQUIRED:
        return []
    if not (evidence.get("Rows") and evidence.get("Columns")):
        return []
    two = (_values(evidence.get(name)) for name in ("ImagerPixelSpacing", "PatientOrientation"))
    is_described = all(len(values) == 2 for values in two)
    return [evidence] if is_described or evidence.Modality not in ("CR", "DX") else []


_ACQUIRED = ("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", DX_FOR_PROCESSING)
"""SOP classes of CR and DX."""


def _values(value: Any) -> list[Any]:
    """Of one value or several, those that are there."""
    values = value if isinstance(value, MutableSequence) else [value]
    return [one for one in values if one]


def _measurements(result: Result, evidence: "Dataset", tracking: Any) -> Any:
    """TID 1410: the bone age on the outline of the hand."""
    from highdicom import sr

    region = sr.ImageRegion(
        sr.GraphicTypeValues.POLYLINE,
        graphic_data(result),
        sr.SourceImageForRegion(evidence.SOPClassUID, evidence.SOPInstanceUID),
    )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_region=region,
        algorithm_id=_algorithm(result),
        finding_sites=[_site(evidence)],
        measurements=[_bone_age(result)],
    )


def graphic_data(result: Result) -> np.ndarray:
    """float [N + 1, 2], closed: x and y, 0 at the top left corner of the top left pixel (PS3.3, C.18.6.1.1)."""
    assert result.outline is not None
    corner = (int(result.source.Columns), int(result.source.Rows))
    outline = np.clip(result.outline + 0.5, 0, corner)
    return np.concatenate([outline, outline[:1]])


def _bone_age(result: Result) -> Any:
    """TID 300, with the interval as its uncertainty (TID 310) and the SD score (TID 311)."""
    from highdicom import sr

    row, method = result.prediction, _METHODS.get(result.model.reading_method or "")
    assert row.bone_age_months is not None
    return sr.Measurement(
        name=coded(codes.BONE_AGE),
        value=_rounded(row.bone_age_months),
        unit=coded(codes.MONTH),
        method=None if method is None else coded(method),
        properties=_properties(result),
    )


_METHODS = {"greulich_pyle": codes.GREULICH_PYLE}


def _properties(result: Result) -> Any:
    """TID 310; None without an interval and an SD score."""
    from highdicom import sr

    row = result.prediction
    upper = lower = statistics = None
    if row.sd_score is not None:
        score = sr.NumContentItem(
            coded(codes.Z_SCORE),
            _rounded(row.sd_score, 2),
            coded(codes.NO_UNITS),
            relationship_type=sr.RelationshipTypeValues.HAS_PROPERTIES,
        )
        statistics = sr.MeasurementStatisticalProperties([score], authority=SD_SCORE_CONVENTION)
    low, months, high = row.bone_age_low_months, row.bone_age_months, row.bone_age_high_months
    if low is not None and months is not None and high is not None:
        upper, lower = _rounded(high - months), _rounded(months - low)
    properties = sr.MeasurementProperties(
        measurement_statistical_properties=statistics,
        upper_measurement_uncertainty=upper,
        lower_measurement_uncertainty=lower,
    )
    for item in properties:
        if "uncertainty" in item.name.meaning:  # highdicom says that they have no units
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [coded(codes.MONTH)]
    return properties if len(properties) else None


def _refusal(result: Result, evidence: "Dataset", tracking: Any) -> Any:
    """TID 1501: why the radiograph gets no bone age."""
    from highdicom import sr

    reason = result.prediction.reason.partition(":")[0]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        algorithm_id=_algorithm(result),
        finding_sites=[_site(evidence)],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(coded(codes.IMAGE_QUALITY), coded(image_quality_of(reason)))
        ],
        source_images=[
            sr.SourceImageForMeasurementGroup(evidence.SOPClassUID, evidence.SOPInstanceUID)
        ],
    )


def _site(evidence: "Dataset") -> Any:
    """The hand, with the side that the header tells."""
    from highdicom.sr import FindingSite

    side = evidence.get("ImageLaterality") or evidence.get("Laterality")
    laterality = codes.LATERALITIES.get(str(side or ""))
    return FindingSite(coded(codes.HAND), None if laterality is None else coded(laterality))


def _algorithm(result: Result) -> Any:
    """TID 4019."""
    from highdicom.sr import AlgorithmIdentification

    model = result.model
    parameters = [
        f"Model manifest: sha256 {model.manifest_sha256}",
        f"Preprocessing fingerprint: sha256 {model.fingerprint}",
        f"Training data: {model.statement}",
        f"Package: bone-age-tf {__version__}",
    ]
    if model.coverage is not None:
        parameters.append(f"Coverage of the prediction interval: {percent(model.coverage)}")
    return AlgorithmIdentification(
        name=ascii_of(model.name),
        version=ascii_of(model.version),
        manufacturer=MANUFACTURER,
        family=coded(codes.ARTIFICIAL_INTELLIGENCE),
        parameters=[ascii_of(text) for text in parameters],
    )


def _texts(result: Result) -> Any:
    """TID 1500, rows 12 to 14: the conclusion and what a reader should know, in sentences."""
    from highdicom import sr

    contains = sr.RelationshipTypeValues.CONTAINS
    container = sr.ContainerContentItem(
        coded(codes.QUALITATIVE_EVALUATIONS), relationship_type=contains
    )
    texts = [(codes.CONCLUSION, conclusion_of(result))]
    texts += [(codes.COMMENT, text) for text in remarks_of(result)]
    container.ContentSequence = sr.ContentSequence(
        [sr.TextContentItem(coded(name), ascii_of(text), contains) for name, text in texts]
    )
    return container


def _rounded(number: float, digits: int = 1) -> float:
    """As highdicom takes it, of numpy's numbers also; never -0.0."""
    return float(round(number, digits)) + 0.0
