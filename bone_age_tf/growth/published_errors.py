"""The published error of the Bayley-Pinneau method itself: what is left when experts read the bone age.

Tables IV and V of the 1952 paper: SD of the errors in healthy children of another study (Berkeley Growth Study, about 20
girls and 20 boys at each age), not those the tables were made from. They are by age alone; none is published below 8 years,
nor for a column. The mean errors of the paper have no defined sign and are not used.
"""

import csv
import functools
from pathlib import Path

import numpy as np

from bone_age_tf.sex import Sex

TABLE = Path(__file__).parents[1] / "assets" / "bayley_pinneau_errors.csv"
CM_PER_INCH = 2.54
LATER_STUDIES = (
    "in children who are short, tall or ill, errors of 5 to 6 cm (1 SD) have been published"
)
"""To be said beside the SD, which is a floor."""


def method_sd_cm(chronological_age_months: float, sex: Sex) -> float | None:
    """SD of the method's error in centimetres, interpolated between the ages; None outside them."""
    if sex == Sex.UNKNOWN:
        return None
    ages, spreads = _columns(sex)
    if not ages[0] <= chronological_age_months <= ages[-1]:
        return None
    return float(np.interp(chronological_age_months, ages, spreads))


@functools.cache
def _columns(sex: Sex) -> tuple[np.ndarray, np.ndarray]:
    """Chronological ages in months and SDs in centimetres."""
    name = "female_sd_inches" if sex == Sex.F else "male_sd_inches"
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    ages = np.array([float(row["chronological_age_months"]) for row in rows])
    return ages, np.array([float(row[name]) * CM_PER_INCH for row in rows])
