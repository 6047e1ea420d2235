"""Prediction intervals of stated coverage around a bone age: split-conformal, by sex and age band.

The half-width for a group is the k-th smallest absolute error of the n radiographs of that group on
which the intervals are fitted, with k = ceil((n + 1) * coverage): the interval of a new radiograph of
the same kind holds its label with at least that probability, whatever the errors look like (Vovk et
al. 2005, Mondrian; Lei et al. 2018). With predictions from leave-one-out or cross-validation, this is an
approximation, close in practice. The group is that of the sex and of the band of the *predicted*
bone age, since the true one is not known. A group with fewer than `MIN_IN_GROUP` radiographs takes
the half-width of the band for both sexes, then that of all radiographs. Unknown sex takes the band's.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from bone_age_tf.config import CalibrationConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.metrics import bootstrap
from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.postprocessing.apply import band_of
from bone_age_tf.postprocessing.bias_correction import parts_of
from bone_age_tf.sex import SEX_NAMES, Sex

MIN_IN_GROUP = 30
"""Smallest number of radiographs for which a group has its own half-width."""
DEFAULT_COVERAGE = CalibrationConfig.coverage


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Half-widths of the intervals, in months."""

    coverage: float
    half_widths: np.ndarray
    """float [3, bands]: by the codes of `sex.Sex` and the bands of `AGE_BANDS`."""
    groups: tuple[tuple[str, ...], ...]
    """The group of errors that each was taken from: `sex and band`, `band` or `all`; [3][bands]."""
    counts: np.ndarray
    """int [3, bands]: number of radiographs in that group."""

    def half_width(self, sex: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Months, [n], for sexes (codes) and predicted months [n]."""
        return self.half_widths[sex, np.asarray(band_of(predicted))]

    def describe(self) -> dict[str, Any]:
        """As plain JSON types."""
        table = {
            name: {
                band: {
                    "half_width_months": float(self.half_widths[sex, column]),
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
    return math.ceil(round(coverage / (1 - coverage), 9))


def fit_intervals(
    sex: np.ndarray, predicted: np.ndarray, true: np.ndarray, coverage: float = DEFAULT_COVERAGE
) -> Intervals:
    """From radiographs [n] that the model was not trained on: sex codes, predicted and true months.

    Raises `InputDataError` where they are too few for the coverage.
    """
    if len(true) < min_radiographs_for(coverage):
        raise InputDataError(
            f"An interval of {coverage:.0%} coverage needs at least {min_radiographs_for(coverage)} radiographs. Received "
            f"{len(true)}."
        )
    errors, bands = np.abs(predicted - true), np.asarray(band_of(predicted))
    minimum = max(MIN_IN_GROUP, min_radiographs_for(coverage))
    widths, counts = np.zeros((2, 3, len(AGE_BANDS)))
    groups = []
    for code in Sex:
        names = []
        for band in range(len(AGE_BANDS)):
            of_band = bands == band
            choices = [("band", of_band), ("all", np.full(len(true), True))]
            if code != Sex.UNKNOWN:
                choices.insert(0, ("sex and band", of_band & (sex == code)))
            name, rows = next(c for c in choices if c[0] == "all" or c[1].sum() >= minimum)
            widths[code, band], counts[code, band] = quantile(errors[rows], coverage), rows.sum()
            names.append(name)
        groups.append(tuple(names))
    return Intervals(coverage, widths, tuple(groups), counts.astype(int))


def cross_validated_coverage(
    sex: np.ndarray, predicted: np.ndarray, true: np.ndarray, coverage: float
) -> dict[str, Any]:
    """How often prediction intervals cover the labels of radiographs [n] that they were not fitted on.

    In ten parts; `n`, the share covered with its confidence interval, and the mean half-width in months.
    None where nine tenths of the radiographs are too few for the coverage.
    """
    parts = parts_of(len(true))
    widths = np.full(len(true), np.nan)
    for part in range(parts.max() + 1):
        out, rest = parts == part, parts != part
        if rest.sum() < min_radiographs_for(coverage):
            return {"n": len(true), "coverage": None, "half_width_months": None}
        fitted = fit_intervals(sex[rest], predicted[rest], true[rest], coverage)
        widths[out] = fitted.half_width(sex[out], predicted[out])
    return {
        "n": len(true),
        "coverage": bootstrap.proportion(np.abs(predicted - true) <= widths),
        "half_width_months": float(widths.mean()),
    }


def quantile(errors: np.ndarray, coverage: float) -> float:
    """The k-th smallest of n errors, k = ceil((n + 1) * coverage), at most n."""
    rank = math.ceil(round((len(errors) + 1) * coverage, 9))
    return float(np.sort(errors)[min(rank, len(errors)) - 1])
