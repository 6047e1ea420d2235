"""Straight lines from predicted to true months: networks answer too near to the mean."""

import dataclasses

import numpy as np

from bone_age_tf.record import MAX_BONE_AGE_MONTHS

PARTS = 10
"""Parts of a cross-validation."""


@dataclasses.dataclass(frozen=True)
class Line:
    """months -> intercept + slope * months."""

    intercept_months: float = 0.0
    slope: float = 1.0

    def __call__(self, months: np.ndarray) -> np.ndarray:
        """Corrected months, of the same shape."""
        return self.intercept_months + self.slope * months

    def after(self, first: "Line") -> "Line":
        """The line that does `first`, then this one."""
        intercept = self.intercept_months + self.slope * first.intercept_months
        return Line(intercept, self.slope * first.slope)


IDENTITY = Line()


def in_range(months: np.ndarray) -> np.ndarray:
    """Bone ages that a straight line has left, moved back to 0 or 240 months."""
    return np.clip(months, 0.0, MAX_BONE_AGE_MONTHS)


def fit_line(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray | None = None) -> Line:
    """Least squares of true on predicted months, [n] each, n at least 1; `weights` 0 or more, [n].

    A shift alone where all predictions are the same.
    """
    weights = np.ones(len(predicted)) if weights is None else weights
    centre, target = (np.average(values, weights=weights) for values in (predicted, true))
    spread = float(np.sum(weights * (predicted - centre) ** 2))
    together = float(np.sum(weights * (predicted - centre) * (true - target)))
    slope = together / spread if spread > 1e-6 else 1.0
    return Line(float(target - slope * centre), slope)


def parts_of(count: int, parts: int = PARTS) -> np.ndarray:
    """The part, int [count], of each of `count` radiographs; always the same, of equal sizes."""
    parts = min(parts, count)
    return np.random.default_rng(0).permutation(count) % parts
