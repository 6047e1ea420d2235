"""What the Key Object Selection flags."""

import highdicom
import pytest
from dicom_results import result_of_phantom
from pydicom.dataset import Dataset

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output.key_object import key_object_of
from bone_age_tf.dicom_output.report import report_of
from bone_age_tf.dicom_output.result import Result

CONFIG = DicomOutputConfig(objects=("report", "key_object"))
ALONE = DicomOutputConfig(objects=("key_object",))


def _key_object(result: Result, config: DicomOutputConfig = CONFIG) -> Dataset:
    made = key_object_of(result, config)
    assert made is not None
    return made


def _flagged(dataset: Dataset) -> list[tuple[str, str]]:
    """Value type and UID of what is in the content."""
    return [
        (item.ValueType, str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        for item in dataset.ContentSequence
        if "ReferencedSOPSequence" in item
    ]


def test_radiograph_and_report_are_flagged() -> None:
    result = result_of_phantom(1)
    report = report_of(result, CONFIG)
    assert report is not None
    dataset = _key_object(result)
    image = ("IMAGE", str(result.source.SOPInstanceUID))
    assert _flagged(dataset) == [image, ("COMPOSITE", str(report.SOPInstanceUID))]
    evidence = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {str(series.SeriesInstanceUID) for series in evidence} == {
        str(result.source.SeriesInstanceUID),
        str(report.SeriesInstanceUID),
    }
    assert _flagged(_key_object(result, ALONE)) == [image]


def test_the_report_is_that_of_the_settings() -> None:
    """And another one makes another key object."""
    result = result_of_phantom(1)
    older = DicomOutputConfig(objects=("report", "key_object"), sr="comprehensive")
    report = report_of(result, older)
    assert report is not None
    made = [_key_object(result, config) for config in (CONFIG, older, ALONE)]
    assert _flagged(made[1])[1] == ("COMPOSITE", str(report.SOPInstanceUID))
    assert len({str(one.SOPInstanceUID) for one in made}) == 3


def test_the_description_tells_the_result() -> None:
    content = highdicom.ko.KeyObjectSelectionDocument.from_dataset(
        _key_object(result_of_phantom(1))
    ).content
    texts = [str(item.value) for item in content[0].ContentSequence if item.ValueType == "TEXT"]
    assert "121.3 months" in texts[0] and "Not a medical device" in texts[0]


@pytest.mark.parametrize(
    ("reason", "title"),
    [
        ("", "113000"),
        ("two_hands: there is more than one hand in the picture", "113000"),
        ("mask_touches_top: the fingers are cut by the edge of the picture", "113010"),
    ],
)
def test_a_rejected_radiograph_may_have_a_quality_issue(reason: str, title: str) -> None:
    dataset = _key_object(result_of_phantom(1, rejected=reason))
    assert dataset.ConceptNameCodeSequence[0].CodeValue == title
