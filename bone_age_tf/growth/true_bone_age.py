"""The bone age that a reader would find, as a distribution that a prediction interval stands for.

A split normal distribution (Wallis 2014, two-piece): its mode is the estimate, below and above it has an SD of its own. The
interval holds its coverage and misses either side with half of the rest, as split-conformal intervals do. Where it
begins or ends at the estimate, the distribution lies on the other side only. Where it reaches as far down as up, this
is the normal distribution.
"""

import dataclasses
from statistics import NormalDist

from bone_age_tf.growth.inputs import MAX_BONE_AGE_MONTHS

SAME_MONTHS = 0.05
"""Offsets that differ by less are equal but for rounding."""
_HALVINGS = 60


@dataclasses.dataclass(frozen=True)
class Spread:
    """How a true bone age lies about its estimate."""

    below_months: float
    above_months: float
    """SDs of the two sides; both 0: no spread."""
    share_below: float = 0.5
    """Probability that it is below the estimate."""


def spread_of(
    bone_age_months: float, low_months: float, high_months: float, coverage: float
) -> Spread:
    """That of which `low_months` to `high_months` is the interval of this coverage, above 0 and below 1."""
    down, up = max(bone_age_months - low_months, 0.0), max(high_months - bone_age_months, 0.0)
    half = (high_months - low_months) / 2
    if low_months <= 0 or high_months >= MAX_BONE_AGE_MONTHS:  # clipped: the other side tells
        half = max(down, up)
        down = half if low_months <= 0 else down
        up = half if high_months >= MAX_BONE_AGE_MONTHS else up
    normal = half / NormalDist().inv_cdf((1 + coverage) / 2)
    if abs(down - up) < SAME_MONTHS:
        return Spread(normal, normal)
    if min(down, up) <= 0:
        one_sided = max(down, up) / NormalDist().inv_cdf((1 + coverage) / 2)
        return Spread(one_sided, one_sided, 1.0 if down > up else 0.0)
    return _split(down, up, (1 - coverage) / 2)


def probability_between(mean: float, spread: Spread, low: float, high: float) -> float:
    """Probability that a value about `mean` lies between two others; `spread` is above 0."""
    if high <= low:
        return 0.0
    return _below(high, mean, spread) - _below(low, mean, spread)


def _below(limit: float, mean: float, spread: Spread) -> float:
    """Probability of a value below the limit."""
    if limit <= mean:
        return 2 * spread.share_below * NormalDist(mean, spread.below_months).cdf(limit)
    return 1 - 2 * (1 - spread.share_below) * (1 - NormalDist(mean, spread.above_months).cdf(limit))


def _split(down: float, up: float, tail: float) -> Spread:
    """The split normal distribution with this probability below -`down` and above `up`; by bisection.

    The density is continuous: the SDs are to each other as the shares of the two sides.
    """
    low, high = tail, 1 - tail
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        is_low = _reach(share, tail) * up < _reach(1 - share, tail) * down
        low, high = (share, high) if is_low else (low, share)
    scale = (down + up) / (_reach(share, tail) + _reach(1 - share, tail))
    return Spread(scale * share, scale * (1 - share), share)


def _reach(share: float, tail: float) -> float:
    """How far a side with this share and SD reaches, until `tail` is beyond."""
    return share * NormalDist().inv_cdf(1 - tail / (2 * share))
