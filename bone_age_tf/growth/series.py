"""Contradictions between the visits of one child. They are named, with the rows; no number is changed or left out.

A bone age by the model may fall within its prediction intervals, one of a reader not at all. Heights do not fall
either: the sentence says where the error of measurement explains it.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bone_age_tf.growth.visits import DAYS_PER_MONTH, REJECTED, Visit

MEASUREMENT_ERROR_CM = 1.0
"""Falls up to this are usual: two measurements, or morning and evening, differ by as much."""
MAX_GROWTH_CM_PER_MONTH = 2.0
"""Twice the speed of puberty: a number is mistyped, or in another unit."""
MAX_INFANT_GROWTH_CM_PER_MONTH, INFANT_MONTHS = 4.0, 24.0
MIN_JUMP_CM = 8.0
"""A smaller rise is not named, however short the time."""
MAX_DATES_AND_AGES_MONTHS = 2.0
"""By which the time between two dates may differ from that between the ages."""
MIN_MONTHS_OF_VELOCITY, ROUNDING_MONTHS = 6.0, 0.1
"""Over a shorter time, the error of two measurements is as large as the growth."""
SAME_AGE_MONTHS = 0.03
"""Less than a day."""


class Contradiction(NamedTuple):
    """What cannot be, in some rows of a child."""

    code: str
    """A key of `data.problems.KINDS`."""
    rows: tuple[int, ...]
    message: str


def in_order(visits: Sequence[Visit]) -> list[Visit]:
    """The usable visits by age."""
    usable = [visit for visit in visits if visit.status != REJECTED]
    return sorted(usable, key=lambda visit: (visit.chronological_age_months or 0.0, visit.row))


def contradictions(visits: Sequence[Visit]) -> list[Contradiction]:
    """All contradictions between the usable visits of one child, in the order of age."""
    ordered = in_order(visits)
    return [
        *_on_one_date(ordered),
        *_dates_and_ages(ordered),
        *_falling_bone_age(ordered),
        *_heights(ordered),
        *_one_parent(ordered),
    ]


def _on_one_date(visits: Sequence[Visit]) -> Iterator[Contradiction]:
    for first, second in itertools.combinations(visits, 2):
        if not _is_same_date(first, second):
            continue
        differing = [
            f"{what} {a:.1f} and {b:.1f} {unit}"
            for what, unit, a, b in (
                ("heights of", "cm", first.height_cm, second.height_cm),
                ("bone ages of", "months", first.bone_age_months, second.bone_age_months),
            )
            if a is not None and b is not None and a != b
        ]
        if differing:
            message = f"two visits on one date with {', '.join(differing)}; both are shown"
            yield Contradiction("same_date", (first.row, second.row), message)


def _is_same_date(first: Visit, second: Visit) -> bool:
    if first.date is not None and second.date is not None:
        return first.date == second.date
    return abs(_age(first) - _age(second)) < SAME_AGE_MONTHS


def _age(visit: Visit) -> float:
    return visit.chronological_age_months or 0.0


def _dates_and_ages(visits: Sequence[Visit]) -> Iterator[Contradiction]:
    """Of rows without a birth date: the ages that are given, and the dates."""
    dated = [visit for visit in visits if visit.date is not None and visit.birth_date is None]
    for first, second in itertools.pairwise(dated):
        assert first.date is not None and second.date is not None
        between = (second.date - first.date).days / DAYS_PER_MONTH
        ages = _age(second) - _age(first)
        limit = MAX_DATES_AND_AGES_MONTHS + 12.0 * (first.is_age_in_years or second.is_age_in_years)
        if abs(between - ages) > limit:
            message = f"{between:.1f} months lie between the dates, {ages:.1f} between the ages"
            yield Contradiction("ages_differ", (first.row, second.row), message)


def _falling_bone_age(visits: Sequence[Visit]) -> Iterator[Contradiction]:
    """Against the visit before that is furthest above; the interval of a reading is the reading itself.

    After a fall, the later visit is what the next ones are compared with: a fall is named once.
    """
    highest: Visit | None = None
    for visit in visits:
        if visit.bone_age_months is None:
            continue
        low, high = _interval(visit)
        has_fallen = (
            highest is not None and high < _interval(highest)[0] and _age(visit) > _age(highest)
        )
        if has_fallen and highest is not None:
            yield _fallen(highest, visit)
        if highest is None or has_fallen or low >= _interval(highest)[0]:
            highest = visit


def _interval(visit: Visit) -> tuple[float, float]:
    months = visit.bone_age_months or 0.0
    low, high = visit.bone_age_low_months, visit.bone_age_high_months
    return months if low is None else low, months if high is None else high


def _fallen(first: Visit, second: Visit) -> Contradiction:
    has_intervals = first.bone_age_low_months is not None or second.bone_age_low_months is not None
    more = ", by more than the prediction intervals allow" if has_intervals else ""
    message = (
        f"the bone age falls from {first.bone_age_months:.1f} to {second.bone_age_months:.1f} months within "
        f"{_age(second) - _age(first):.1f} months{more}"
    )
    return Contradiction("bone_age_falls", (first.row, second.row), message)


def _heights(visits: Sequence[Visit]) -> Iterator[Contradiction]:
    """Falls against the tallest visit before, each named once; jumps against the last one."""
    measured = [visit for visit in visits if visit.height_cm is not None]
    tallest = measured[0] if measured else None
    for last, visit in itertools.pairwise(measured):
        assert tallest is not None
        is_later = _age(visit) - _age(tallest) >= SAME_AGE_MONTHS
        if _height(visit) < _height(tallest) and is_later:
            yield _shrunk(tallest, visit)
            tallest = visit
        elif _is_jump(last, visit):
            message = (
                f"the height rises from {last.height_cm:g} to {visit.height_cm:g} cm within "
                f"{_age(visit) - _age(last):.1f} months: a number is mistyped, or in another unit"
            )
            yield Contradiction("height_jumps", (last.row, visit.row), message)
        tallest = max(tallest, visit, key=_height)


def height_velocities(visits: Sequence[Visit]) -> dict[int, float]:
    """By row, centimetres a year since the last height that was measured half a year before or earlier."""
    measured = [visit for visit in in_order(visits) if visit.height_cm is not None]
    found = {}
    for number, visit in enumerate(measured):
        earlier = [
            one
            for one in measured[:number]
            if _age(visit) - _age(one) >= MIN_MONTHS_OF_VELOCITY - ROUNDING_MONTHS
        ]
        if earlier:
            years = (_age(visit) - _age(earlier[-1])) / 12
            found[visit.row] = (_height(visit) - _height(earlier[-1])) / years
    return found


def _height(visit: Visit) -> float:
    return visit.height_cm or 0.0


def _shrunk(first: Visit, second: Visit) -> Contradiction:
    fall = _height(first) - _height(second)
    usual = (
        ", which the error of two measurements can explain" if fall <= MEASUREMENT_ERROR_CM else ""
    )
    message = f"the height falls from {first.height_cm:g} to {second.height_cm:g} cm{usual}"
    return Contradiction("height_falls", (first.row, second.row), message)


def _is_jump(first: Visit, second: Visit) -> bool:
    rise, months = _height(second) - _height(first), _age(second) - _age(first)
    is_infant = _age(first) < INFANT_MONTHS
    fastest = MAX_INFANT_GROWTH_CM_PER_MONTH if is_infant else MAX_GROWTH_CM_PER_MONTH
    return months >= SAME_AGE_MONTHS and rise > max(MIN_JUMP_CM, fastest * months)


def _one_parent(visits: Sequence[Visit]) -> Iterator[Contradiction]:
    for visit in visits[:1]:
        if (visit.father_cm is None) != (visit.mother_cm is None):
            parent = "father" if visit.father_cm is None else "mother"
            why = "cannot be used" if _is_refused(parent, visits) else "is missing"
            message = f"no target height: the height of the {parent} {why}"
            yield Contradiction("one_parent", tuple(one.row for one in visits), message)


def _is_refused(parent: str, visits: Sequence[Visit]) -> bool:
    faults = (fault for visit in visits for fault in visit.faults)
    return any(
        f.code == "bad_parent_height" and f"height of the {parent}" in f.message for f in faults
    )
