from typing import Any

import pytest

from bone_age_tf.growth import method_sd_cm
from bone_age_tf.growth.visits import Visit, VisitFault, assess_visit, said_rows
from bone_age_tf.sex import Sex

CHILD: dict[str, Any] = {"sex": Sex.M, "chronological_age_months": 113.0, "height_cm": 140.0}
INTERVAL = {"bone_age_low_months": 115.0, "bone_age_high_months": 131.0}


def assessed(**told: Any) -> Any:
    visit = Visit(2, "a", **{**CHILD, "bone_age_months": 123.0, **told})
    return assess_visit(visit, coverage=0.9, reading_method="greulich_pyle")


def test_the_example_of_the_documentation() -> None:
    found = assessed(**INTERVAL)
    assert found.adult_height.centimetres == pytest.approx(177.0, abs=0.05)
    shown = {one.column: round(one.probability, 2) for one in found.interval.columns}
    assert shown == {"average": 0.66, "accelerated": 0.34}
    assert (found.interval.low_cm, found.interval.high_cm) == pytest.approx(
        (176.4, 185.1), abs=0.05
    )
    assert found.comparison.difference_months == 10.0
    assert found.method_sd_cm == method_sd_cm(113.0, Sex.M)
    assert found.reason == ""


def test_a_reading_has_no_interval() -> None:
    found = assessed()
    assert (found.interval, found.comparison.verdict_probability) == (None, None)
    assert found.adult_height.centimetres == pytest.approx(177.0, abs=0.05)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"bone_age_months": None}, "no_bone_age"),
        ({"height_cm": None}, "no_height"),
        ({"sex": Sex.UNKNOWN}, "sex_unknown"),
        ({"bone_age_months": 80.0, "chronological_age_months": 80.0}, "below_table"),
        ({"bone_age_months": 160.0, "chronological_age_months": 180.0}, "above_table"),
    ],
)
def test_why_there_is_no_adult_height(told: dict[str, Any], reason: str) -> None:
    found = assessed(**told)
    assert found.reason == reason
    assert found.method_sd_cm is None
    assert found.visit.status == "ok"


def test_bone_ages_by_another_method_give_no_adult_height() -> None:
    visit = Visit(2, "a", **CHILD, bone_age_months=123.0)
    found = assess_visit(visit, coverage=0.9, reading_method="other")
    assert found.reason == "not_greulich_pyle"
    assert found.comparison is not None


def test_a_height_that_no_child_of_that_bone_age_has_is_a_fault() -> None:
    found = assessed(height_cm=70.0)
    assert (found.visit.status, found.visit.faults[0].code) == ("incomplete", "bad_height")
    assert found.comparison is not None


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([2], "row 2"),
        ([3, 2], "rows 2 and 3"),
        ([2, 3, 4], "rows 2 to 4"),
        ([2, 4, 5, 6, 9], "rows 2, 4 to 6 and 9"),
    ],
)
def test_rows_in_words(rows: list[int], words: str) -> None:
    assert said_rows(rows) == words


def test_a_height_that_was_refused_is_not_called_missing() -> None:
    fault = VisitFault("bad_height", "the height 'tall' is not a number of centimetres")
    assert assessed(height_cm=None, faults=(fault,)).reason == "bad_height"
    assert assessed(height_cm=70.0).reason == "bad_height"
