"""Bone age against chronological age: standard deviation score and verdict.

The standard is the Brush Foundation's table as printed in W. W. Greulich and S. I. Pyle,
Radiographic Atlas of Skeletal Development of the Hand and Wrist, 2nd edition 1959: mean and standard
deviation of the bone age at each chronological age, for girls and boys in Ohio, born from 1917 on.
The convention here is z = (bone age - chronological age) / SD, with the SD interpolated linearly
between the rows of the table. There is no score outside the table and none for unknown sex.
"""

import csv
import dataclasses
import functools
import math
from pathlib import Path

import numpy as np

from bone_age_tf.growth.true_bone_age import Spread, probability_between, spread_of
from bone_age_tf.sex import Sex

TABLE = Path(__file__).parents[1] / "assets" / "brush_foundation.csv"
LIMIT_SD = 2.0
"""A bone age is delayed or advanced where it is further than this from the chronological age."""
INFANT_MONTHS = 24.0
"""Below this chronological age, 2 SD are less than about 9 months: hardly more than the error of a reading."""

MATURE_MONTHS = {Sex.F: 204.0, Sex.M: 216.0, Sex.UNKNOWN: 204.0}
"""Bone age from which the hand is taken as mature: the growth plate of the distal radius, the last to close, does so
at 16 to 17 years in girls and 17.5 to 19 in boys (Gilsanz and Ratib, Hand Bone Age, 2005). Unknown sex: the earlier."""

DELAYED, AVERAGE, ADVANCED = "delayed", "average", "advanced"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A bone age compared with a chronological age, both in months."""

    chronological_age_months: float
    difference_months: float
    """Bone age minus chronological age."""
    sd_months: float | None
    """Of the bone age of healthy children of this age and sex; None: outside the table, sex unknown."""
    sd_score: float | None
    """Difference / SD."""
    verdict: str | None
    """`delayed`, `average` or `advanced`."""
    verdict_probability: float | None
    """Probability of that verdict for the true bone age, given the interval; None without one."""
    is_infant: bool
    """Too young for a meaningful verdict."""


def compare_with_age(
    bone_age_months: float,
    chronological_age_months: float,
    sex: Sex,
    *,
    low_months: float | None = None,
    high_months: float | None = None,
    coverage: float = 0.9,
) -> Comparison:
    """Compare a bone age with a chronological age; `low` to `high` is its prediction interval of that coverage.

    The probability takes the true bone age as distributed about the estimate as the interval says (`true_bone_age`).
    """
    difference = bone_age_months - chronological_age_months
    sd = sd_at(chronological_age_months, sex)
    score = verdict = probability = None
    if sd is not None:
        score = difference / sd
        verdict = _verdict(score)
        if low_months is not None and high_months is not None:
            spread = spread_of(bone_age_months, low_months, high_months, coverage)
            probability = _probability(verdict, difference, sd, spread)
    return Comparison(
        chronological_age_months,
        difference,
        sd,
        score,
        verdict,
        probability,
        chronological_age_months < INFANT_MONTHS,
    )


def sd_at(chronological_age_months: float, sex: Sex) -> float | None:
    """SD of the bone age in months, interpolated; None outside the table or for unknown sex."""
    if sex == Sex.UNKNOWN or not math.isfinite(chronological_age_months):
        return None
    ages, spreads = _columns(Sex(sex))
    if not ages[0] <= chronological_age_months <= ages[-1]:
        return None
    return float(np.interp(chronological_age_months, ages, spreads))


@functools.cache
def _columns(sex: Sex) -> tuple[np.ndarray, np.ndarray]:
    """Chronological ages and SDs of one sex."""
    name = "female_sd_months" if sex == Sex.F else "male_sd_months"
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row[name]]
    ages = np.array([float(row["chronological_age_months"]) for row in rows])
    return ages, np.array([float(row[name]) for row in rows])


def _verdict(score: float) -> str:
    if score < -LIMIT_SD:
        return DELAYED
    return ADVANCED if score > LIMIT_SD else AVERAGE


def _probability(verdict: str, difference: float, sd: float, spread: Spread) -> float:
    """Probability that the true difference has that verdict."""
    if spread.above_months <= 0:
        return 1.0
    limits = (-math.inf, -LIMIT_SD * sd, LIMIT_SD * sd, math.inf)
    first = (DELAYED, AVERAGE, ADVANCED).index(verdict)
    return probability_between(difference, spread, limits[first], limits[first + 1])
