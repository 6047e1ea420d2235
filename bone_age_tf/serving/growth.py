"""Heights on the web page: what was entered, and the adult height by a bone age that was estimated before.

`POST /growth`, a JSON object: `sex`, `bone_age_months`, `bone_age_low_months`, `bone_age_high_months` and
`chronological_age_months` of an estimate (the ends around it, or neither of them); `height_cm`, `mother_height_cm`, `father_height_cm` as numbers or as text. No
radiograph is needed.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from bone_age_tf.config.sex_words import EXPECTED, sex_of_word
from bone_age_tf.errors import ArgumentValueError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.growth.assessment import Heights
from bone_age_tf.growth.children import MAX_CHRONOLOGICAL_AGE_MONTHS
from bone_age_tf.growth.inputs import (
    ADULT_CM,
    INFANT_CM,
    MAX_BONE_AGE_MONTHS,
    OtherUnitError,
    centimetres_of,
    child_height_of,
    read_height,
)
from bone_age_tf.inference.prediction import Prediction, assessed
from bone_age_tf.preprocessing.rejections import OK
from bone_age_tf.report.adult_height import adult_height_view
from bone_age_tf.serving.contract import invalid

NAMES = {"height_cm": "child", "mother_height_cm": "mother", "father_height_cm": "father"}
"""Fields of a request -> those of `Heights`."""
_INTERVAL = ("bone_age_low_months", "bone_age_months", "bone_age_high_months")
_OLDEST = {
    **dict.fromkeys(_INTERVAL, MAX_BONE_AGE_MONTHS),
    "chronological_age_months": MAX_CHRONOLOGICAL_AGE_MONTHS,
}
"""Fields in months, with their largest numbers."""


def heights_of(values: Mapping[str, Any]) -> Heights:
    """The heights of a query or of a JSON object. Raises `ServingError` for what is neither number nor text."""
    given = {field: values.get(name) for name, field in NAMES.items()}
    for name, field in NAMES.items():
        value = given[field]
        if not isinstance(value, str | None) and _number(value) is None:
            raise invalid(f"{name} must be a number of centimetres.")
        if isinstance(value, str):
            given[field] = value.strip()
    return Heights(**given)


def growth_answer(
    row: Prediction, heights: Heights, coverage: float | None
) -> dict[str, Any] | None:
    """What the page shows of a row with heights; None without any."""
    if row.growth is None:
        return None
    return {
        "prediction": dataclasses.asdict(row.growth),
        "view": adult_height_view(row.growth, row.difference_months, coverage),
        "faults": list(_faults(heights, row.bone_age_months)),
    }


def growth_of_body(body: bytes, model: ExportedModel) -> dict[str, Any]:
    """The answer to `POST /growth`. Raises `ServingError`."""
    values = _values(body)
    heights = heights_of(values)
    if not heights.any:
        raise invalid(f"The body must have a height: one of {', '.join(NAMES)}.")
    row = assessed(_row(values), heights, model)
    answer = growth_answer(row, heights, model.coverage)
    assert answer is not None
    return answer


def _values(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON parse error: {error}") from error
    known = ("sex", *_OLDEST, *NAMES)
    if not isinstance(values, dict) or not set(values) <= set(known):
        raise invalid(f"The body must be a JSON object with {', '.join(known)}.")
    return values


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _row(values: Mapping[str, Any]) -> Prediction:
    """A row with no more than what heights are predicted from."""
    given = values.get("sex")
    sex = sex_of_word(str(given)) if isinstance(given, str | int) else None
    if sex is None:
        raise invalid(f"sex must be {EXPECTED}.")
    months: dict[str, Any] = {name: _months(name, values.get(name)) for name in _OLDEST}
    bone_age, age = months["bone_age_months"], months["chronological_age_months"]
    if bone_age is None:
        raise invalid("bone_age_months must be a number of months.")
    _require_interval(*(months[name] for name in _INTERVAL))
    return Prediction(
        id="",
        file="",
        sex=sex,
        **months,
        bone_age_months_true=None,
        difference_months=None if age is None else bone_age - age,
        sd_score=None,
        verdict="",
        verdict_probability=None,
        status=OK,
        reason="",
    )


def _months(name: str, value: Any) -> float | None:
    if value is None:
        return None
    months, oldest = _number(value), _OLDEST[name]
    if months is None or not 0 <= months <= oldest:
        raise invalid(f"{name} must be a number of months from 0 to {oldest:g}.")
    return months


def _number(value: Any) -> float | None:
    """A finite number; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _require_interval(low: float | None, bone_age: float, high: float | None) -> None:
    """Raises `ServingError` where the ends are not around the estimate."""
    if low is None and high is None:
        return
    low_name, name, high_name = _INTERVAL
    if low is None or high is None:
        raise invalid(f"Expected both {low_name} and {high_name}, or neither.")
    if not low <= bone_age <= high:
        raise invalid(
            f"Expected {low_name} <= {name} <= {high_name}. Received {low:g}, {bone_age:g} and {high:g}."
        )


def _faults(heights: Heights, bone_age: float | None) -> Iterator[dict[str, Any]]:
    """Each height that cannot be used: its field, why, and the centimetres that it may mean, to be confirmed."""
    for name, field in NAMES.items():
        given = getattr(heights, field)
        if given in (None, ""):
            continue
        try:
            height = read_height(name, given) if isinstance(given, str) else float(given)
            if field != "child":
                centimetres_of(name, height, ADULT_CM)
            elif bone_age is None:
                centimetres_of(name, height, INFANT_CM)
            else:
                child_height_of(height, bone_age)
        except OtherUnitError as error:
            yield {"field": name, "unit": error.unit, "centimetres": round(error.centimetres, 1)}
        except ArgumentValueError as error:
            text = str(error).removeprefix(f"{name}: ")
            yield {"field": name, "reason": f"{text[:1].upper()}{text[1:]}"}
