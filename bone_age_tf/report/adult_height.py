"""The adult height as reports and the web page show it: its columns, the parents' range, a scale, and sentences."""

import math
from typing import Any

from bone_age_tf.growth.assessment import NO_HEIGHT, GrowthAssessment
from bone_age_tf.growth.parental_height import CONVENTIONS
from bone_age_tf.growth.wording import (
    PossibleColumn,
    adult_height_warnings,
    column_sentence,
    error_sentence,
    outside_sentence,
    plain,
    possible_columns,
)

MARGIN_CM = 4
MIN_AXIS_CM = 30
"""So that a narrow interval is not drawn as a wide one."""


def adult_height_view(
    found: GrowthAssessment, difference_months: float | None, coverage: float | None
) -> dict[str, Any]:
    """What is shown, JSON: `columns` (each with `probability`, None without an interval), `interval`, `target`, `axis`."""
    columns = _columns(found)
    low, high = found.adult_height_low_cm, found.adult_height_high_cm
    target = _target(found)
    return {
        "height_cm": found.height_cm,
        "adult_height_cm": found.adult_height_cm,
        "reason": plain(found.adult_height_reason),
        "reason_code": found.adult_height_reason.partition(":")[0],
        "columns": columns,
        "interval": None if low is None else [low, high],
        "coverage": coverage,
        "target": target,
        "target_reason": plain(found.target_height_reason),
        "axis": _axis(columns, target),
        "warnings": adult_height_warnings(found, difference_months),
        "notes": [
            text
            for text in (
                column_sentence(found, difference_months),
                outside_sentence(found),
                error_sentence(found),
            )
            if text
        ],
        "is_asked": not found.adult_height_reason.startswith(f"{NO_HEIGHT}:"),
    }


def _columns(found: GrowthAssessment) -> list[dict[str, Any]]:
    columns = possible_columns(found)
    if not columns and found.adult_height_cm is not None:  # a model without prediction intervals
        columns = [
            PossibleColumn(found.adult_height_column, 1.0, found.adult_height_cm, None, None)
        ]
    return [one._asdict() | {"is_chosen": one.name == found.adult_height_column} for one in columns]


def _target(found: GrowthAssessment) -> dict[str, Any] | None:
    if found.target_height_cm is None:
        return None
    return {
        "centimetres": found.target_height_cm,
        "low_cm": found.target_height_low_cm,
        "high_cm": found.target_height_high_cm,
        "title": CONVENTIONS[found.target_height_convention].title,
    }


def _axis(
    columns: list[dict[str, Any]], target: dict[str, Any] | None
) -> tuple[int, int, int] | None:
    """First, last and step of a scale in centimetres that holds all; None of nothing."""
    shown = [*columns, *([target] if target else [])]
    ends = [one[name] for one in shown for name in ("centimetres", "low_cm", "high_cm")]
    ends = [end for end in ends if end is not None]
    if not ends:
        return None
    low, high = min(ends) - MARGIN_CM, max(ends) + MARGIN_CM
    spare = max(0.0, MIN_AXIS_CM - (high - low)) / 2
    first, last = 5 * math.floor((low - spare) / 5), 5 * math.ceil((high + spare) / 5)
    return first, last, 5 if last - first <= 50 else 10
