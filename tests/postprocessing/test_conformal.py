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
    offsets_of,
    quantile,
)


def read_hands(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    ("coverage", "fewest"), [(0.5, 3), (0.8, 9), (0.9, 19), (0.95, 39), (0.99, 199)]
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


def test_symmetric_intervals_are_those_of_crepes() -> None:
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
    symmetric = fit_intervals(sex, predicted, true, coverage, symmetric=True)
    ours = symmetric.offsets_of(new_sex, new)
    regressor = ConformalRegressor()
    regressor.fit(true - predicted, bins=sex * 10 + np.asarray(band_of(predicted)))
    theirs = regressor.predict_int(
        new, bins=new_sex * 10 + np.asarray(band_of(new)), confidence=coverage
    )
    np.testing.assert_allclose(theirs, new[:, None] + ours)
    assert fit_intervals(sex, predicted, true).offsets.shape == (3, len(AGE_BANDS), 2)


def test_new_radiographs_are_covered_in_every_group() -> None:
    intervals = fit_intervals(*read_hands(6000))
    sex, predicted, true = read_hands(60_000, seed=5)
    held = intervals.holds(sex, predicted, true)
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
    assert few.offsets[0, 0, 1] == quantile((true - predicted)[keep & is_infant], 0.95)
    assert few.offsets[0, 0, 0] == -quantile((predicted - true)[keep & is_infant], 0.95)
    keep = ~is_infant | (np.cumsum(is_infant) < MIN_IN_GROUP)
    none = fit_intervals(sex[keep], predicted[keep], true[keep])
    assert [row[0] for row in none.groups] == ["all"] * 3
    assert none.counts[1, 0] == keep.sum()


def test_unknown_sex_takes_the_band() -> None:
    intervals = fit_intervals(*read_hands(2000))
    assert set(intervals.groups[2]) == {"band"}
    widths = np.diff(intervals.offsets)[..., 0]
    assert (widths[2] > widths[1]).all()
    assert (widths[2] < widths[0]).all()


def test_a_description_holds_everything() -> None:
    intervals = fit_intervals(*read_hands(500), 0.8)
    described = intervals.describe()
    assert described["coverage"] == 0.8
    for sex, name in enumerate(("F", "M", "unknown")):
        for column, cell in enumerate(described["by_predicted_age"][name].values()):
            assert cell == {
                "low_months": intervals.offsets[sex, column, 0],
                "high_months": intervals.offsets[sex, column, 1],
                "group": intervals.groups[sex][column],
                "n": intervals.counts[sex, column],
            }


def test_cross_validation_tells_the_coverage() -> None:
    held = cross_validated_coverage(*read_hands(1500), 0.9)
    assert held["n"] == 1500
    assert held["coverage"]["low"] < 0.9 < held["coverage"]["high"]
    assert 16 < held["width_months"] < 40
    for kind in ("by_true_age", "by_predicted_age"):
        assert sum(band["n"] for band in held[kind].values()) == 1500
    assert cross_validated_coverage(*read_hands(40), 0.95)["coverage"] is None


def test_the_graph_has_the_same_ends() -> None:
    intervals: Intervals = fit_intervals(*read_hands(2000))
    sex, predicted, _ = read_hands(300, seed=3)
    predicted = np.clip(predicted, 0, 240).astype(np.float32)
    offsets = intervals.offsets_of(sex, predicted)
    ends = tf.function(lambda months, offsets: tuple(interval(months, offsets)))
    low, high = ends(tf.constant(predicted), tf.constant(offsets, tf.float32))
    np.testing.assert_allclose(low, np.clip(predicted + offsets[:, 0], 0, 240), atol=1e-4)
    np.testing.assert_allclose(high, np.clip(predicted + offsets[:, 1], 0, 240), atol=1e-4)


def test_where_errors_lean_to_one_side_the_interval_does_too() -> None:
    """Mature hands are read too young: the interval reaches up, and misses either side alike."""
    random = np.random.default_rng(0)
    true = random.uniform(150, 228, 6000)
    predicted = np.minimum(true, 200 + (true - 200) * 0.2) + random.normal(0, 5, 6000)
    sex = np.arange(6000) % 2
    intervals = fit_intervals(sex, predicted, true)
    down, up = intervals.offsets[0, -1]
    assert up > 1.5 * -down
    symmetric = fit_intervals(sex, predicted, true, symmetric=True).offsets[0, -1]
    assert up - down < symmetric[1] - symmetric[0]
    is_old = np.asarray(band_of(predicted)) == len(AGE_BANDS) - 1
    low, high = (
        predicted[is_old] + intervals.offsets_of(sex, predicted)[is_old, n] for n in (0, 1)
    )
    for missed in (true[is_old] < low, true[is_old] > high):
        assert missed.mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("side", [-1, 1])
def test_where_errors_are_to_one_side_the_interval_is_one_sided(side: int) -> None:
    random = np.random.default_rng(0)
    sex, predicted = np.arange(8000) % 2, random.uniform(6, 220, 8000)
    true = predicted + side * random.normal(12, 5, 8000)
    intervals = fit_intervals(sex[:4000], predicted[:4000], true[:4000], 0.8)
    assert (intervals.offsets[..., 0 if side > 0 else 1] == 0).all()
    errors, offsets = (true - predicted)[4000:], intervals.offsets_of(sex, predicted)[4000:]
    missed = [(errors < offsets[:, 0]).mean(), (errors > offsets[:, 1]).mean()][::side]
    assert missed[0] < 0.02  # fewer than half of the rest
    assert missed[1] == pytest.approx(0.19, abs=0.03)  # the others
    held = intervals.holds(sex[4000:], np.clip(predicted[4000:], 0, 240), true[4000:])
    assert held[(true[4000:] > 0) & (true[4000:] < 240)].mean() == pytest.approx(0.8, abs=0.03)


def test_an_answer_is_in_its_own_interval() -> None:
    """Also where every error is to one side."""
    sex, predicted, _ = read_hands(400)
    intervals = fit_intervals(sex, predicted, predicted + 9)
    assert (intervals.offsets[..., 0] == 0).all()
    np.testing.assert_allclose(intervals.offsets[..., 1], 9)


def test_half_widths_that_a_graph_holds_are_read_as_offsets() -> None:
    read = offsets_of(np.array([[17.0, -1.0]], np.float32))
    np.testing.assert_array_equal(read, [[[-17, 17], [np.nan, np.nan]]])
    np.testing.assert_array_equal(offsets_of(read), read)
