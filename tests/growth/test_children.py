import datetime
from typing import Any

import pytest

from bone_age_tf.growth.children import Told, by_child, complete
from bone_age_tf.growth.visits import Visit
from bone_age_tf.sex import Sex

BORN = datetime.date(2014, 1, 1)
SEEN = datetime.date(2024, 1, 1)


def visit(row: int = 2, id: str = "a", **told: Any) -> Visit:
    return Visit(row, id, **{"sex": Sex.F, "chronological_age_months": 120.0, **told})


def codes(*visits: Visit, **headers: Any) -> list[list[str]]:
    return [[fault.code for fault in one.faults] for one in complete(visits, **headers)]


def test_one_row_may_tell_what_a_child_has_but_one_of() -> None:
    visits = [
        Visit(2, "a", date=SEEN),
        Visit(3, "b", date=SEEN, sex=Sex.M, chronological_age_months=60.0),
        Visit(4, "a", date=SEEN, birth_date=BORN, sex=Sex.F, father_cm=180.0, mother_cm=165.0),
    ]
    first, other, last = complete(visits)
    for one in (first, last):
        assert (one.sex, one.birth_date, one.father_cm, one.mother_cm) == (Sex.F, BORN, 180, 165)
        assert one.chronological_age_months == pytest.approx(120.0, abs=0.05)
        assert one.status == "ok"
    assert (other.sex, other.father_cm, other.chronological_age_months) == (Sex.M, None, 60.0)


def test_a_known_sex_goes_before_an_unknown_one() -> None:
    found = complete([visit(sex=Sex.UNKNOWN), visit(3, sex=Sex.F, height_cm=120.0)])
    assert [one.sex for one in found] == [Sex.F, Sex.F]
    assert complete([visit(sex=Sex.UNKNOWN)])[0].sex == Sex.UNKNOWN


def test_two_sexes_and_two_birth_dates_make_a_child_unusable_and_name_the_rows() -> None:
    found = complete([visit(), visit(3, sex=Sex.M), visit(9, id="b")])
    assert [one.status for one in found] == ["rejected", "rejected", "ok"]
    assert [one.sex for one in found] == [Sex.F, Sex.M, Sex.F]  # as they were
    assert "F in row 2 and M in row 3" in found[0].faults[0].message
    born = {"birth_date": BORN}, {"birth_date": BORN.replace(year=2013)}
    found = complete([visit(**born[0]), visit(3, **born[1]), visit(4)])
    assert {one.status for one in found} == {"rejected"}
    assert "2014-01-01 in row 2 and 2013-01-01 in row 3" in found[2].faults[0].message


def test_different_heights_of_a_parent_cost_the_target_height_alone() -> None:
    parents = {"father_cm": 180.0, "mother_cm": 165.0}
    found = complete([visit(**parents), visit(3, **{**parents, "father_cm": 178.0}), visit(4)])
    assert [one.father_cm for one in found] == [None] * 3
    assert [one.status for one in found] == ["incomplete", "incomplete", "ok"]
    assert "180 cm in row 2 and 178 cm in row 3" in found[0].faults[0].message


def test_a_row_that_repeats_another_is_used_once() -> None:
    assert codes(visit(), visit(3), visit(4, height_cm=120.0)) == [[], ["repeated_row"], []]


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"birth_date": BORN, "date": BORN - datetime.timedelta(days=1)}, "birth_after_visit"),
        ({"birth_date": BORN, "date": SEEN, "chronological_age_months": 110.0}, "ages_differ"),
        ({"chronological_age_months": None, "date": SEEN}, "no_age"),
        ({"chronological_age_months": None, "birth_date": BORN}, "no_age"),
        ({"chronological_age_months": -3.0}, "bad_chronological_age"),
        ({"chronological_age_months": 1200.0}, "bad_chronological_age"),
        ({"sex": None}, "missing_sex"),
        ({"chronological_age_months": 10.5, "height_cm": 140.0}, "age_in_years"),
        ({"chronological_age_months": 10.5, "bone_age_months": 126.0}, "age_in_years"),
        ({"bone_age_months": 10.0, "height_cm": 140.0}, "age_in_years"),
    ],
)
def test_a_row_that_cannot_be_used(told: dict[str, Any], code: str) -> None:
    (found,) = complete([visit(**told)])
    assert [fault.code for fault in found.faults] == [code]
    assert found.status == "rejected"


def test_completed_years_may_be_a_year_off() -> None:
    told = {"birth_date": BORN, "date": SEEN, "chronological_age_months": 110.0}
    (found,) = complete([visit(**told, is_age_in_years=True)])
    assert found.status == "ok"
    assert found.chronological_age_months == pytest.approx(120.0, abs=0.05)


@pytest.mark.parametrize(
    ("height", "unit"), [(1.4, "metres"), (55.0, "inches"), (4.6, "feet"), (1400.0, "millimetres")]
)
def test_a_height_in_another_unit_is_named_and_the_rest_is_used(height: float, unit: str) -> None:
    (found,) = complete([visit(height_cm=height, bone_age_months=118.0)])
    assert (found.status, found.height_cm, found.bone_age_months) == ("incomplete", None, 118.0)
    assert unit in found.faults[0].message


def test_headers_tell_what_no_row_does() -> None:
    silent = {"sex": None, "chronological_age_months": None}
    headers = {2: Told(Sex.M, 100.0), 3: Told(Sex.F, 110.0)}
    (found,) = complete([visit(**silent)], headers)
    assert (found.sex, found.chronological_age_months, found.status) == (Sex.M, 100.0, "ok")
    first, second = complete([visit(**silent), visit(3)], headers)
    assert (first.sex, second.sex, second.chronological_age_months) == (Sex.F, Sex.F, 120.0)
    both = complete([visit(**silent), visit(3, height_cm=120.0, **silent)], headers)
    assert {one.faults[0].code for one in both} == {"two_sexes"}


def test_rows_without_an_identifier_are_no_child() -> None:
    assert list(by_child([visit(), visit(3, id="")])) == ["a"]
    assert len(complete([visit(), visit(3, id="")])) == 2
