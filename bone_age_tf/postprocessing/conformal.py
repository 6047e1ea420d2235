"""Prediction intervals of stated coverage around a bone age: split-conformal, by sex and age band.

The interval reaches from an answer down and up by an offset each: the k-th smallest and the k-th largest of the n
errors (true - predicted) of the radiographs of a group on which the intervals are fitted, with
k = floor((n + 1) * (1 - coverage) / 2). The interval of a new radiograph of the same kind holds its label with at least
the coverage, whatever the errors look like, and where it is two-sided, misses it on either side with at most half of
the rest (Vovk et al. 2005, Mondrian; Romano et al. 2019, asymmetric). So at the ends of the scale, where errors lean to
one side, it reaches further to that side.

An answer is always in its own interval. Where fewer than k errors are to one side, both offsets would be to the other;
the interval is then one-sided, from the answer to the offset that gives the coverage. It holds the label as often, but
most of its misses, up to all of the rest, are beyond its far end.

With predictions from leave-one-out or cross-validation, the coverage is an approximation, close in practice. The
group is that of the sex and of the band of the *predicted* bone age, since the true one is not known. A group with fewer than `MIN_IN_GROUP` radiographs takes
the offsets of the band for both sexes, then those of all radiographs. Unknown sex takes the band's.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from bone_age_tf.config import CalibrationConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.metrics import bootstrap
from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.postprocessing.apply import band_of, interval
from bone_age_tf.postprocessing.bias_correction import parts_of
from bone_age_tf.sex import SEX_NAMES, Sex

MIN_IN_GROUP = 30
"""Smallest number of radiographs for which a group has its own interval."""
DEFAULT_COVERAGE = CalibrationConfig.coverage


@dataclasses.dataclass(frozen=True)
class Intervals:
    """How far the intervals reach from an answer, in months."""

    coverage: float
    offsets: np.ndarray
    """float [3, bands, 2]: by the codes of `sex.Sex` and the bands of `AGE_BANDS`; at most 0, at least 0."""
    groups: tuple[tuple[str, ...], ...]
    """The group of errors that each was taken from: `sex and band`, `band` or `all`; [3][bands]."""
    counts: np.ndarray
    """int [3, bands]: number of radiographs in that group."""

    def offsets_of(self, sex: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Months, [n, 2], for sexes (codes) and predicted months [n]."""
        return self.offsets[sex, np.asarray(band_of(predicted))]

    def holds(self, sex: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Whether the true months are in the interval, bool [n]."""
        low, high = (
            np.asarray(end) for end in interval(predicted, self.offsets_of(sex, predicted))
        )
        return (low <= true) & (true <= high)

    def describe(self) -> dict[str, Any]:
        """As plain JSON types."""
        table = {
            name: {
                band: {
                    "low_months": float(self.offsets[sex, column, 0]),
                    "high_months": float(self.offsets[sex, column, 1]),
                    "group": self.groups[sex][column],
                    "n": int(self.counts[sex, column]),
                }
                for column, band in enumerate(AGE_BANDS)
            }
            for sex, name in enumerate(SEX_NAMES)
        }
        return {"method": "split conformal", "coverage": self.coverage, "by_predicted_age": table}


def min_radiographs_for(coverage: float) -> int:
    """Smallest number of radiographs for an interval of this coverage."""
    return math.ceil(round((1 + coverage) / (1 - coverage), 9))


def fit_intervals(
    sex: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray,
    coverage: float = DEFAULT_COVERAGE,
    *,
    symmetric: bool = False,
) -> Intervals:
    """From radiographs [n] that the model was not trained on: sex codes, predicted and true months.

    `symmetric`: as far down as up, for the shipped model, whose graph knows no other intervals.

    Raises `InputDataError` where they are too few for the coverage.
    """
    if len(true) < min_radiographs_for(coverage):
        raise InputDataError(
            f"An interval of {coverage:.0%} coverage needs at least {min_radiographs_for(coverage)} radiographs. Received "
            f"{len(true)}."
        )
    errors, bands = true - predicted, np.asarray(band_of(predicted))
    minimum = max(MIN_IN_GROUP, min_radiographs_for(coverage))
    offsets, counts = np.zeros((3, len(AGE_BANDS), 2)), np.zeros((3, len(AGE_BANDS)), int)
    groups = []
    for code in Sex:
        names = []
        for band in range(len(AGE_BANDS)):
            of_band = bands == band
            choices = [("band", of_band), ("all", np.full(len(true), True))]
            if code != Sex.UNKNOWN:
                choices.insert(0, ("sex and band", of_band & (sex == code)))
            name, rows = next(c for c in choices if c[0] == "all" or c[1].sum() >= minimum)
            offsets[code, band] = _offsets(errors[rows], coverage, symmetric)
            counts[code, band] = rows.sum()
            names.append(name)
        groups.append(tuple(names))
    return Intervals(coverage, offsets, tuple(groups), counts)


def cross_validated_coverage(
    sex: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray,
    coverage: float,
    *,
    symmetric: bool = False,
) -> dict[str, Any]:
    """How often prediction intervals cover the labels of radiographs [n] that they were not fitted on.

    In ten parts; `n`, the share covered with its confidence interval, the mean width in months, and the first two by
    band of the true and of the predicted age. None where nine tenths of the radiographs are too few for the coverage.
    """
    parts = parts_of(len(true))
    held, widths = np.full(len(true), False), np.full(len(true), np.nan)
    for part in range(parts.max() + 1):
        out, rest = parts == part, parts != part
        if rest.sum() < min_radiographs_for(coverage):
            return {"n": len(true), "coverage": None, "width_months": None}
        fitted = fit_intervals(
            sex[rest], predicted[rest], true[rest], coverage, symmetric=symmetric
        )
        held[out] = fitted.holds(sex[out], predicted[out], true[out])
        widths[out] = np.diff(fitted.offsets_of(sex[out], predicted[out]), axis=1)[:, 0]
    return {
        "n": len(true),
        "coverage": bootstrap.proportion(held),
        "width_months": float(widths.mean()),
        "by_true_age": _by_band(held, true),
        "by_predicted_age": _by_band(held, predicted),
    }


def _by_band(held: np.ndarray, ages: np.ndarray) -> dict[str, Any]:
    bands = np.asarray(band_of(ages))
    rows = {name: bands == number for number, name in enumerate(AGE_BANDS)}
    return {
        name: {"n": int(of.sum()), "coverage": bootstrap.proportion(held[of])}
        for name, of in rows.items()
        if of.any()
    }


def offsets_of(stored: np.ndarray) -> np.ndarray:
    """The offsets [3, bands, 2] of a SavedModel's variable, NaN where there are none.

    That of the shipped model holds half-widths, [3, bands], below 0 where there are none.
    """
    if stored.ndim > 2:
        return stored
    widths = np.where(stored < 0, np.nan, stored)
    return np.stack([-widths, widths], axis=-1)


def _offsets(errors: np.ndarray, coverage: float, symmetric: bool) -> tuple[float, float]:
    """Down and up, of errors (true - predicted) [n]. An answer is always in its own interval."""
    if symmetric:
        width = quantile(np.abs(errors), coverage)
        return -width, width
    upper = (1 + coverage) / 2
    down, up = -quantile(-errors, upper), quantile(errors, upper)
    if down > 0:  # nearly all errors are to one side, so the interval is, too
        return 0.0, quantile(np.where(errors < 0, np.inf, errors), coverage)
    if up < 0:
        return -quantile(np.where(errors > 0, np.inf, -errors), coverage), 0.0
    return down, up


def quantile(errors: np.ndarray, level: float) -> float:
    """The k-th smallest of n errors, k = ceil((n + 1) * level), at most n."""
    rank = math.ceil(round((len(errors) + 1) * level, 9))
    return float(np.sort(errors)[min(rank, len(errors)) - 1])
