import math

import pytest

from bone_age_tf.dicom.ages import ages_of

BORN, STUDY = {"PatientBirthDate": "20140131"}, {"StudyDate": "20240131"}


def _ages(**values: str) -> tuple[float, tuple[str, ...]]:
    ages = ages_of(lambda keyword: values.get(keyword, ""))
    return round(ages.months, 1), ages.warnings


@pytest.mark.parametrize(
    ("text", "months"),
    [
        *[("012Y", 144), ("144M", 144), ("010W", 2.3), ("030D", 1.0), ("000D", 0), ("9Y", 108)],
        ("012y", 144),
    ],
)
def test_an_age_string_in_months(text: str, months: float) -> None:
    assert _ages(PatientAge=text) == (months, ())


@pytest.mark.parametrize(
    "text", ["", "Y", "12", "0012Y", "12.5Y", "-12Y", "twelve", "012Y\\013Y", "٣Y"]
)
def test_an_age_that_is_none_is_not_guessed(text: str) -> None:
    months, codes = _ages(PatientAge=text)
    assert math.isnan(months) and codes == ()


def test_dates_give_the_age_at_the_study() -> None:
    assert _ages(**BORN, **STUDY) == (120.0, ())
    assert _ages(**BORN, StudyDate="2024.01.31") == (120.0, ())
    assert math.isnan(_ages(**BORN)[0])
    assert math.isnan(_ages(**STUDY)[0])


def test_the_date_of_acquisition_comes_before_that_of_the_study() -> None:
    assert _ages(**BORN, **STUDY, AcquisitionDate="20250131") == (132.0, ())
    assert _ages(**BORN, **STUDY, AcquisitionDateTime="20250131101500.0+0100") == (132.0, ())
    assert _ages(**BORN, **STUDY, AcquisitionDate="unknown") == (120.0, ())
    assert _ages(**BORN, SeriesDate="20250131") == (132.0, ())


def test_the_birth_date_is_used_where_both_are_there() -> None:
    assert _ages(**BORN, **STUDY, PatientAge="010Y") == (120.0, ())
    assert _ages(**BORN, StudyDate="20241231", PatientAge="010Y") == (131.0, ())


@pytest.mark.parametrize("text", ["008Y", "012Y", "010M", "010W"])
def test_more_than_a_year_apart_is_said(text: str) -> None:
    assert _ages(**BORN, **STUDY, PatientAge=text) == (120.0, ("age_differs",))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"PatientBirthDate": "20250101"}, math.nan),
        ({"PatientBirthDate": "19930101"}, math.nan),
        ({"PatientAge": "045Y"}, math.nan),
        ({"PatientBirthDate": "19000101", "PatientAge": "010Y"}, 120.0),
        ({"PatientBirthDate": "20140131", "PatientAge": "999Y"}, 120.0),
    ],
)
def test_an_implausible_age_is_said_and_not_used(values: dict[str, str], expected: float) -> None:
    months, codes = _ages(**STUDY, **values)
    assert months == pytest.approx(expected, nan_ok=True)
    assert codes == ("age_implausible",)


@pytest.mark.parametrize(
    "born", ["20140231", "00000000", "2014", "20141", "31.01.2014", "99999999"]
)
def test_a_date_that_is_none_is_as_good_as_absent(born: str) -> None:
    months, codes = _ages(PatientBirthDate=born, **STUDY)
    assert math.isnan(months) and codes == ()
