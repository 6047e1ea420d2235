import pytest

pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
from dicom_results import dataset_of_phantom, phantom_file
from pydicom.dataset import Dataset

from bone_age_tf.config import DicomOutputConfig, NodeConfig, NodeSection, Rule, StoreDestination
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.node.rules import match, name_of, output_of, values_of

HANDS = Rule(destinations=("pacs",), modality=("DX", "CR"), body_part=("HAND*", "", "wrist"))


def values(**changed: str) -> dict[str, str]:
    return values_of(b"", "CR1") | {"modality": "DX", "body_part": "HAND"} | changed


@pytest.mark.parametrize(
    ("changed", "is_match"),
    [
        ({}, True),
        ({"body_part": "Hand links"}, True),
        ({"body_part": ""}, True),
        ({"body_part": "WRIST"}, True),
        ({"body_part": "WRIST AP"}, False),
        ({"body_part": "FOOT"}, False),
        ({"modality": "CT"}, False),
        ({"modality": ""}, False),
    ],
)
def test_all_conditions_must_be_met(changed: dict[str, str], is_match: bool) -> None:
    assert match([HANDS], values(**changed)) == (HANDS if is_match else None)


def test_the_first_match_counts() -> None:
    ignored = Rule(destinations=(), name="room 3", station_name=("ROOM3",))
    rules = (ignored, HANDS, Rule(destinations=("web",)))
    assert match(rules, values(station_name="room3")) is ignored
    assert match(rules, values(station_name="ROOM33")) is HANDS
    assert match(rules, values(modality="CT")) is rules[2]


def test_the_sender_is_a_condition() -> None:
    rule = Rule(destinations=("pacs",), calling_ae=("CR?",))
    assert match([rule], values()) is rule
    assert match([rule], values(calling_ae="CR12")) is None


def test_nothing_matches_without_a_rule() -> None:
    assert match([], values()) is None
    assert name_of([HANDS], None) == "no_rule"


def test_rules_have_names() -> None:
    named = Rule(destinations=(), name="feet")
    assert [name_of([HANDS, named], rule) for rule in (HANDS, named)] == ["rule 1", "feet"]


def test_values_are_those_of_the_file() -> None:
    found = values_of(phantom_file(2), "CR1")
    dataset = dataset_of_phantom(2)
    assert found["modality"] == dataset.Modality == "CR"
    assert found["body_part"] == dataset.BodyPartExamined
    assert found["manufacturer"] == dataset.Manufacturer
    assert found["calling_ae"] == "CR1"


def test_the_region_stands_in_for_the_body_part() -> None:
    dataset = dataset_of_phantom(1)
    del dataset.BodyPartExamined
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "85562004", "SCT", "Hand"
    dataset.AnatomicRegionSequence = [region]
    assert match([HANDS], values_of(encoded(dataset), "CR1")) is HANDS


@pytest.mark.parametrize("content", [b"", b"not DICOM", phantom_file(1)[:200]])
def test_of_a_damaged_file_nothing_is_known(content: bytes) -> None:
    found = values_of(content, "CR1")
    assert found["body_part"] == found["station_name"] == ""
    assert match([Rule(destinations=("pacs",), station_name=("?*",))], found) is None


def test_a_rule_chooses_its_objects() -> None:
    few = Rule(destinations=("pacs",), objects=("report",))
    pacs = StoreDestination(name="pacs", host="localhost", port=104, ae_title="PACS")
    config = NodeConfig(
        node=NodeSection(ae_title="NODE", spool="spool", accept_any=True),
        destinations=(pacs,),
        rules=(few, HANDS),
        output=DicomOutputConfig(sr="comprehensive"),
    )
    assert output_of(config, few) == DicomOutputConfig(("report",), "comprehensive")
    assert output_of(config, HANDS) is config.output
