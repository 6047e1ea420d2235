from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest

from bone_age_tf.growth.adult_height import predict_adult_height
from bone_age_tf.growth.adult_height_interval import predict_adult_height_interval
from bone_age_tf.growth.bayley_pinneau import DELAYED
from bone_age_tf.growth.reference_standards import compare_with_age
from bone_age_tf.growth.true_bone_age import probability_between, spread_of
from bone_age_tf.sex import Sex

Z = NormalDist().inv_cdf(0.95)
SIDES = {
    "up": (4.0, 14.0),
    "down": (12.0, 6.0),
    "nearly one-sided": (1.0, 12.0),
    "only up": (0.0, 26 / Z),
    "only down": (26 / Z, 0.0),
}
"""SDs in months below and above the estimate."""
CHILDREN = [(120.0, 132.5, 140.0), (150.0, 166.0, 160.0)]
"""Boys: bone age, chronological age, height."""
INF = float("inf")


def drawn(estimate: float, sides: tuple[float, float], count: int) -> np.ndarray:
    """Bone ages of the two halves of normal distributions, joined where they are as dense."""
    random = np.random.default_rng(25)
    below, above = sides
    is_below = random.random(count) < below / (below + above)
    return estimate + np.abs(random.normal(0, 1, count)) * np.where(is_below, -below, above)


def interval_of(estimate: float, sides: tuple[float, float]) -> tuple[float, float]:
    """Its 90 % interval: 5 % missing on either side, or 10 % on the only one."""
    if 0 in sides:
        return estimate - sides[0] * Z, estimate + sides[1] * Z
    low, high = np.quantile(drawn(estimate, sides, 1_000_000), [0.05, 0.95])
    return float(low), float(high)


@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
def test_probabilities_are_those_of_simulated_bone_ages(sides: tuple[float, float]) -> None:
    for bone_age, age, height in CHILDREN:
        low, high = interval_of(bone_age, sides)
        found = predict_adult_height_interval(
            bone_age, age, height, "M", low_months=low, high_months=high
        )
        draws = drawn(bone_age, sides, 10_000).clip(22, 240)
        answers = [predict_adult_height(float(one), age, height, "M") for one in draws]
        columns = Counter(one.column for one in answers)
        for one in found.columns:
            assert one.probability == pytest.approx(columns[one.column] / 10_000, abs=0.015)
        outside = np.mean([one.centimetres is None for one in answers])
        assert found.outside_probability == pytest.approx(outside, abs=0.015)


@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize(
    ("bone_age", "verdict"), [(95, "delayed"), (120, "average"), (143, "advanced")]
)
def test_the_verdict_is_as_probable_as_among_simulated_bone_ages(
    sides: tuple[float, float], bone_age: float, verdict: str
) -> None:
    low, high = interval_of(bone_age, sides)
    found = compare_with_age(bone_age, 120, Sex.M, low_months=low, high_months=high)
    scores = (drawn(bone_age, sides, 10_000) - 120) / 9.79
    same = {"delayed": scores < -2, "average": np.abs(scores) <= 2, "advanced": scores > 2}
    assert found.verdict == verdict
    assert found.verdict_probability == pytest.approx(same[verdict].mean(), abs=0.015)


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("down", "up"), [(13, 26), (26, 13), (0.2, 26), (15, 15)])
def test_either_side_of_the_interval_is_missed_alike(
    down: float, up: float, coverage: float
) -> None:
    spread = spread_of(100, 100 - down, 100 + up, coverage)
    tails = [(-INF, 100 - down), (100 + up, INF)]
    for tail in tails:
        assert probability_between(100, spread, *tail) == pytest.approx((1 - coverage) / 2)
    assert probability_between(100, spread, -INF, INF) == 1
    beside = [probability_between(100, spread, *ends) for ends in ((99.99, 100), (100, 100.01))]
    assert beside[0] == pytest.approx(beside[1], rel=0.02)


def test_a_one_sided_interval_has_nothing_on_the_other_side() -> None:
    found = predict_adult_height_interval(
        120, 132.5, 140, "M", low_months=120, high_months=146, coverage=0.9
    )
    assert found.columns[0].column == DELAYED
    assert found.columns[0].probability == pytest.approx(0.025, abs=0.001)
    for ends, away in (((120, 146), (-INF, 120)), ((94, 120), (120, INF))):
        spread = spread_of(120, *ends, 0.9)
        assert probability_between(120, spread, *away) == 0
        assert probability_between(120, spread, *ends) == pytest.approx(0.9)


@pytest.mark.parametrize("estimate", [97.3, 226.0, 231.7, 240.0, 9.1, 0.0])
def test_an_even_interval_is_that_of_a_normal_distribution(estimate: float) -> None:
    """To the last bit, also in 32 bits, and where an end of the scale cuts it."""
    half = np.float32(17.3)
    low, high = (float(np.clip(np.float32(estimate) + way * half, 0, 240)) for way in (-1, 1))
    spread = spread_of(estimate, low, high, 0.9)
    months = max(estimate - low, high - estimate) if low == 0 or high == 240 else (high - low) / 2
    normal = NormalDist(estimate, months / Z)
    for limits in ((-INF, estimate - 9), (estimate - 9, estimate + 4), (estimate + 4, INF)):
        expected = normal.cdf(limits[1]) - normal.cdf(limits[0])
        assert probability_between(estimate, spread, *limits) == expected


def test_a_one_sided_interval_that_the_scale_cuts_stays_one_sided() -> None:
    spread = spread_of(220, 220, 240, 0.9)
    assert probability_between(220, spread, -INF, 220) == 0
    spread = spread_of(20, 0, 20, 0.9)
    assert probability_between(20, spread, 20, INF) == 0
