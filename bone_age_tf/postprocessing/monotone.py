"""Recalibration by a monotone curve for each sex: as linear recalibration, with bends for the ends of the scale.

The curve is piecewise linear, with a bend at each limit of the age bands, rising by `SLOPES`. It is fitted by
least squares of true on predicted months, with a penalty on bends, and shrunk to the curve of both sexes as lines are.
A weak penalty on slopes other than 1 decides where the predictions tell none, as those of one radiograph; radiographs of
one true age tell none either. There the curve is a shift.

Least squares alone leave the ends as they are: few radiographs lie there, so the mean true age of a
predicted one is pulled towards the many in the middle. A radiograph of a rare age is therefore weighted by the number of
those of a similar true age, to the power -`strength`; with strength 1, rare ages count the same. That makes the bias
by band of the *true* age smaller (what a child of that age gets), and that by band of the *predicted* age (what
an answer of that age is worth) larger. The strength is that with the smallest largest bias of both kinds
in both end bands, in a cross-validation, among those that cost at most `COST_MONTHS` of MAE.
"""

import functools
import itertools
from collections.abc import Iterator

import numpy as np
from scipy.optimize import lsq_linear

from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.postprocessing import apply
from bone_age_tf.postprocessing.bias_correction import (
    Curve,
    SexSpecificRecalibration,
    cross_validated,
    fit_by_sex,
    fit_lines,
    parts_of,
)
from bone_age_tf.record import MAX_BONE_AGE_MONTHS

STRENGTHS = (0.0, 0.5, 1.0, 1.5)
COST_MONTHS = 0.1
"""What the ends may cost overall, in MAE."""
SLOPES = (0.3, 3.0)
"""Least and largest slope of a curve."""
WINDOW_MONTHS = 12.0
"""Two true ages this close are similar."""
RARE_SHARE = 0.25
"""The ages of this share of the radiographs, those with the fewest similar ones, are rare; all others weigh the same."""
LARGEST_WEIGHT = 10.0
"""Of a radiograph, where the mean is about 1: no single one decides."""
BEND_RADIOGRAPHS = 20.0
"""Weight of the penalty on a change of slope by 1, in radiographs with an error of `ERROR_MONTHS`."""
ERROR_MONTHS = 15.0
SLOPE_RADIOGRAPHS = 0.25
"""Weight of the penalty on a slope of 0 or 2 in place of 1 in one segment, in the same radiographs."""
ONE_AGE_MONTHS = 1.0
"""True ages within less than this are one age."""
PARTS = 5
"""Of the cross-validation that the strength is chosen in."""
MIN_IN_BAND = 5
"""Fewer radiographs have no bias worth a choice."""
_POINTS = np.array([0.0, *apply.LIMITS_MONTHS, MAX_BONE_AGE_MONTHS])
_CENTRE = 120.0


def fit_curves(
    sex: np.ndarray, predicted: np.ndarray, true: np.ndarray, strength: float | None = None
) -> SexSpecificRecalibration:
    """The curves of radiographs [n], at least one; `strength` None: chosen as described above."""
    if strength is None:
        strength = choose_strength(sex, predicted, true) if len(true) > 1 else STRENGTHS[0]
    fit = _fit_shift if np.ptp(true) < ONE_AGE_MONTHS else _fit_curve
    return fit_by_sex(fit, sex, predicted, true, _weights(true, strength))


def choose_strength(sex: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> float:
    """One of `STRENGTHS`, by a cross-validation within these radiographs [n], at least two."""
    parts = parts_of(len(true), PARTS)
    months = {
        strength: cross_validated(
            functools.partial(fit_curves, strength=strength), parts, sex, predicted, true
        )
        for strength in STRENGTHS
    }
    linear = cross_validated(fit_lines, parts, sex, predicted, true)
    maes = {strength: np.abs(answers - true).mean() for strength, answers in months.items()}
    limit = max(float(np.abs(linear - true).mean()), min(maes.values())) + COST_MONTHS
    cheap = [strength for strength in STRENGTHS if maes[strength] <= limit]
    return min(cheap, key=lambda strength: largest_end_bias(months[strength], true))


def largest_end_bias(answers: np.ndarray, true: np.ndarray) -> float:
    """The largest absolute bias in months, in the lowest and the highest band of true and of predicted age; 0: there are too few."""
    return max(map(abs, _end_biases(answers, true)), default=0.0)


def _end_biases(answers: np.ndarray, true: np.ndarray) -> Iterator[float]:
    for ages in (answers, true):
        bands = np.asarray(apply.band_of(ages))
        for band in (0, len(AGE_BANDS) - 1):
            rows = bands == band
            if rows.sum() >= MIN_IN_BAND:
                yield float((answers - true)[rows].mean())


def _weights(true: np.ndarray, strength: float) -> np.ndarray:
    """Of radiographs with these true ages, [n], with a mean of about 1."""
    ages = np.sort(true)
    similar = np.searchsorted(ages, true + WINDOW_MONTHS, "right") - np.searchsorted(
        ages, true - WINDOW_MONTHS, "left"
    )
    weights = 1.0 / np.minimum(similar, np.quantile(similar, RARE_SHARE)) ** strength
    return np.minimum(weights / weights.mean(), LARGEST_WEIGHT)


def _fit_curve(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray) -> Curve:
    """Weighted least squares, [n] each: the value at `_CENTRE`, and the slope between each two points."""
    roots = np.sqrt(weights)[:, None]
    each = np.eye(len(_POINTS) - 1)
    bends = np.diff(each, axis=0) * np.sqrt(BEND_RADIOGRAPHS) * ERROR_MONTHS
    slopes = each * np.sqrt(SLOPE_RADIOGRAPHS) * ERROR_MONTHS
    rows = np.vstack(
        [_ramps(predicted) * roots, np.pad(np.vstack([bends, slopes]), ((0, 0), (1, 0)))]
    )
    targets = np.concatenate([true * roots[:, 0], np.zeros(len(bends)), slopes.sum(axis=1)])
    orthogonal, triangle = np.linalg.qr(rows)  # as small a problem as there are unknowns
    least, largest = SLOPES
    bounds = ([-np.inf, *[least] * len(each)], [np.inf, *[largest] * len(each)])
    found = lsq_linear(triangle, orthogonal.T @ targets, bounds=bounds, method="bvls").x
    return Curve(tuple(_POINTS.tolist()), tuple((_ramps(_POINTS) @ found).tolist()))


def _fit_shift(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray) -> Curve:
    """The mean difference, of [n] each."""
    shift = np.average(true - predicted, weights=weights)
    return Curve(tuple(_POINTS.tolist()), tuple((_POINTS + shift).tolist()))


def _ramps(months: np.ndarray) -> np.ndarray:
    """A column of ones, then for each segment how far months [n] lie in it, counted from `_CENTRE`."""
    segments = [
        np.clip(months, low, high) - np.clip(_CENTRE, low, high)
        for low, high in itertools.pairwise(_POINTS)
    ]
    return np.stack([np.ones(len(months)), *segments], axis=1)
