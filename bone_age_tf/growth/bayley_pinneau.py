"""The Bayley-Pinneau table: percentage of the adult height that is reached at a bone age.

N. Bayley and S. R. Pinneau, Tables for predicting adult height from skeletal age: revised for use with
the Greulich-Pyle hand standards, J Pediatr 1952;40(4):423-441; tables II and III. There are three
columns for each sex, by bone age minus chronological age. All rows are as printed: girls' bone ages of
6-10, 7-10 and 8-10 are no errors, and the column of delayed boys ends at 13-0.
"""

import csv
import dataclasses
import functools
from pathlib import Path

import numpy as np

from bone_age_tf.sex import Sex, sex_from_label

TABLE = Path(__file__).parents[1] / "assets" / "bayley_pinneau.csv"
DELAYED, AVERAGE, ACCELERATED = "delayed", "average", "accelerated"
COLUMNS = (DELAYED, AVERAGE, ACCELERATED)
"""In the order of bone age minus chronological age. The paper says retarded for delayed."""
YEAR_MONTHS = 12.0
"""From this difference on, exactly one year included, the outer columns apply."""
ROUNDING_MONTHS = 1e-6
"""128.2 - 116.2 is one year, although not quite so in floating-point numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """Percentages of one column of one sex, at bone ages in months, rising."""

    months: np.ndarray
    percentages: np.ndarray

    @property
    def first(self) -> float:
        """First bone age, in months."""
        return float(self.months[0])

    @property
    def last(self) -> float:
        """Last bone age, in months."""
        return float(self.months[-1])

    @property
    def is_complete(self) -> bool:
        """Whether growth is complete at the last row, so that the adult height is the height now from there on."""
        return self.percentages[-1] == 100.0

    def covers(self, bone_age_months: float) -> bool:
        """Whether there is a percentage at this bone age."""
        return self.first <= bone_age_months and (self.is_complete or bone_age_months <= self.last)

    def percentage(self, bone_age_months: float) -> float:
        """At a bone age that the column covers: linear in months between the rows, 100 after growth."""
        return min(float(np.interp(bone_age_months, self.months, self.percentages)), 100.0)

    def adult_height(self, bone_age_months: float, height_cm: float) -> float:
        """In centimetres, at a bone age that the column covers; never below the height now."""
        return height_cm / (self.percentage(bone_age_months) / 100)


def column_of(bone_age_months: float, chronological_age_months: float) -> str:
    """The column that applies: the outer ones where the ages differ by a year or more."""
    difference = bone_age_months - chronological_age_months
    if difference >= YEAR_MONTHS - ROUNDING_MONTHS:
        return ACCELERATED
    return DELAYED if difference <= -YEAR_MONTHS + ROUNDING_MONTHS else AVERAGE


@functools.cache
def table_of(sex: Sex) -> dict[str, Column]:
    """The three columns of girls or boys."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if sex_from_label(row["sex"]) == sex]
    return {name: _column(rows, f"{name}_percent") for name in COLUMNS}


def _column(rows: list[dict[str, str]], name: str) -> Column:
    filled = [row for row in rows if row[name]]
    return Column(
        np.array([float(row["bone_age_months"]) for row in filled]),
        np.array([float(row[name]) for row in filled]),
    )
