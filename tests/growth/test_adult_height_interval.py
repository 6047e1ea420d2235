from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest

from bone_age_tf.errors import ArgumentValueError
from bone_age_tf.growth.adult_height import predict_adult_height
from bone_age_tf.growth.adult_height_interval import (
    AdultHeightInterval,
    predict_adult_height_interval,
)
from bone_age_tf.growth.bayley_pinneau import ACCELERATED, AVERAGE, DELAYED
from bone_age_tf.growth.published_errors import method_sd_cm
from bone_age_tf.sex import Sex

CASES = {
    "one column": (130, 130, 140.0, "F", 5),
    "average or accelerated": (123, 113, 140.0, "M", 8),
    "on the rule": (132, 120, 140.0, "F", 10),
    "delayed or average": (100, 110, 130.0, "F", 9),
    "all three": (126, 128, 138.0, "F", 22),
    "last row of delayed boys": (150, 166, 160.0, "M", 15),
    "last row of accelerated boys": (203, 190, 178.0, "M", 14),
    "first row": (86, 88, 125.0, "M", 18),
    "end of growth": (200, 205, 160.0, "F", 20),
    "estimate outside the table": (80, 85, 120.0, "M", 12),
}
"""Bone age, chronological age, height, sex, half of a 90 % interval."""


def _predicted(case: str) -> AdultHeightInterval:
    bone_age, age, height, sex, half = CASES[case]
    return predict_adult_height_interval(
        bone_age, age, height, sex, low_months=bone_age - half, high_months=bone_age + half
    )


def _simulated(case: str) -> tuple[Counter[str | None], np.ndarray]:
    """Columns of 10,000 bone ages, and their heights: NaN where there is none."""
    bone_age, age, height, sex, half = CASES[case]
    spread = half / NormalDist().inv_cdf(0.95)
    draws = np.random.default_rng(25).normal(bone_age, spread, 10_000).clip(22, 240)
    answers = [predict_adult_height(float(draw), age, height, sex) for draw in draws]
    return (
        Counter(one.column for one in answers),
        np.array([np.nan if one.centimetres is None else one.centimetres for one in answers]),
    )


@pytest.mark.parametrize("case", CASES)
def test_probabilities_and_coverage_are_those_of_simulated_bone_ages(case: str) -> None:
    found = _predicted(case)
    columns, heights = _simulated(case)
    for one in found.columns:
        assert one.probability == pytest.approx(columns[one.column] / 10_000, abs=0.015)
    others = set(columns) - {one.column for one in found.columns}
    assert sum(columns[name] for name in others) / 10_000 < 0.1
    outside = np.isnan(heights).mean()
    assert found.outside_probability == pytest.approx(outside, abs=0.015)
    assert found.low_cm is not None
    assert found.high_cm is not None
    covered = ((found.low_cm <= heights) & (heights <= found.high_cm)).mean()
    assert covered >= 0.9 - outside - 0.01


@pytest.mark.parametrize("case", CASES)
def test_the_interval_is_that_of_every_bone_age_in_it(case: str) -> None:
    bone_age, age, height, sex, half = CASES[case]
    found = _predicted(case)
    answers = [
        predict_adult_height(float(months), age, height, sex)
        for months in np.linspace(bone_age - half, bone_age + half, 2001)
    ]
    for one in found.columns:
        own = [a.centimetres for a in answers if a.column == one.column and a.centimetres]
        ends = (min(own), max(own)) if own else (None, None)
        assert (one.low_cm, one.high_cm) == pytest.approx(ends, abs=0.05)
        if one.centimetres is not None:
            assert one.low_cm <= one.centimetres <= one.high_cm  # type: ignore[operator]
    heights = [a.centimetres for a in answers if a.centimetres]
    assert (found.low_cm, found.high_cm) == pytest.approx((min(heights), max(heights)), abs=0.05)


def test_inside_one_column_the_ends_are_the_answers_at_the_ends() -> None:
    found = _predicted("one column")
    (column,) = found.columns
    ends = [predict_adult_height(months, 130, 140, "F").centimetres for months in (135, 125)]
    assert [found.low_cm, found.high_cm] == ends == [column.low_cm, column.high_cm]
    assert column.centimetres == found.predicted.centimetres
    assert column.probability > 0.99
    assert found.outside_probability == 0


def test_on_the_rule_both_columns_are_equally_likely() -> None:
    average, accelerated = _predicted("on the rule").columns
    assert (average.column, accelerated.column) == (AVERAGE, ACCELERATED)
    assert average.probability == pytest.approx(0.5, abs=1e-4)
    assert accelerated.probability == pytest.approx(0.5, abs=1e-4)
    assert average.centimetres == pytest.approx(140 / 0.906)
    assert accelerated.centimetres == pytest.approx(140 / 0.883)


def test_another_column_answers_at_the_rule() -> None:
    """A boy whose bone age of 10-3 is 10 months ahead: accelerated from 10-5 on."""
    found = _predicted("average or accelerated")
    average, accelerated = found.columns
    assert average.centimetres == found.predicted.centimetres
    edge = predict_adult_height(125, 113, 140, "M")
    assert edge.column == ACCELERATED
    assert accelerated.centimetres == edge.centimetres == accelerated.high_cm
    assert average.probability > accelerated.probability > 0.3


@pytest.mark.parametrize(
    ("half", "columns"),
    [
        (9.9, [AVERAGE]),
        (10, [DELAYED, AVERAGE]),
        (13.9, [DELAYED, AVERAGE]),
        (14, [DELAYED, AVERAGE, ACCELERATED]),
    ],
)
def test_columns_are_shown_from_where_the_interval_touches_the_rule(
    half: float, columns: list[str]
) -> None:
    """The delayed column begins 10 months below the bone age, the accelerated one 14 months above."""
    found = predict_adult_height_interval(
        122, 124, 140, "F", low_months=122 - half, high_months=122 + half
    )
    assert [one.column for one in found.columns] == columns
    assert all(one.low_cm is not None for one in found.columns)


def test_delayed_boys_beyond_13_years_have_no_answer_with_its_probability() -> None:
    found = _predicted("last row of delayed boys")
    delayed, average = found.columns
    spread = 15 / NormalDist().inv_cdf(0.95)
    true = NormalDist(150, spread)
    assert delayed.probability == pytest.approx(true.cdf(154))
    assert delayed.outside_probability == 0  # from 154 months on the average column applies
    assert average.outside_probability == 0
    later = predict_adult_height_interval(150, 172, 160, "M", low_months=135, high_months=165)
    assert later.outside_probability == pytest.approx(true.cdf(160) - true.cdf(156))
    assert later.low_cm is not None


def test_after_growth_the_lower_end_is_the_height_now() -> None:
    found = _predicted("end of growth")
    assert found.low_cm == 160.0
    _, average, accelerated = found.columns
    assert average.outside_probability == 0
    # A bone age from 217 months on would be accelerated, and that column ends at 210 months.
    assert accelerated.low_cm is accelerated.centimetres is None
    assert accelerated.outside_probability == accelerated.probability == found.outside_probability


def test_an_estimate_outside_the_table_has_the_heights_of_the_part_inside() -> None:
    found = _predicted("estimate outside the table")
    assert found.predicted.centimetres is None
    true = NormalDist(80, 12 / NormalDist().inv_cdf(0.95))
    # The delayed column applies up to 73 months and begins at 72, the average one begins at 84.
    outside = true.cdf(84) - (true.cdf(73) - true.cdf(72))
    assert found.outside_probability == pytest.approx(outside)
    average = found.columns[1]
    assert (average.column, average.centimetres) == (AVERAGE, None)
    assert average.high_cm == pytest.approx(120 / 0.695)


def test_an_interval_all_outside_has_no_heights() -> None:
    found = predict_adult_height_interval(60, 60, 108, "M", low_months=50, high_months=70)
    assert found.low_cm is found.high_cm is None
    assert found.outside_probability == pytest.approx(1, abs=0.001)
    assert found.method_sd_cm is None


@pytest.mark.parametrize(("age", "sex"), [(None, "F"), (120, "unknown")])
def test_without_a_column_there_is_no_interval(age: float | None, sex: str) -> None:
    found = predict_adult_height_interval(120, age, 140, sex, low_months=110, high_months=130)
    assert found.predicted.reason is not None
    assert found.columns == ()
    assert found.low_cm is found.outside_probability is found.method_sd_cm is None


def test_the_error_of_the_method_stands_beside() -> None:
    found = _predicted("one column")
    assert found.method_sd_cm == method_sd_cm(130, Sex.F)
    assert found.high_cm == predict_adult_height(125, 130, 140, "F").centimetres


@pytest.mark.parametrize(
    ("low", "high", "coverage", "words"),
    [
        (121, 130, 0.9, "an interval that holds the bone age of 120 months. Received 121 to 130"),
        (110, 119, 0.9, "Received 110 to 119"),
        (120, 120, 0.9, "Without an interval, call predict_adult_height"),
        (float("nan"), 130, 0.9, "low_months: expected a number"),
        (110, 250, 0.9, "high_months: .* 0 to 240. Received 250"),
        (110, 130, 90, "coverage: expected a share between 0 and 1, as 0.9. Received 90"),
    ],
)
def test_an_impossible_interval_is_named(
    low: float, high: float, coverage: float, words: str
) -> None:
    with pytest.raises(ArgumentValueError, match=words):
        predict_adult_height_interval(
            120, 120, 140, "F", low_months=low, high_months=high, coverage=coverage
        )
