"""The bone age that a reader would find, as a distribution that a prediction interval stands for."""

from statistics import NormalDist

from bone_age_tf.record import MAX_BONE_AGE_MONTHS


def spread_of(
    bone_age_months: float, low_months: float, high_months: float, coverage: float
) -> float:
    """SD in months of the normal distribution whose interval of that coverage is as wide as this one."""
    half = (high_months - low_months) / 2
    if low_months <= 0 or high_months >= MAX_BONE_AGE_MONTHS:  # clipped: the other side tells
        half = max(high_months - bone_age_months, bone_age_months - low_months)
    return half / NormalDist().inv_cdf((1 + coverage) / 2)


def probability_between(mean: float, spread: float, low: float, high: float) -> float:
    """Probability that a normally distributed value lies between two others; `spread` is above 0."""
    if high <= low:
        return 0.0
    true = NormalDist(mean, spread)
    return true.cdf(high) - true.cdf(low)
