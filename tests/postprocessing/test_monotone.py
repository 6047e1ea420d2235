import numpy as np
import pytest

from bone_age_tf.postprocessing.apply import GRID_MONTHS, band_of
from bone_age_tf.postprocessing.bias_correction import cross_validated, fit_lines, parts_of
from bone_age_tf.postprocessing.monotone import (
    COST_MONTHS,
    SLOPES,
    STRENGTHS,
    choose_strength,
    fit_curves,
    largest_end_bias,
)

Read = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_hands(count: int = 700, seed: int = 0) -> Read:
    """Sex, predicted and true months as networks give them: few at the ends, which are pulled inwards."""
    random = np.random.default_rng(seed)
    middle = random.normal(132, 40, 4 * count)
    true = middle[(middle > 8) & (middle < 228)][:count]
    noisy = true + random.normal(0, 9, count)
    pulled = np.interp(noisy, [0, 30, 60, 180, 210, 240], [14, 37, 61, 178, 204, 226])
    sex = np.arange(count) % 2
    return sex, pulled + np.where(sex == 0, 2, -3), true


def bias_of_ends(answers: np.ndarray, true: np.ndarray) -> list[float]:
    bands = np.asarray(band_of(true))
    return [float((answers - true)[bands == band].mean()) for band in (0, 4)]


@pytest.fixture(scope="module")
def hands() -> Read:
    return read_hands(seed=1)


def test_the_ends_lose_their_bias_at_little_cost(hands: Read) -> None:
    true = hands[2]
    parts = parts_of(len(true), 5)
    of_lines = cross_validated(fit_lines, parts, *hands)
    of_curves = cross_validated(fit_curves, parts, *hands)
    young, old = bias_of_ends(of_lines, true)
    assert young > 5
    assert old < -5
    assert np.abs(bias_of_ends(of_curves, true)).max() < 3
    cost = np.abs(of_curves - true).mean() - np.abs(of_lines - true).mean()
    assert cost < COST_MONTHS


def test_a_larger_strength_trades_one_bias_for_the_other(hands: Read) -> None:
    """By true age smaller, by predicted age larger."""
    sex, predicted, true = hands
    of_true, of_predicted = [], []
    for strength in (0.0, 1.0):
        answers = fit_curves(*hands, strength)(predicted, sex)
        of_true.append(bias_of_ends(answers, true)[1])
        is_old = np.asarray(band_of(answers)) == 4
        of_predicted.append((answers - true)[is_old].mean())
    assert of_true[0] < of_true[1] < 1
    assert of_predicted[1] > of_predicted[0] + 1


def test_the_strength_is_that_of_the_least_bias_among_the_cheap(hands: Read) -> None:
    sex, predicted, true = hands
    strength = choose_strength(*hands)
    assert strength in STRENGTHS[1:]
    answers = fit_curves(*hands, strength)(predicted, sex)
    assert largest_end_bias(answers, true) < largest_end_bias(
        fit_lines(*hands)(predicted, sex), true
    )


@pytest.mark.parametrize("count", [1, 2, 20, 300])
def test_a_curve_rises_however_few_there_are(count: int) -> None:
    sex, predicted, true = read_hands(count)
    for curve in fit_curves(sex, predicted, true[::-1]).maps:
        slopes = np.diff(curve(GRID_MONTHS))
        assert slopes.min() >= SLOPES[0] - 1e-9
        assert slopes.max() <= SLOPES[1] + 1e-9


def test_what_needs_no_bend_gets_a_line() -> None:
    predicted = np.linspace(15, 225, 200)
    sex = np.arange(200) % 2
    maps = fit_curves(sex, predicted, 7 + 0.95 * predicted)
    for curve in maps.maps:
        np.testing.assert_allclose(curve(predicted), 7 + 0.95 * predicted, atol=0.01)


MANY = np.linspace(30, 210, 40)


@pytest.mark.parametrize(
    ("predicted", "true"),
    [
        pytest.param(np.array([100.0]), np.array([112.0]), id="one radiograph"),
        pytest.param(np.array([20.0]), np.array([8.0]), id="one at an end"),
        pytest.param(np.full(40, 100.0), MANY, id="one prediction"),
        pytest.param(MANY, np.full(40, 100.0), id="one true age"),
        pytest.param(np.full(40, 110.0), np.full(40, 100.0), id="one of both"),
    ],
)
def test_where_nothing_tells_a_slope_the_curve_is_a_shift(
    predicted: np.ndarray, true: np.ndarray
) -> None:
    """As a line is."""
    shift = float((true - predicted).mean())
    sex = np.arange(len(true)) % 2
    for curve in fit_curves(sex, predicted, true).maps:
        slopes = np.diff(curve(GRID_MONTHS))
        np.testing.assert_allclose(slopes, 1, atol=1e-6)
    common = fit_curves(sex, predicted, true, 0.0).maps[2]
    np.testing.assert_allclose(common(GRID_MONTHS), GRID_MONTHS + shift, atol=1e-6)


def test_predictions_that_hardly_differ_tell_no_slope() -> None:
    """Their least squares would be steep or flat by chance."""
    random = np.random.default_rng(0)
    predicted, true = 100 + random.normal(0, 0.5, 20), 100 + random.normal(0, 20, 20)
    for curve in fit_curves(np.arange(20) % 2, predicted, true).maps:
        assert np.abs(np.diff(curve(GRID_MONTHS)) - 1).max() < 0.2


def test_a_sex_with_few_radiographs_gets_nearly_the_common_curve() -> None:
    sex, predicted, true = read_hands(400)
    few = np.flatnonzero((sex == 1) | (np.arange(400) < 4))
    girls, boys, common = fit_curves(sex[few], predicted[few], true[few], 0.5).maps
    away = [np.abs(each(GRID_MONTHS) - common(GRID_MONTHS)).mean() for each in (girls, boys)]
    assert away[0] < 1.5
    assert girls != common != boys


def test_too_few_at_the_ends_are_no_reason_for_a_choice() -> None:
    true = np.linspace(60, 180, 50)
    assert largest_end_bias(true + 9, true) == 0
