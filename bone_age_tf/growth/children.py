"""The rows of each child put together: sex, birth date and parents' heights may stand in one row; ages from dates.

Where rows of one child contradict each other in what a child has but one of, all of them have a fault with their numbers.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from bone_age_tf.errors import ArgumentValueError
from bone_age_tf.growth.inputs import (
    CHILD_CM,
    FIRST_ROW_MONTHS,
    INFANT_CM,
    centimetres_of,
    require_months,
)
from bone_age_tf.growth.visits import DAYS_PER_MONTH, REJECTED, Visit, VisitFault, said_rows
from bone_age_tf.sex import Sex

Value = TypeVar("Value")

MAX_DIFFERENCE_MONTHS = 1.0
"""Between an age and the one by the dates: more than rounding to whole months makes."""
MAX_DIFFERENCE_IN_YEARS_MONTHS = 12.0
"""The same of an age in years, which may be completed ones."""
MAX_CHRONOLOGICAL_AGE_MONTHS = 360.0


def by_child(visits: Iterable[Visit]) -> dict[str, list[Visit]]:
    """The visits of each child, in the order of the rows; rows without an identifier are not among them."""
    children = defaultdict[str, list[Visit]](list)
    for visit in visits:
        if visit.id:
            children[visit.id].append(visit)
    return dict(children)


class Told(NamedTuple):
    """What the radiograph of a row tells itself, by its DICOM header."""

    sex: Sex | None
    chronological_age_months: float | None


def complete(
    visits: Sequence[Visit], headers: Mapping[int, Told] = MappingProxyType({})
) -> list[Visit]:
    """The visits with what the other rows of their child tell, with their ages, and with the faults of both.

    `headers`, by row, are for what no row of the table tells.
    """
    children = {id: _completed(rows, headers) for id, rows in by_child(visits).items()}
    found = {visit.row: visit for rows in children.values() for visit in rows}
    return [
        _checked(_with_age(found.get(visit.row, visit), headers.get(visit.row))) for visit in visits
    ]


def _completed(rows: Sequence[Visit], headers: Mapping[int, Told]) -> list[Visit]:
    rows = _without_repeats(rows)
    if all(visit.sex is None for visit in rows):
        rows = [
            dataclasses.replace(visit, sex=headers[visit.row].sex)
            if visit.row in headers
            else visit
            for visit in rows
        ]
    faults = [
        *_differing(rows, "two_sexes", "sexes", _known_sex, lambda sex: sex.label),
        *_differing(rows, "two_birth_dates", "birth dates", lambda one: one.birth_date, str),
    ]
    parents = [
        *_differing(rows, "parents_differ", "heights of the father", lambda one: one.father_cm, _cm),
        *_differing(rows, "parents_differ", "heights of the mother", lambda one: one.mother_cm, _cm),
    ]  # fmt: skip
    known = _first(_known_sex(visit) for visit in rows)
    sex = _first(visit.sex for visit in rows) if known is None else known
    born = _first(visit.birth_date for visit in rows)
    father = None if parents else _first(visit.father_cm for visit in rows)
    mother = None if parents else _first(visit.mother_cm for visit in rows)
    return [
        dataclasses.replace(
            visit,
            sex=sex if _known_sex(visit) is None else visit.sex,
            birth_date=visit.birth_date or born,
            father_cm=father,
            mother_cm=mother,
            faults=(*visit.faults, *faults, *(parents if _has_parents(visit) else ())),
        )
        for visit in rows
    ]


def _without_repeats(rows: Sequence[Visit]) -> list[Visit]:
    """A row that says the same as an earlier one has a fault; the first is used."""
    first: dict[Visit, int] = {}
    for visit in rows:
        first.setdefault(dataclasses.replace(visit, row=0), visit.row)

    def one(visit: Visit) -> Visit:
        row = first[dataclasses.replace(visit, row=0)]
        message = f"the row repeats row {row}"
        fault = VisitFault("repeated_row", message, is_fatal=True)
        return visit if row == visit.row else visit.with_fault(fault)

    return [one(visit) for visit in rows]


def _first(values: Iterable[Value | None]) -> Value | None:
    return next((value for value in values if value is not None), None)


def _known_sex(visit: Visit) -> Sex | None:
    return None if visit.sex == Sex.UNKNOWN else visit.sex


def _has_parents(visit: Visit) -> bool:
    return visit.father_cm is not None or visit.mother_cm is not None


def _cm(value: float) -> str:
    return f"{value:g} cm"


def _differing(
    rows: Sequence[Visit],
    code: str,
    what: str,
    value_of: Callable[[Visit], object],
    text_of: Callable[..., str],
) -> list[VisitFault]:
    """A fault where the rows of a child differ in a value of which there is one."""
    rows_of = defaultdict[object, list[int]](list)
    for visit in rows:
        value = value_of(visit)
        if value is not None:
            rows_of[value].append(visit.row)
    if len(rows_of) < 2:
        return []
    said = " and ".join(f"{text_of(value)} in {said_rows(r)}" for value, r in rows_of.items())
    message = f"the child has two {what}: {said}; expected one. Correct the table, or give two children two identifiers"
    return [VisitFault(code, message, is_fatal=code != "parents_differ")]


# === Age ===


def _with_age(visit: Visit, header: Told | None) -> Visit:
    """With the age by the dates, where both are there; of the header, where the row has none."""
    if visit.date is None or visit.birth_date is None:
        if visit.chronological_age_months is not None or header is None:
            return visit
        return dataclasses.replace(visit, chronological_age_months=header.chronological_age_months)
    days = (visit.date - visit.birth_date).days
    if days < 0:
        message = f"the birth date {visit.birth_date} is after the visit on {visit.date}"
        return visit.with_fault(VisitFault("birth_after_visit", message, is_fatal=True))
    months, given = days / DAYS_PER_MONTH, visit.chronological_age_months
    limit = MAX_DIFFERENCE_IN_YEARS_MONTHS if visit.is_age_in_years else MAX_DIFFERENCE_MONTHS
    if given is not None and abs(months - given) > limit:
        message = (
            f"the chronological age of {given:g} months contradicts birth date {visit.birth_date} and visit "
            f"{visit.date}, between which are {months:.1f} months"
        )
        return visit.with_fault(VisitFault("ages_differ", message, is_fatal=True))
    return dataclasses.replace(visit, chronological_age_months=months)


def _checked(visit: Visit) -> Visit:
    """With faults for what is missing, and for numbers that cannot be in their unit."""
    if visit.status == REJECTED:
        return visit
    if visit.sex is None:
        message = "no row of the child tells the sex; expected F, M or unknown"
        return visit.with_fault(VisitFault("missing_sex", message, is_fatal=True))
    age = visit.chronological_age_months
    if age is None:
        return visit.with_fault(VisitFault("no_age", _no_age(visit), is_fatal=True))
    if not 0 < age <= MAX_CHRONOLOGICAL_AGE_MONTHS:
        message = (
            f"the age at the visit is {age:.1f} months; expected more than 0 and at most "
            f"{MAX_CHRONOLOGICAL_AGE_MONTHS:g}"
        )
        return visit.with_fault(VisitFault("bad_chronological_age", message, is_fatal=True))
    return _with_units(_with_height(visit, age), age)


def _no_age(visit: Visit) -> str:
    missing = "birth date" if visit.date is not None else "date of the visit"
    if visit.date is None and visit.birth_date is None:
        return "there is no chronological age; expected it, or the dates of birth and visit"
    return f"there is no chronological age: the {missing} is missing"


def _with_height(visit: Visit, age: float) -> Visit:
    if visit.height_cm is None:
        return visit
    oldest = max(age, visit.bone_age_months or 0.0)
    try:
        centimetres_of(
            "height", visit.height_cm, INFANT_CM if oldest < FIRST_ROW_MONTHS else CHILD_CM
        )
    except ArgumentValueError as error:
        return visit.with_fault(VisitFault("bad_height", str(error)), height_cm=None)
    return visit


def _with_units(visit: Visit, age: float) -> Visit:
    """A row whose ages are evidently in years is not used: which of its numbers are wrong is not certain."""
    # Without a bone age, one that is in months whatever the height.
    bone_age = FIRST_ROW_MONTHS - 1 if visit.bone_age_months is None else visit.bone_age_months
    try:
        require_months(bone_age, age, visit.height_cm or 0.0)
    except ArgumentValueError as error:
        return visit.with_fault(VisitFault("age_in_years", str(error), is_fatal=True))
    return visit
