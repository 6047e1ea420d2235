"""Recalibration of predicted months by sex: lines here, monotone curves in `monotone.py`.

Predictions of the networks are biased towards the mean, too old for girls and too young for boys: the
networks underuse the sex. So each sex has its own line, fitted by least squares of true on predicted months
over its radiographs and a prior: all radiographs on the line fitted to both sexes, with the total weight of
`PRIOR_RADIOGRAPHS` radiographs. A sex with few radiographs gets nearly the common line, one with many its
own. Unknown sex gets the common line.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bone_age_tf.postprocessing import apply
from bone_age_tf.record import MAX_BONE_AGE_MONTHS
from bone_age_tf.sex import SEX_NAMES, Sex

PARTS = 10
"""Parts of a cross-validation."""
PRIOR_RADIOGRAPHS = 20
"""Weight of the common line in the line of each sex, in radiographs."""


@dataclasses.dataclass(frozen=True)
class Line:
    """months -> intercept + slope * months."""

    intercept_months: float = 0.0
    slope: float = 1.0

    def __call__(self, months: np.ndarray) -> np.ndarray:
        """Corrected months, of the same shape."""
        return self.intercept_months + self.slope * months

    def after(self, first: "Line") -> "Line":
        """The composition: `first`, then this line."""
        intercept = self.intercept_months + self.slope * first.intercept_months
        return Line(intercept, self.slope * first.slope)


@dataclasses.dataclass(frozen=True)
class Curve:
    """Increasing and piecewise linear, through points from 0 to 240 predicted months."""

    predicted_months: tuple[float, ...]
    months: tuple[float, ...]
    """The answer at each."""

    def __call__(self, months: np.ndarray) -> np.ndarray:
        """Corrected months, of the same shape."""
        return np.interp(months, self.predicted_months, self.months)


IDENTITY = Line()


@dataclasses.dataclass(frozen=True)
class SexSpecificRecalibration:
    """A line or a curve for F, M and unknown, in the order of `sex.Sex`."""

    maps: tuple[Line | Curve, ...] = (IDENTITY,) * len(SEX_NAMES)

    def __call__(self, months: np.ndarray, sex: np.ndarray) -> np.ndarray:
        """Months [n] of radiographs of the sexes [n], codes of `sex.Sex` -> corrected, within 0 and 240.

        As `apply.corrected` does it by the table, without TensorFlow.
        """
        inside = np.clip(months, 0.0, MAX_BONE_AGE_MONTHS)
        answers = np.stack([each(inside) for each in self.maps])
        return np.clip(answers[sex, np.arange(len(sex))], 0.0, MAX_BONE_AGE_MONTHS)

    @property
    def table(self) -> np.ndarray:
        """The answers at `apply.GRID_MONTHS`, float [3, 241], not yet within 0 and 240."""
        return np.stack([each(apply.GRID_MONTHS) for each in self.maps])

    def describe(self) -> dict[str, Any]:
        """By the name of the sex, as plain JSON types."""
        named = zip(SEX_NAMES, self.maps, strict=True)
        return {name: json.loads(json.dumps(dataclasses.asdict(each))) for name, each in named}

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> "SexSpecificRecalibration":
        """The inverse of `describe`. Raises `KeyError` or `TypeError` for other content."""
        return cls(tuple(_map_of(description[name]) for name in SEX_NAMES))


def _map_of(values: Mapping[str, Any]) -> Line | Curve:
    if "slope" in values:
        return Line(**values)
    return Curve(**{name: tuple(points) for name, points in values.items()})


def composed(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The table [3, 241] of two recalibrations one after the other."""
    pairs = zip(second, first, strict=True)
    return np.stack([np.interp(months, apply.GRID_MONTHS, table) for table, months in pairs])


def tables_of(stored: np.ndarray) -> np.ndarray:
    """The tables [3, 241] of a SavedModel's variable; that of the shipped model holds intercepts and slopes, [3, 2]."""
    if stored.shape[1] > 2:
        return stored
    lines = SexSpecificRecalibration(tuple(Line(*row) for row in stored.tolist()))
    return lines.table.astype(stored.dtype)


NO_CORRECTION = SexSpecificRecalibration()
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], SexSpecificRecalibration]
"""From sexes (codes), predicted and true months, [n] each."""


def fit_line(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray | None = None) -> Line:
    """Least squares of true on predicted months, [n] each, n at least 1; `weights` 0 or more, [n].

    Only a shift where all predictions are the same.
    """
    weights = np.ones(len(predicted)) if weights is None else weights
    centre, target = (np.average(values, weights=weights) for values in (predicted, true))
    spread = float(np.sum(weights * (predicted - centre) ** 2))
    together = float(np.sum(weights * (predicted - centre) * (true - target)))
    slope = together / spread if spread > 1e-6 else 1.0
    return Line(float(target - slope * centre), slope)


def fit_lines(sex: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> SexSpecificRecalibration:
    """The lines of radiographs [n], at least one, as described in the module's docstring."""
    return fit_by_sex(fit_line, sex, predicted, true, np.ones(len(sex)))


def fit_by_sex(
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray], Line | Curve],
    sex: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray,
    weights: np.ndarray,
) -> SexSpecificRecalibration:
    """A fit of true on predicted months with weights, [n] each, for each sex, shrunk to that for both sexes."""
    common = fit(predicted, true, weights)
    months = np.concatenate([predicted, predicted])
    targets = np.concatenate([true, common(predicted)])
    prior = weights * PRIOR_RADIOGRAPHS / len(sex)
    own = [
        fit(months, targets, np.concatenate([weights * (sex == code), prior]))
        for code in (Sex.F, Sex.M)
    ]
    return SexSpecificRecalibration((*own, common))


def cross_validated(
    fit: Fit, parts: np.ndarray, sex: np.ndarray, predicted: np.ndarray, true: np.ndarray
) -> np.ndarray:
    """Recalibrated months [n], each part, int [n], from a fit on all others."""
    months = np.empty(len(sex))
    for part in np.unique(parts):
        out, rest = parts == part, parts != part
        months[out] = fit(sex[rest], predicted[rest], true[rest])(predicted[out], sex[out])
    return months


def parts_of(count: int, parts: int = PARTS) -> np.ndarray:
    """The part, int [count], of each of `count` radiographs; always the same, of equal sizes."""
    parts = min(parts, count)
    return np.random.default_rng(0).permutation(count) % parts
