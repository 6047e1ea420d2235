"""The chronological age at the study, from the dates and the age of a DICOM header."""

import datetime
import math
import re
from collections.abc import Callable
from typing import NamedTuple

from bone_age_tf.dicom.warnings import AGE_DIFFERS, AGE_IMPLAUSIBLE

MAX_MONTHS = 360
"""A chronological age over this, or below 0, is an error of the header."""

_DAYS_PER_MONTH = 365.25 / 12
_MONTHS = {"Y": 12.0, "M": 1.0, "W": 7 / _DAYS_PER_MONTH, "D": 1 / _DAYS_PER_MONTH}
_DATES = ("AcquisitionDate", "AcquisitionDateTime", "StudyDate", "SeriesDate")
_AGE = re.compile(r"([0-9]{1,3})([YMWD])", re.IGNORECASE)
_DATE = re.compile(r"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})")  # with points: before DICOM 3.0


class Ages(NamedTuple):
    """The age that is used, and codes of `warnings.WARNINGS`."""

    months: float
    """NaN where the header does not tell it."""
    warnings: tuple[str, ...]


def ages_of(text: Callable[[str], str]) -> Ages:
    """By the birth date, or else by Patient's Age; `text` gives the value of a keyword."""
    by_date, by_words = _age_by_dates(text), _age_in_words(text("PatientAge"))
    codes = [AGE_IMPLAUSIBLE] if _is_implausible(by_date) or _is_implausible(by_words) else []
    ages = [age for age in (by_date, by_words) if 0 <= age <= MAX_MONTHS]
    if len(ages) == 2 and abs(by_date - by_words) > 12:
        codes.append(AGE_DIFFERS)
    return Ages(ages[0] if ages else math.nan, tuple(codes))


def _is_implausible(months: float) -> bool:
    return months < 0 or months > MAX_MONTHS


def _age_by_dates(text: Callable[[str], str]) -> float:
    """Months from the birth date to the first of the dates that is one."""
    born = _date(text("PatientBirthDate"))
    taken = next((date for date in map(_date, map(text, _DATES)) if date), None)
    return (taken - born).days / _DAYS_PER_MONTH if born and taken else math.nan


def _date(text: str) -> datetime.date | None:
    """Of a Date, or of the first part of a Date Time."""
    match = _DATE.match(text)
    try:
        return datetime.date(*map(int, match.groups())) if match else None
    except ValueError:  # as 20240231
        return None


def _age_in_words(text: str) -> float:
    """Months of an Age String, as `012Y`: completed years, months, weeks or days."""
    match = _AGE.fullmatch(text)
    return int(match[1]) * _MONTHS[match[2].upper()] if match else math.nan
