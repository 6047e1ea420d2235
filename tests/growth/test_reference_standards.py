import math

import numpy as np
import pytest

from bone_age_tf.growth.reference_standards import Comparison, compare_with_age, sd_at
from bone_age_tf.sex import Sex


@pytest.mark.parametrize(
    ("age", "sex", "sd"),
    [
        (3, Sex.M, 0.69),
        (120, Sex.M, 9.79),
        (120, Sex.F, 11.73),
        (126, Sex.F, (11.73 + 11.94) / 2),
        (204, Sex.M, 13.05),
        (192, Sex.F, 7.31),
    ],
)
def test_the_table_is_interpolated(age: float, sex: Sex, sd: float) -> None:
    assert sd_at(age, sex) == pytest.approx(sd)


@pytest.mark.parametrize(
    ("age", "sex"),
    [(2.9, Sex.M), (204.1, Sex.M), (192.1, Sex.F), (120, Sex.UNKNOWN), (math.nan, Sex.F)],
)
def test_there_is_no_score_outside_the_table(age: float, sex: Sex) -> None:
    compared = compare_with_age(100, age, sex, low_months=90, high_months=110)
    assert sd_at(age, sex) is None
    assert compared.sd_score is compared.verdict is compared.verdict_probability is None
    if math.isfinite(age):
        assert compared.difference_months == pytest.approx(100 - age)


@pytest.mark.parametrize(
    ("bone_age", "verdict"),
    [(100, "delayed"), (101, "average"), (139, "average"), (140, "advanced")],
)
def test_two_standard_deviations_decide(bone_age: float, verdict: str) -> None:
    """A boy of 10 years: SD 9.79 months."""
    compared = compare_with_age(bone_age, 120, Sex.M)
    assert compared.verdict == verdict
    assert compared.sd_score == pytest.approx((bone_age - 120) / 9.79)
    assert compared.verdict_probability is None


def test_the_probability_is_that_of_random_draws() -> None:
    compared = compare_with_age(145, 120, Sex.M, low_months=130, high_months=160)
    draws = np.random.default_rng(0).normal(145, 15 / 1.6449, 400_000)
    expected = np.mean(draws - 120 > 2 * 9.79)
    assert compared.verdict_probability == pytest.approx(expected, abs=0.005)


def test_a_verdict_on_the_limit_is_a_coin_toss_and_a_sure_one_is_sure() -> None:
    def probability(bone_age: float, half: float) -> float:
        compared: Comparison = compare_with_age(
            bone_age, 120, Sex.M, low_months=bone_age - half, high_months=bone_age + half
        )
        assert compared.verdict_probability is not None
        return compared.verdict_probability

    assert probability(120 + 2 * 9.79 + 1e-6, 1) == pytest.approx(0.5, abs=1e-3)
    assert probability(200, 10) == pytest.approx(1, abs=1e-6)
    assert probability(120, 0) == 1.0


def test_a_cut_interval_is_as_wide_as_its_whole_side() -> None:
    """A boy of 190 months, 232 +- 20: the graph ends the interval at 240."""
    whole = compare_with_age(232, 190, Sex.M, low_months=212, high_months=252)
    cut = compare_with_age(232, 190, Sex.M, low_months=212, high_months=240)
    assert cut.verdict_probability == pytest.approx(whole.verdict_probability)
    assert whole.verdict_probability == pytest.approx(0.916, abs=0.002)


def test_infants_are_flagged() -> None:
    assert compare_with_age(14, 12, Sex.F).is_infant
    assert not compare_with_age(14, 24, Sex.F).is_infant
