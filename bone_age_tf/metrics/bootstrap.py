"""Confidence intervals over radiographs, by scipy: percentile bootstrap, and Wilson's for proportions.

Every metric is given as `{"value", "low", "high"}`: its value and the ends of its 95 % confidence interval, None
where there are too few radiographs, or all are 0, which tells nothing about others. The seed is fixed, so that the
same radiographs give the same interval.
"""

import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np

RESAMPLES = 2000
CONFIDENCE_LEVEL = 0.95
_AT_ONCE = 50
"""Resamples computed together: all of 12,611 radiographs at once take 400 MB."""
MIN_SAMPLE = 10
"""Smallest number of radiographs with a confidence interval."""
CONFIDENCE_INTERVAL = f"{CONFIDENCE_LEVEL:.0%} confidence interval, bootstrap with {RESAMPLES} resamples of radiographs"
"""What `low` and `high` are, in words, for results."""

Estimate = dict[str, float | None]
"""`value`, `low` and `high`."""
Metric = Callable[..., np.ndarray]
"""One or more arrays [..., n] over radiographs -> [...]; NaN where it is undefined."""


def estimates(
    metrics: Mapping[str, Metric],
    *samples: np.ndarray,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Each metric of the samples, [n] each, n at least 1, with its interval.

    Several samples are resampled together, as pairs. Resamples in which a metric is undefined are ignored.
    """

    def together(*resample: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.stack([metric(*resample) for metric in metrics.values()])

    values = together(*samples)
    resampled = np.full((len(metrics), 0), math.nan)
    if len(samples[0]) >= MIN_SAMPLE:
        resampled = _resampled(together, samples, seed)
    return {
        name: _estimate(value, of_metric)
        for name, value, of_metric in zip(metrics, values, resampled, strict=True)
    }


def mean(values: np.ndarray) -> Estimate:
    """Mean of numbers over radiographs, [n], n at least 1, with its interval."""
    return estimates({"mean": lambda resample: resample.mean(-1)}, values)["mean"]


def proportion(holds: np.ndarray) -> Estimate:
    """Share of True among radiographs, bool [n], n at least 1, with Wilson's interval (1927).

    Unlike a bootstrap, its interval has a width even where all of 20 are True.
    """
    if len(holds) < MIN_SAMPLE:
        return {"value": float(np.mean(holds)), "low": None, "high": None}
    from scipy import stats  # slow to import, and predictions need none of it

    test = stats.binomtest(int(np.sum(holds)), len(holds))
    ends = test.proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    return {"value": float(np.mean(holds)), "low": float(ends.low), "high": float(ends.high)}


def _resampled(metric: Metric, samples: tuple[np.ndarray, ...], seed: int) -> np.ndarray:
    """The metrics of each resample, [metrics, RESAMPLES]."""
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # about NaN: see _estimate
        result = stats.bootstrap(
            samples,
            metric,
            paired=len(samples) > 1,
            n_resamples=RESAMPLES,
            batch=_AT_ONCE,
            vectorized=True,
            confidence_level=CONFIDENCE_LEVEL,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    return result.bootstrap_distribution


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    """A metric with its percentile interval from its values in the resamples; NaN is ignored."""
    if not math.isfinite(value):
        return {"value": None, "low": None, "high": None}
    if not len(resampled):
        return {"value": float(value), "low": None, "high": None}
    tail = 100 * (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    if value == low == high == 0:
        return {"value": float(value), "low": None, "high": None}
    return {"value": float(value), "low": float(low), "high": float(high)}
