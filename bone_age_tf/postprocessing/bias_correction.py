"""Sex-specific linear recalibration of predicted months.

Predictions of the networks are biased towards the mean, too old for girls and too young for boys: the
networks underuse the sex. So each sex has its own line, fitted by least squares of true on predicted months
over its radiographs and a prior: all radiographs on the line fitted to both sexes, with the total weight of
`PRIOR_RADIOGRAPHS` radiographs. A sex with few radiographs gets nearly the common line, one with many its
own. Unknown sex gets the common line.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from bone_age_tf.postprocessing import apply
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


IDENTITY = Line()


@dataclasses.dataclass(frozen=True)
class SexSpecificRecalibration:
    """Sex-specific linear recalibration: a line for F, M and unknown, in the order of `sex.Sex`."""

    lines: tuple[Line, ...] = (IDENTITY,) * len(SEX_NAMES)

    def __call__(self, months: np.ndarray, sex: np.ndarray) -> np.ndarray:
        """Months [n] of radiographs of the sexes [n], codes of `sex.Sex` -> corrected, within 0 and 240."""
        return np.asarray(apply.corrected(months, self.table[sex]))

    @property
    def table(self) -> np.ndarray:
        """Intercept in months and slope of each, float [3, 2]."""
        return np.array([dataclasses.astuple(line) for line in self.lines])

    def after(self, first: "SexSpecificRecalibration") -> "SexSpecificRecalibration":
        """The composition: `first`, then these lines."""
        pairs = zip(self.lines, first.lines, strict=True)
        return SexSpecificRecalibration(tuple(line.after(earlier) for line, earlier in pairs))

    def describe(self) -> dict[str, Any]:
        """By the name of the sex."""
        lines = zip(SEX_NAMES, self.lines, strict=True)
        return {name: dataclasses.asdict(line) for name, line in lines}

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> "SexSpecificRecalibration":
        """The inverse of `describe`. Raises `KeyError` or `TypeError` for other content."""
        return cls(tuple(Line(**description[name]) for name in SEX_NAMES))


NO_CORRECTION = SexSpecificRecalibration()


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
    common = fit_line(predicted, true)
    months = np.concatenate([predicted, predicted])
    targets = np.concatenate([true, common(predicted)])
    prior = np.full(len(sex), PRIOR_RADIOGRAPHS / len(sex))
    own = [
        fit_line(months, targets, np.concatenate([(sex == code).astype(float), prior]))
        for code in (Sex.F, Sex.M)
    ]
    return SexSpecificRecalibration((*own, common))


def parts_of(count: int, parts: int = PARTS) -> np.ndarray:
    """The part, int [count], of each of `count` radiographs; always the same, of equal sizes."""
    parts = min(parts, count)
    return np.random.default_rng(0).permutation(count) % parts
