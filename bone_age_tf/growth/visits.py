"""A visit of a child, as a row of a table tells it, and what follows from it: bone age against age, adult height.

What contradicts within a row, or between the rows of a child, is a `VisitFault` (`children`) or a `Contradiction`
(`series`). Nothing is corrected, and no row is left out. For research and education. Not a medical device.
"""

import dataclasses
import datetime
from collections.abc import Iterable
from typing import NamedTuple

from bone_age_tf.errors import ArgumentValueError
from bone_age_tf.growth.adult_height import AdultHeight, predict_adult_height
from bone_age_tf.growth.adult_height_interval import (
    AdultHeightInterval,
    predict_adult_height_interval,
)
from bone_age_tf.growth.published_errors import method_sd_cm
from bone_age_tf.growth.reference_standards import Comparison, compare_with_age
from bone_age_tf.sex import Sex

DAYS_PER_MONTH = 365.25 / 12
READING, MODEL = "reading", "model"
"""Where a bone age comes from: the table, or a radiograph that the model read."""
OK, INCOMPLETE, REJECTED = "ok", "incomplete", "rejected"
"""Status of a row: all of it was used; a part of it was not; nothing was."""
NO_BONE_AGE, NO_HEIGHT, BAD_HEIGHT = "no_bone_age", "no_height", "bad_height"
"""Why there is no adult height, besides the keys of `adult_height.REASONS`."""


class VisitFault(NamedTuple):
    """Why a row, or a part of it, cannot be used."""

    code: str
    """A key of `data.problems.KINDS`, or a reason of rejection of its radiograph."""
    message: str
    is_fatal: bool = False
    """Nothing of the row can be used."""


@dataclasses.dataclass(frozen=True)
class Visit:
    """A row of a table; None where it does not tell something, or not in a way that can be used."""

    row: int
    """As a spreadsheet counts, the header being row 1."""
    id: str
    """Of the child."""
    date: datetime.date | None = None
    birth_date: datetime.date | None = None
    sex: Sex | None = None
    chronological_age_months: float | None = None
    """As given; `children.complete` puts the age by the dates in its place."""
    is_age_in_years: bool = False
    """Given in years, perhaps in completed ones."""
    height_cm: float | None = None
    bone_age_months: float | None = None
    bone_age_low_months: float | None = None
    """This and the next: the prediction interval of a bone age by the model."""
    bone_age_high_months: float | None = None
    bone_age_from: str = ""
    """`reading`, `model`, or empty."""
    file: str = ""
    """The radiograph, as the table names it."""
    father_cm: float | None = None
    mother_cm: float | None = None
    faults: tuple[VisitFault, ...] = ()
    warnings: tuple[str, ...] = ()
    """Codes of the model's warnings."""

    @property
    def status(self) -> str:
        """`ok`, `incomplete` or `rejected`."""
        if any(fault.is_fatal for fault in self.faults):
            return REJECTED
        return INCOMPLETE if self.faults else OK

    def with_fault(self, *faults: VisitFault, **without: None) -> "Visit":
        """The same with more faults, and without what they are about."""
        return dataclasses.replace(self, faults=(*self.faults, *faults), **without)


@dataclasses.dataclass(frozen=True)
class Assessment:
    """What follows from one visit alone."""

    visit: Visit
    comparison: Comparison | None
    """None without a bone age."""
    adult_height: AdultHeight | None
    """None without bone age or height."""
    interval: AdultHeightInterval | None
    """None without an interval of the bone age."""
    method_sd_cm: float | None
    """SD of the method's own error, where there is an adult height."""

    @property
    def reason(self) -> str:
        """Why there is no adult height; empty where there is one."""
        if self.adult_height is not None:
            return self.adult_height.reason or ""
        if self.visit.bone_age_months is None:
            return NO_BONE_AGE
        is_refused = any(fault.code == BAD_HEIGHT for fault in self.visit.faults)
        return BAD_HEIGHT if is_refused else NO_HEIGHT


def assess_visit(visit: Visit, *, coverage: float, reading_method: str | None) -> Assessment:
    """Compare the bone age with the age and predict the adult height; `coverage` is that of the bone age's interval.

    A height or a bone age that cannot be in centimetres or months becomes a fault of the visit.
    """
    age, bone_age = visit.chronological_age_months, visit.bone_age_months
    if visit.status == REJECTED or age is None or bone_age is None:
        return Assessment(visit, None, None, None, None)
    sex = Sex.UNKNOWN if visit.sex is None else visit.sex
    low, high = visit.bone_age_low_months, visit.bone_age_high_months
    ends = {"low_months": low, "high_months": high, "coverage": coverage}
    comparison = compare_with_age(bone_age, age, sex, **ends)
    height = visit.height_cm
    if height is None:
        return Assessment(visit, comparison, None, None, None)
    asked = (bone_age, age, height, sex)
    interval = None
    try:
        adult = predict_adult_height(*asked, reading_method=reading_method)
        if low is not None and high is not None and low < high:
            interval = predict_adult_height_interval(*asked, **ends, reading_method=reading_method)
            adult = interval.predicted
    except ArgumentValueError as error:
        spoilt = visit.with_fault(VisitFault(BAD_HEIGHT, str(error)), height_cm=None)
        return Assessment(spoilt, comparison, None, None, None)
    sd = None if adult.centimetres is None else method_sd_cm(age, sex)
    return Assessment(visit, comparison, adult, interval, sd)


def said_rows(rows: Iterable[int]) -> str:
    """Numbers of rows in words: `row 2`, `rows 2 and 5`, `rows 2 to 4 and 7`."""
    runs: list[list[int]] = []
    for row in sorted(set(rows)):
        if runs and row == runs[-1][-1] + 1:
            runs[-1].append(row)
        else:
            runs.append([row])
    words = [
        word
        for run in runs
        for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))
    ]
    if len(words) == 1:
        return f"row{'s' if len(runs[0]) > 1 else ''} {words[0]}"
    return f"rows {', '.join(words[:-1])} and {words[-1]}"
