import warnings

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.errors import InputDataError
from bone_age_tf.metrics.bone_age import AGE_BANDS, age_band
from bone_age_tf.postprocessing.apply import band_of, interval
from bone_age_tf.postprocessing.conformal import (
    MIN_IN_GROUP,
    Intervals,
    cross_validated_coverage,
    fit_intervals,
    min_radiographs_for,
    quantile,
)


def read_hands(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Sex, predicted and true months: girls are read with more noise, and old hands of both."""
    random = np.random.default_rng(seed)
    sex = random.integers(0, 2, count)
    true = random.uniform(6, 220, count)
    noise = np.where(sex == 0, 8, 4) * np.where(true > 150, 2, 1)
    return sex, true + random.normal(0, 1, count) * noise, true


def test_bands_are_those_of_the_tables() -> None:
    months = np.array([0, 47.99, 48, 100, 143.9, 144, 192, 240.0])
    names = list(AGE_BANDS)
    assert [names[band] for band in np.asarray(band_of(months))] == [age_band(m) for m in months]


@pytest.mark.parametrize(
    ("coverage", "fewest"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)]
)
def test_a_coverage_needs_so_many_radiographs(coverage: float, fewest: int) -> None:
    assert min_radiographs_for(coverage) == fewest
    sex, predicted, true = read_hands(fewest)
    fit_intervals(sex, predicted, true, coverage)
    with pytest.raises(InputDataError, match=f"at least {fewest} radiographs"):
        fit_intervals(sex[1:], predicted[1:], true[1:], coverage)


def test_the_quantile_is_the_one_with_a_guarantee() -> None:
    errors = np.arange(1.0, 20)  # 19 errors: the 18th is the (19 + 1) * 0.9-th
    assert quantile(np.random.default_rng(0).permutation(errors), 0.9) == 18
    assert quantile(np.arange(1.0, 10), 0.9) == 9


def test_half_widths_are_those_of_crepes() -> None:
    """Mondrian conformal regression by the same groups, fitted by a library on the same residuals.

    The coverage 15/16 is exact in binary: with 0.9, the library's (1 - 0.9) * (n + 1) may fall just
    short of a whole number, and its interval is then one rank wider than needed.
    """
    coverage = 15 / 16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        from crepes import ConformalRegressor
    sex, predicted, true = read_hands(3000)
    new_sex, new, _ = read_hands(500, seed=1)
    ours = fit_intervals(sex, predicted, true, coverage).half_width(new_sex, new)
    regressor = ConformalRegressor()
    regressor.fit(true - predicted, bins=sex * 10 + np.asarray(band_of(predicted)))
    theirs = regressor.predict_int(
        new, bins=new_sex * 10 + np.asarray(band_of(new)), confidence=coverage
    )
    np.testing.assert_allclose(theirs, np.stack([new - ours, new + ours], axis=1))


def test_new_radiographs_are_covered_in_every_group() -> None:
    intervals = fit_intervals(*read_hands(6000))
    sex, predicted, true = read_hands(60_000, seed=5)
    held = np.abs(predicted - true) <= intervals.half_width(sex, predicted)
    for code in (0, 1):
        for band in range(len(AGE_BANDS)):
            rows = (sex == code) & (np.asarray(band_of(predicted)) == band)
            assert held[rows].mean() == pytest.approx(0.9, abs=0.04)


def test_a_group_with_few_takes_that_above_it() -> None:
    sex, predicted, true = read_hands(4000)
    is_infant = np.asarray(band_of(predicted)) == 0
    few_girls = is_infant & (sex == 0)
    keep = np.full(len(sex), True)
    keep[np.flatnonzero(few_girls)[MIN_IN_GROUP - 1 :]] = False
    few = fit_intervals(sex[keep], predicted[keep], true[keep])
    assert few.groups[0][0] == "band"
    assert few.groups[1][0] == "sex and band"
    assert few.half_widths[0, 0] == quantile(np.abs(predicted - true)[keep & is_infant], 0.9)
    keep = ~is_infant | (np.cumsum(is_infant) < MIN_IN_GROUP)
    none = fit_intervals(sex[keep], predicted[keep], true[keep])
    assert [row[0] for row in none.groups] == ["all"] * 3
    assert none.counts[1, 0] == keep.sum()


def test_unknown_sex_takes_the_band() -> None:
    intervals = fit_intervals(*read_hands(2000))
    assert set(intervals.groups[2]) == {"band"}
    assert (intervals.half_widths[2] > intervals.half_widths[1]).all()
    assert (intervals.half_widths[2] < intervals.half_widths[0]).all()


def test_a_description_holds_everything() -> None:
    intervals = fit_intervals(*read_hands(500), 0.8)
    described = intervals.describe()
    assert described["coverage"] == 0.8
    for sex, name in enumerate(("F", "M", "unknown")):
        for column, cell in enumerate(described["by_predicted_age"][name].values()):
            assert cell == {
                "half_width_months": intervals.half_widths[sex, column],
                "group": intervals.groups[sex][column],
                "n": intervals.counts[sex, column],
            }


def test_cross_validation_tells_the_coverage() -> None:
    held = cross_validated_coverage(*read_hands(1500), 0.9)
    assert held["n"] == 1500
    assert held["coverage"]["low"] < 0.9 < held["coverage"]["high"]
    assert 8 < held["half_width_months"] < 20
    assert cross_validated_coverage(*read_hands(20), 0.95)["coverage"] is None


def test_the_graph_has_the_same_ends() -> None:
    intervals: Intervals = fit_intervals(*read_hands(2000))
    sex, predicted, _ = read_hands(300, seed=3)
    predicted = np.clip(predicted, 0, 240).astype(np.float32)
    width = intervals.half_width(sex, predicted)
    ends = tf.function(lambda months, widths: tuple(interval(months, widths)))
    low, high = ends(tf.constant(predicted), tf.constant(width, tf.float32))
    np.testing.assert_allclose(low, np.clip(predicted - width, 0, 240), atol=1e-4)
    np.testing.assert_allclose(high, np.clip(predicted + width, 0, 240), atol=1e-4)
