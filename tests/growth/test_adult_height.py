import math
import subprocess
import sys

import numpy as np
import pytest

from bone_age_tf.errors import ArgumentTypeError, ArgumentValueError
from bone_age_tf.growth.adult_height import (
    ABOVE_TABLE,
    BELOW_TABLE,
    FAR_ACCELERATED,
    FAR_DELAYED,
    NEAR_ONE_YEAR,
    NO_CHRONOLOGICAL_AGE,
    NOT_GREULICH_PYLE,
    REASONS,
    SEX_UNKNOWN,
    AdultHeight,
    near_sentence,
    predict_adult_height,
)
from bone_age_tf.growth.adult_height_interval import predict_adult_height_interval
from bone_age_tf.growth.bayley_pinneau import ACCELERATED, AVERAGE, DELAYED, table_of
from bone_age_tf.sex import Sex

INCH = 2.54
GRID = np.arange(60, 240.1, 0.5)

# === Worked examples ===


@pytest.mark.parametrize(
    ("sex", "age", "bone_age", "inches", "column", "percentage", "adult_inches"),
    [
        ("M", 156, 159, 60, AVERAGE, 89.0, 67.4),
        ("M", 156, 159, 51.5, AVERAGE, 89.0, 57.9),
        ("M", 168, 186, 67.5, ACCELERATED, 97.1, 69.5),
        ("F", 144, 123, 55, DELAYED, 88.4, 62.2),
    ],
)
def test_the_examples_of_the_paper(
    sex: str,
    age: float,
    bone_age: float,
    inches: float,
    column: str,
    percentage: float,
    adult_inches: float,
) -> None:
    predicted = predict_adult_height(bone_age, age, inches * INCH, sex)
    assert predicted.column == column
    assert predicted.percentage == percentage
    assert predicted.centimetres is not None
    assert round(predicted.centimetres / INCH, 1) == adult_inches


@pytest.mark.parametrize(
    ("sex", "age", "bone_age", "height", "column", "percentage", "adult_height"),
    [
        ("M", 144, 144, 150.0, AVERAGE, 83.4, 179.9),
        ("F", 126, 124, 138.0, AVERAGE, 87.7333, 157.3),
        ("M", 120, 133, 145.0, ACCELERATED, 77.0, 188.3),
        ("M", 150, 137, 140.0, DELAYED, 83.0333, 168.6),
        ("F", 80, 92, 120.0, ACCELERATED, 73.7, 162.8),
        ("F", 132, 120, 130.0, DELAYED, 87.4, 148.7),
        ("F", 131.9, 120, 130.0, AVERAGE, 86.2, 150.8),
        ("F", 200, 207, 155.0, AVERAGE, 99.925, 155.1),
        ("M", 149, 150.5, 150.0, AVERAGE, 85.4667, 175.5),
        ("M", 168, 156, 165.0, DELAYED, 88.0, 187.5),
        ("M", 222, 223, 175.0, AVERAGE, 100.0, 175.0),
    ],
)
def test_worked_examples(
    sex: str,
    age: float,
    bone_age: float,
    height: float,
    column: str,
    percentage: float,
    adult_height: float,
) -> None:
    predicted = predict_adult_height(bone_age, age, height, sex)
    assert predicted.column == column
    assert predicted.percentage == pytest.approx(percentage, abs=1e-4)
    assert predicted.centimetres is not None
    assert round(predicted.centimetres, 1) == adult_height
    assert predicted.is_complete == (percentage == 100)
    assert predicted.reason is None


@pytest.mark.parametrize(
    ("sex", "age", "bone_age", "height", "column", "reason", "rows"),
    [
        ("M", 169, 157, 165.0, DELAYED, ABOVE_TABLE, "72 to 156"),
        ("M", 190, 205, 175.0, ACCELERATED, ABOVE_TABLE, "84 to 204"),
        ("M", 83, 83, 120.0, AVERAGE, BELOW_TABLE, "84 to 222"),
        ("F", 75, 71, 118.0, AVERAGE, BELOW_TABLE, "72 to 216"),
    ],
)
def test_worked_examples_outside_the_table(
    sex: str, age: float, bone_age: float, height: float, column: str, reason: str, rows: str
) -> None:
    predicted = predict_adult_height(bone_age, age, height, sex)
    assert predicted.centimetres is predicted.percentage is None
    assert (predicted.column, predicted.reason) == (column, reason)
    assert f"rows of {rows} months" in predicted.explanation


# === Rules ===


def _over_grid(sex: Sex, difference: float, height: float = 140.0) -> list[AdultHeight]:
    return [predict_adult_height(float(b), float(b) - difference, height, sex) for b in GRID]


@pytest.mark.parametrize("sex", [Sex.F, Sex.M])
@pytest.mark.parametrize(
    ("difference", "name"),
    [
        (-30, DELAYED),
        (-12, DELAYED),
        (-11.9, AVERAGE),
        (0, AVERAGE),
        (11.9, AVERAGE),
        (12, ACCELERATED),
        (30, ACCELERATED),
    ],
)
def test_heights_are_at_least_the_height_now_and_fall_with_the_bone_age(
    sex: Sex, difference: float, name: str
) -> None:
    heights = [p.centimetres for p in _over_grid(sex, difference)]
    column = table_of(sex)[name]
    has = np.array([height is not None for height in heights])
    last = math.inf if column.is_complete else column.last
    np.testing.assert_array_equal(has, (column.first <= GRID) & (last >= GRID))
    numbers = np.array([height for height in heights if height is not None])
    assert (numbers >= 140.0).all()
    assert (np.diff(numbers) <= 0).all()
    assert (np.diff(numbers) < 0).sum() > 100


@pytest.mark.parametrize("height", [152.3, 170.000064492563, 175.3, 181.7])
def test_after_growth_the_adult_height_is_the_height_now(height: float) -> None:
    for sex, age, bone_age in (("M", 222, 222), ("F", 216, 220), ("F", 220, 204)):
        predicted = predict_adult_height(bone_age, age, height, sex)
        assert predicted.centimetres == height
        assert predicted.is_complete


def test_the_step_at_one_year() -> None:
    """A boy of 140 cm with a bone age of 10-3, and a girl of 120 cm with one of 7-0."""
    boy = [predict_adult_height(123, age, 140, "M").centimetres for age in (111, 112)]
    girl = [predict_adult_height(84, age, 120, "F").centimetres for age in (72, 73)]
    assert boy == pytest.approx([185.9, 177.0], abs=0.05)
    assert girl == pytest.approx([168.5, 158.5], abs=0.05)


@pytest.mark.parametrize(
    ("bone_age", "age", "warnings"),
    [
        (120, 144, ()),
        (120, 144.1, (FAR_DELAYED,)),
        (144, 120, ()),
        (144, 119.9, (FAR_ACCELERATED,)),
        (144.3, 120.3, ()),
        (200, 160, (FAR_ACCELERATED,)),
    ],
)
def test_more_than_two_years_off_is_warned_of(
    bone_age: float, age: float, warnings: tuple[str, ...]
) -> None:
    assert predict_adult_height(bone_age, age, 150, "F").warnings == warnings


@pytest.mark.parametrize(
    ("bone_age", "age", "words"),
    [
        (132, 120, "accelerated maturation: the bone age is 12.0 months ahead of the"),
        (131.96, 120, "average maturation: the bone age is 11.9 months ahead of the"),
        (120, 132, "delayed maturation: the bone age is 12.0 months behind the"),
        (128.2, 116.2, "12.0 months ahead of the chronological age, a year or more."),
        (120, 120, "average maturation: the bone age equals the chronological age."),
    ],
)
def test_the_explanation_says_why_the_column_applies(
    bone_age: float, age: float, words: str
) -> None:
    assert words in predict_adult_height(bone_age, age, 140, "F").explanation


# === No column ===


@pytest.mark.parametrize(
    ("age", "sex", "method", "reason"),
    [
        (None, "F", "greulich_pyle", NO_CHRONOLOGICAL_AGE),
        (math.nan, "F", "greulich_pyle", NO_CHRONOLOGICAL_AGE),
        (120, "unknown", "greulich_pyle", SEX_UNKNOWN),
        (120, Sex.UNKNOWN, "greulich_pyle", SEX_UNKNOWN),
        (120, "F", "tanner_whitehouse_3", NOT_GREULICH_PYLE),
        (120, "F", None, NOT_GREULICH_PYLE),
    ],
)
def test_without_a_column_there_is_no_answer(
    age: float | None, sex: Sex | str, method: str | None, reason: str
) -> None:
    predicted = predict_adult_height(120, age, 140, sex, reading_method=method)
    assert predicted.reason == reason
    assert predicted.centimetres is predicted.column is predicted.percentage is None
    assert REASONS[reason] in predicted.explanation


def test_usual_words_for_the_sex_are_understood() -> None:
    assert predict_adult_height(120, 120, 140, "niña") == predict_adult_height(120, 120, 140, Sex.F)


# === Bad input ===


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((120, 120, 1.4, "F"), "looks like metres: that would be 140.0 cm"),
        ((120, 120, 4.6, "F"), "looks like feet: that would be 140.2 cm"),
        ((120, 120, 55, "F"), "looks like inches: that would be 139.7 cm"),
        ((120, 120, 84.5, "F"), "looks like inches"),
        ((120, 120, 1400, "F"), "looks like millimetres: that would be 140.0 cm"),
        ((120, 120, 0, "F"), r"height_cm: .* 85 to 260. Received 0\."),
        ((120, 120, -140, "F"), r"Received -140\."),
        ((120, 120, 270, "F"), r"Received 270\."),
        ((120, 120, math.nan, "F"), "height_cm: expected a number. Received nan"),
        ((120, 120, math.inf, "F"), "height_cm: expected a number. Received inf"),
        ((10.0, 10.2, 140, "F"), "bone_age_months: .*looks like years: that would be 120 months"),
        ((10.0, 122, 140, "F"), "bone_age_months: .*looks like years"),
        ((120, 10.2, 140, "F"), "chronological_age_months: .*looks like years.* 122.4 months"),
        ((120, 10.2, 100, "F"), "with a bone age of 120 months, which looks like years"),
        ((-1, 120, 140, "F"), "bone_age_months: .* 0 to 240. Received -1"),
        ((241, 120, 140, "F"), "bone_age_months: .* Received 241"),
        ((math.nan, 120, 140, "F"), "bone_age_months: expected a number. Received nan"),
        ((120, 0, 140, "F"), "chronological_age_months: .* Received 0"),
        ((120, -120, 140, "F"), "chronological_age_months: .* Received -120"),
        ((120, 3652, 140, "F"), "chronological_age_months: .* at most 1200. Received 3652"),
        ((120, math.inf, 140, "F"), "chronological_age_months: expected a number"),
        ((120, 120, 140, "girly"), "sex: expected F, M or unknown, .* Received 'girly'"),
    ],
)
def test_impossible_numbers_and_other_units_are_named(
    arguments: tuple[float, float, float, str], words: str
) -> None:
    with pytest.raises(ArgumentValueError, match=words):
        predict_adult_height(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((120, 120, "4 ft 7 in", "F"), "height_cm: expected a number. Received '4 ft 7 in'"),
        ((None, 120, 140, "F"), "bone_age_months: expected a number. Received None"),
        ((120, "10 years", 140, "F"), "chronological_age_months: expected a number"),
        ((120, 120, True, "F"), "height_cm: expected a number. Received True"),
        ((120, 120, 140, 1), "sex: expected F, M or unknown"),
    ],
)
def test_what_is_no_number_is_named(arguments: tuple, words: str) -> None:
    with pytest.raises(ArgumentTypeError, match=words):
        predict_adult_height(*arguments)


def test_infants_are_below_the_table_and_no_error() -> None:
    for bone_age, age, height in ((6, 8, 65), (20, 19, 84), (60, 60, 104.5)):
        assert predict_adult_height(bone_age, age, height, "M").reason == BELOW_TABLE


def test_numbers_of_numpy_are_numbers() -> None:
    predicted = predict_adult_height(np.float32(144), np.int64(144), np.float64(150), "M")
    assert predicted == predict_adult_height(144, 144, 150, "M")


def test_it_needs_no_tensorflow() -> None:
    code = (
        "import bone_age_tf, sys; print(bone_age_tf.predict_adult_height(144, 144, 150, 'M').column, "
        "'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["average", "False"]


@pytest.mark.parametrize(
    ("age", "column", "said"),
    [
        (112.5, "accelerated", "1.5 months higher the column would be accelerated"),
        (111.0, "average", "0.1 months lower the column would be average"),
        (105.0, "average", "6.0 months lower the column would be average"),
        (133.5, "delayed", "1.5 months lower the column would be delayed"),
        (135.0, "average", "0.1 months higher the column would be average"),
    ],
)
def test_near_one_year_the_other_column_is_told(age: float, column: str, said: str) -> None:
    found = predict_adult_height(123, age, 140.0, "M")
    assert found.warnings == (NEAR_ONE_YEAR,)
    assert found.other is not None
    assert found.other.column == column
    assert found.difference_months is not None
    sentence = near_sentence(column, found.difference_months, found.other.centimetres)
    assert said in sentence
    at_year = age + (12.0 if found.difference_months > 0 else -12.0)
    inner = at_year - (1e-4 if found.difference_months > 0 else -1e-4)
    other = predict_adult_height(inner if column == "average" else at_year, age, 140.0, "M")
    assert found.other.centimetres == pytest.approx(other.centimetres, abs=0.01)


@pytest.mark.parametrize("age", [123.0, 117.1, 104.9, 141.1])
def test_elsewhere_no_other_column_is_told(age: float) -> None:
    found = predict_adult_height(123, age, 140.0, "M")
    assert (found.warnings, found.other) == ((), None)


def test_an_interval_tells_the_columns_itself() -> None:
    found = predict_adult_height_interval(123, 112, 140.0, "M", low_months=115, high_months=131)
    assert (found.predicted.warnings, found.predicted.other) == ((), None)
    assert len(found.columns) == 2
