"""Adult height and target height as results hold them: every input has an answer or a reason."""

import dataclasses
import math
from typing import Any

import pytest

from bone_age_tf.growth import (
    GROWTH_COLUMNS,
    GROWTH_TEXT,
    GrowthAssessment,
    Heights,
    assess,
    predict_adult_height,
    predict_adult_height_interval,
)
from bone_age_tf.growth.assessment import ASSESSMENT_REASONS

BOY: dict[str, Any] = {
    "bone_age_months": 123.0,
    "chronological_age_months": 113.0,
    "sex": "M",
    "low_months": 115.0,
    "high_months": 131.0,
    "coverage": 0.9,
    "reading_method": "greulich_pyle",
}
"""Ten months ahead: the interval reaches two columns."""


def assessed(child: Any = None, mother: Any = None, father: Any = None, **other: Any) -> Any:
    return assess(Heights(child, mother, father), **(BOY | other))


def code(reason: str) -> str:
    return reason.partition(":")[0]


def test_the_numbers_are_those_of_the_library() -> None:
    found = assessed(140.0)
    whole = predict_adult_height_interval(
        123.0, 113.0, 140.0, "M", low_months=115.0, high_months=131.0, coverage=0.9
    )
    assert found.adult_height_cm == whole.predicted.centimetres
    assert (found.adult_height_low_cm, found.adult_height_high_cm) == (whole.low_cm, whole.high_cm)
    assert found.adult_height_method_sd_cm == whole.method_sd_cm
    assert [one.column for one in whole.columns] == ["average", "accelerated"]
    for one in whole.columns:
        numbers = (one.probability, one.centimetres, one.low_cm, one.high_cm)
        names = ("probability", "cm", "low_cm", "high_cm")
        fields = [getattr(found, f"adult_height_{one.column}_{name}") for name in names]
        assert fields == list(numbers)
    assert found.adult_height_delayed_probability is None
    assert found.adult_height_reason == found.target_height_reason == ""


def test_a_model_without_intervals_has_the_height_alone() -> None:
    found = assessed(140.0, low_months=None, high_months=None)
    assert found.adult_height_cm == predict_adult_height(123, 113, 140, "M").centimetres
    assert found.adult_height_low_cm is None
    assert found.adult_height_average_probability is None
    assert found.adult_height_method_sd_cm == pytest.approx(2.93, abs=0.01)


@pytest.mark.parametrize(
    ("reason", "given"),
    [
        ("no_chronological_age", {"chronological_age_months": None}),
        ("sex_unknown", {"sex": "unknown"}),
        ("sex_unknown", {"sex": ""}),
        ("not_greulich_pyle", {"reading_method": "tanner_whitehouse"}),
        ("not_greulich_pyle", {"reading_method": None}),
        ("no_bone_age", {"bone_age_months": None, "low_months": None, "high_months": None}),
        ("below_table", {"bone_age_months": 60.0, "low_months": 50.0, "high_months": 70.0}),
    ],
)
def test_without_a_height_there_is_a_reason(reason: str, given: dict[str, Any]) -> None:
    found = assessed(120.0, **given)
    assert found.adult_height_cm is None
    assert found.adult_height_reason == f"{reason}: {ASSESSMENT_REASONS[reason]}"
    assert found.height_cm == 120.0


@pytest.mark.parametrize(
    ("height", "words"),
    [
        (1.4, "metres: that would be 140.0 cm"),
        ("1,40", "metres: that would be 140.0 cm"),
        ("1.40 m", "metres: that would be 140.0 cm"),
        (55, "inches: that would be 139.7 cm"),
        ("55 in", "inches: that would be 139.7 cm"),
        ('55"', "inches: that would be 139.7 cm"),
        ("4'7", "feet and inches: that would be 139.7 cm"),
        ("4 ft 7 in", "feet and inches: that would be 139.7 cm"),
        (4.6, "feet: that would be 140.2 cm"),
        (1400, "millimetres: that would be 140.0 cm"),
        ("tall", "Received tall."),
        ("25 m", "Received 25 m."),
        ("9" * 500, f"Received {'9' * 40}..."),
        (f"{'9' * 500} m", f"Received {'9' * 40}..."),
        ("\ud800", "Received ?."),
        (10**400, "Received inf."),
        (-140, "Received -140."),
        (math.inf, "Received inf."),
    ],
)
def test_a_height_in_another_unit_is_named_and_never_converted(height: Any, words: str) -> None:
    found = assessed(height, 165.0, height)
    for reason in (found.adult_height_reason, found.target_height_reason):
        assert code(reason) == "bad_input"
        assert words in reason
    assert found.height_cm is found.father_height_cm is found.adult_height_cm is None
    assert found.mother_height_cm == 165.0


@pytest.mark.parametrize("height", ["140", "140 cm", " 140cm ", "140,0"])
def test_centimetres_may_be_text(height: str) -> None:
    assert assessed(height) == assessed(140.0)


def test_a_small_bone_age_of_a_model_is_no_number_of_years() -> None:
    small = {"bone_age_months": 15.8, "low_months": 4.0, "high_months": 30.0}
    assert "looks like years" in assessed(131.0, **small).adult_height_reason
    estimated = assessed(131.0, **small, is_estimated=True)
    assert code(estimated.adult_height_reason) == "below_table"


def test_parents_have_a_target_height() -> None:
    found = assessed(None, 165.0, "180")
    assert (found.target_height_cm, found.target_height_convention) == (179.0, "tanner")
    assert (found.target_height_low_cm, found.target_height_high_cm) == (170.5, 187.5)
    assert code(found.adult_height_reason) == "no_height"
    assert code(assessed(140.0, 165.0).target_height_reason) == "one_parent"
    assert code(assessed(140.0, 165.0, 180.0, sex="unknown").target_height_reason) == "sex_unknown"
    assert assessed(140.0).target_height_reason == ""


def test_a_bone_age_far_off_has_a_warning() -> None:
    assert assessed(140.0, chronological_age_months=98.0).adult_height_warning == "far_accelerated"
    assert assessed(140.0, chronological_age_months=148.0).adult_height_warning == "far_delayed"


def test_a_missing_height_is_taken_from_elsewhere() -> None:
    assert not Heights("", math.nan, None).any
    assert Heights("", 165.0).otherwise(Heights(140.0, 170.0)) == Heights(140.0, 165.0)


def test_text_and_numbers_are_told_apart() -> None:
    values = dataclasses.asdict(GrowthAssessment())
    assert tuple(values) == GROWTH_COLUMNS
    assert {name for name, value in values.items() if value == ""} == GROWTH_TEXT
