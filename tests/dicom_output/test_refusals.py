"""Every reason for which a radiograph is rejected has its code in the report."""

import re
from pathlib import Path

import pytest

import bone_age_tf
from bone_age_tf.dicom_output.codes import OWN_SCHEME
from bone_age_tf.dicom_output.refusals import IMAGE_QUALITIES, NOT_ASSESSED, image_quality_of
from bone_age_tf.dicom_output.result import FAULTS_OF_THE_MACHINE

NOT_OF_DICOM = {"empty", "not_png_or_jpeg", "multi_page", "unsafe_name"}
"""Reasons of files that have no header, so that there is no report."""


def _reasons() -> set[str]:
    """All in the source: what `Rejection` and `Fault` are made of, and the reasons of the graph."""
    made = re.compile(r"\b(?:Rejection|Fault)\(\s*\"(\w+)\"")
    package = Path(bone_age_tf.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    explained = (package / "preprocessing" / "rejections.py").read_text(encoding="utf-8")
    table = explained.partition("EXPLANATIONS = {")[2].partition("}")[0]
    of_graph = {"blank", *re.findall(r'^    "(\w+)":', table, re.MULTILINE)}
    return of_graph.union(*(made.findall(text) for text in texts))


def test_every_reason_has_a_code() -> None:
    reasons = _reasons()
    assert {"blank", "two_hands", "encrypted", "no_sex"} <= reasons
    assert reasons - NOT_OF_DICOM - set(FAULTS_OF_THE_MACHINE) <= set(IMAGE_QUALITIES)


def test_there_is_no_code_of_a_reason_that_is_gone() -> None:
    assert set(IMAGE_QUALITIES) <= _reasons() | {"too_small"}


@pytest.mark.parametrize(
    ("reason", "code"),
    [("no_whole_hand", "111209"), ("blank", "111235"), ("two_hands", "TWO_HANDS")],
)
def test_a_standard_value_where_one_fits(reason: str, code: str) -> None:
    assert image_quality_of(reason).value == code


def test_a_reason_that_is_not_known_has_the_general_code() -> None:
    assert image_quality_of("eclipse") == NOT_ASSESSED


def test_own_codes_are_legal_and_their_meanings_differ() -> None:
    own = {concept for concept in IMAGE_QUALITIES.values() if concept.scheme == OWN_SCHEME}
    assert all(re.fullmatch("[A-Z_]{1,16}", concept.value) for concept in own)
    assert all(len(concept.meaning) <= 64 for concept in own)
    assert len({concept.meaning for concept in own}) == len(own)
    assert re.fullmatch("99[A-Z]{1,14}", OWN_SCHEME)
