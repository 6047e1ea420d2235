import datetime
from typing import Any

import pytest

from bone_age_tf.growth.series import contradictions, height_velocities
from bone_age_tf.growth.visits import Visit, VisitFault
from bone_age_tf.sex import Sex


def visit(row: int, age: float, height: float | None = None, **told: Any) -> Visit:
    return Visit(row, "a", sex=Sex.F, chronological_age_months=age, height_cm=height, **told)


def read(row: int, age: float, bone_age: float, half: float | None = None) -> Visit:
    ends = {} if half is None else {"low": bone_age - half, "high": bone_age + half}
    told = {f"bone_age_{end}_months": months for end, months in ends.items()}
    return visit(row, age, bone_age_months=bone_age, **told)


def named(*visits: Visit) -> list[tuple[str, tuple[int, ...]]]:
    return [(one.code, one.rows) for one in contradictions(visits)]


def test_growth_as_usual_contradicts_nothing() -> None:
    visits = [
        visit(n + 2, 84.0 + 6 * n, 120.0 + 3 * n, bone_age_months=80.0 + 7 * n) for n in range(8)
    ]
    assert named(*visits) == []
    assert named(visits[0]) == []
    assert named() == []


def test_a_bone_age_may_fall_within_both_intervals_and_no_further() -> None:
    assert named(read(2, 120, 130, 10), read(3, 126, 111, 10)) == []
    assert named(read(2, 120, 130, 10), read(3, 126, 109, 10)) == [("bone_age_falls", (2, 3))]
    assert named(read(2, 120, 130), read(3, 126, 129)) == [("bone_age_falls", (2, 3))]
    assert named(read(2, 120, 130), read(3, 126, 125, 10)) == []


def test_a_slow_fall_over_several_visits_is_found_and_named_once() -> None:
    visits = [read(n + 2, 120 + 6 * n, 140 - 8 * n, 10) for n in range(5)]
    assert named(*visits)[0] == ("bone_age_falls", (2, 5))
    outlier = [read(2, 120, 160, 5), *(read(n, 120 + n, 120 + n, 5) for n in range(3, 9))]
    assert named(*outlier) == [("bone_age_falls", (2, 3))]


def test_order_is_that_of_age_and_not_of_rows() -> None:
    assert named(visit(5, 120, 140.0), visit(2, 132, 138.0)) == [("height_falls", (5, 2))]


def test_heights_that_fall_are_named_and_a_small_fall_is_explained() -> None:
    large, small = visit(3, 132, 138.0), visit(3, 132, 139.5)
    assert "measurement" not in contradictions([visit(2, 120, 140.0), large])[0].message
    assert "error of two measurements" in contradictions([visit(2, 120, 140.0), small])[0].message


@pytest.mark.parametrize(
    ("ages", "heights", "is_named"),
    [
        ((60, 66), (43.0, 112.0), True),  # inches, centimetres
        ((96, 108), (128.0, 136.0), False),
        ((96, 98), (128.0, 137.0), True),
        ((96, 97), (128.0, 135.0), False),  # two measurements
        ((1, 4), (52.0, 62.0), False),
    ],
)
def test_a_height_that_rises_faster_than_a_child_grows(
    ages: tuple[float, float], heights: tuple[float, float], is_named: bool
) -> None:
    visits = [
        visit(n + 2, age, height) for n, (age, height) in enumerate(zip(ages, heights, strict=True))
    ]
    assert named(*visits) == ([("height_jumps", (2, 3))] if is_named else [])


def test_two_visits_on_one_date_with_other_numbers() -> None:
    day = {"date": datetime.date(2024, 1, 1)}
    assert named(visit(2, 120, 140.0, **day), visit(3, 120, 141.0, **day)) == [
        ("same_date", (2, 3))
    ]
    assert named(visit(2, 120, 140.0), visit(3, 120, 139.0)) == [("same_date", (2, 3))]
    assert named(read(2, 120, 110), read(3, 120, 115)) == [("same_date", (2, 3))]
    assert named(visit(2, 120, 140.0), read(3, 120, 115)) == []


def test_dates_and_ages_that_do_not_fit() -> None:
    def dated(row: int, age: float, year: int) -> Visit:
        return visit(row, age, date=datetime.date(year, 1, 1))

    assert named(dated(2, 120, 2022), dated(3, 132, 2023)) == []
    assert named(dated(2, 120, 2022), dated(3, 144, 2023)) == [("ages_differ", (2, 3))]
    assert named(dated(2, 120, 2023), dated(3, 132, 2022)) == [("ages_differ", (2, 3))]


def test_one_parent_gives_no_target_height_and_is_said() -> None:
    assert named(visit(2, 120, father_cm=180.0), visit(3, 126, father_cm=180.0)) == [
        ("one_parent", (2, 3))
    ]


def test_a_parents_height_that_was_refused_is_not_called_missing() -> None:
    fault = VisitFault("bad_parent_height", "height of the father: expected 90 to 260.")
    (found,) = contradictions([visit(2, 120, mother_cm=165.0, faults=(fault,))])
    assert found.message == "no target height: the height of the father cannot be used"
    (found,) = contradictions([visit(2, 120, father_cm=180.0, faults=(fault,))])
    assert found.message == "no target height: the height of the mother is missing"


def test_rejected_rows_are_in_no_series() -> None:
    rejected = visit(3, 126, 100.0, faults=(VisitFault("bad_sex", "x", is_fatal=True),))
    assert named(visit(2, 120, 140.0), rejected) == []


def test_velocities_need_half_a_year() -> None:
    visits = [visit(2, 96, 120.0), visit(3, 99, 121.5), visit(4, 102, 123.0), visit(5, 108, 126.0)]
    assert height_velocities(visits) == pytest.approx({4: 6.0, 5: 6.0})
