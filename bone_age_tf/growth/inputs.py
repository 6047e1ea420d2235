"""Checks of the numbers that heights are predicted from. A unit is named in the error, never guessed."""

import math
import numbers
import re

from bone_age_tf.config.sex_words import EXPECTED, sex_of_word
from bone_age_tf.errors import ArgumentTypeError, ArgumentValueError
from bone_age_tf.sex import Sex, sex_from_label

CHILD_CM = (85.0, 260.0)
"""Heights of children whose bone age is in the table; smaller numbers are inches (85 are 216 cm)."""
INFANT_CM = (30.0, 260.0)
"""Of those whose bone age is below the table."""
ADULT_CM = (90.0, 260.0)
MAX_BONE_AGE_MONTHS = 240.0
MAX_AGE_MONTHS = 1200.0
OLDEST_IN_YEARS = 21.0
"""A number up to this, with a height or a bone age that no child of so many months has, is in years."""
TALLEST_INFANT_CM = 105.0
LONGEST_QUOTE = 40
"""Characters of an entry in the text of an error."""
FIRST_ROW_MONTHS = 72.0
"""First bone age of any column of the table."""

_UNITS = (("metres", 100.0, (0.3, 2.6)), ("feet", 30.48, (2.6, 8.6)), ("inches", 2.54, (20, 90)))
"""Name, centimetres in one, and the numbers that are heights in it. Millimetres are those above 300."""
_NUMBER = r"(\d+(?:[.,]\d*)?)"
_CENTIMETRES = re.compile(rf"{_NUMBER} ?(?:cm)?", re.IGNORECASE)
_METRES = re.compile(rf"{_NUMBER} ?m", re.IGNORECASE)
_INCHES = re.compile(rf"{_NUMBER} ?(?:in|inch|inches|\"|″|”)", re.IGNORECASE)
_FEET = re.compile(
    rf"{_NUMBER} ?(?:ft|feet|foot|'|′|’)(?: ?{_NUMBER} ?(?:in|inch|inches|\"|″|”|'')?)?",
    re.IGNORECASE,
)


class OtherUnitError(ArgumentValueError):
    """A height that is evidently in another unit than centimetres."""

    def __init__(self, message: str, unit: str, centimetres: float) -> None:
        super().__init__(message)
        self.unit = unit
        """`metres`, `feet`, ..."""
        self.centimetres = centimetres
        """What it would be; to be confirmed by whoever gave it."""


def number_of(name: str, value: object) -> float:
    """A finite number. Raises `ArgumentTypeError` and `ArgumentValueError`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(f"{name}: expected a number. Received {value!r}.")
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise ArgumentValueError(f"{name}: expected a number. Received {number}.")
    return number


def child_height_of(value: object, bone_age_months: float) -> float:
    """A child's height in centimetres. Raises `ArgumentValueError`."""
    is_infant = bone_age_months < FIRST_ROW_MONTHS
    return centimetres_of("height_cm", value, INFANT_CM if is_infant else CHILD_CM)


def centimetres_of(name: str, value: object, limits: tuple[float, float]) -> float:
    """A height in centimetres within the limits. Raises `ArgumentValueError`, which names the unit it looks like."""
    height = number_of(name, value)
    low, high = limits
    if low <= height <= high:
        return height
    raise _other_height(name, f"{height:g}", _likely_unit(height), limits)


def read_height(name: str, text: str) -> float:
    """The number of a cell or field with a height in centimetres, with point or comma, also as `138 cm`.

    Raises `OtherUnitError` for a text with another unit, and `ArgumentValueError` for any other.
    """
    words = " ".join(text.split())
    found = _CENTIMETRES.fullmatch(words)
    if found and math.isfinite(height := _number(found[1])):
        return height
    raise _other_height(name, _quoted(text), _stated_unit(words), None)


def _quoted(text: str) -> str:
    """The beginning of what was entered, without halves of characters, which cannot be written in UTF-8."""
    short = text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."
    return short.encode("utf-8", "replace").decode("utf-8")


def _other_height(
    name: str, received: str, unit: tuple[str, float] | None, limits: tuple[float, float] | None
) -> ArgumentValueError:
    between = "" if limits is None else f", {limits[0]:g} to {limits[1]:g}"
    text = f"{name}: expected a height in centimetres{between}. Received {received}"
    if unit is None:
        return ArgumentValueError(f"{text}.")
    text = f"{text}, which looks like {unit[0]}: that would be {unit[1]:.1f} cm."
    return OtherUnitError(f"{text} Nothing is converted; give centimetres.", *unit)


def _likely_unit(height: float) -> tuple[str, float] | None:
    """Unit and centimetres of a height that cannot be in centimetres."""
    for unit, factor, (low, high) in _UNITS:
        if low <= height <= high:
            return unit, height * factor
    return ("millimetres", height / 10) if 300 < height <= 2600 else None


def _stated_unit(words: str) -> tuple[str, float] | None:
    """Unit and centimetres of a height with its unit; None where nobody is so tall."""
    found = _with_unit(words)
    low, high = INFANT_CM
    return found if found and low <= found[1] <= high else None


def _with_unit(words: str) -> tuple[str, float] | None:
    for unit, pattern, factor in (("metres", _METRES, 100.0), ("inches", _INCHES, 2.54)):
        if found := pattern.fullmatch(words):
            return unit, _number(found[1]) * factor
    if found := _FEET.fullmatch(words):
        return "feet and inches", _number(found[1]) * 30.48 + _number(found[2] or "0") * 2.54
    return None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def age_of(name: str, value: object, oldest: float) -> float:
    """An age in months, above 0. Raises `ArgumentValueError`."""
    months = number_of(name, value)
    if not 0 < months <= oldest:
        raise ArgumentValueError(
            f"{name}: expected an age in months, above 0 and at most {oldest:g}. Received {months:g}."
        )
    return months


def bone_age_of(value: object, name: str = "bone_age_months") -> float:
    """A bone age in months, 0 to 240. Raises `ArgumentValueError`."""
    months = number_of(name, value)
    if not 0 <= months <= MAX_BONE_AGE_MONTHS:
        raise ArgumentValueError(
            f"{name}: expected a bone age in months, 0 to {MAX_BONE_AGE_MONTHS:g}. Received {months:g}."
        )
    return months


def require_months(bone_age: float, chronological_age: float | None, height: float) -> None:
    """Raises `ArgumentValueError` where one of the ages is evidently in years."""
    is_tall = height > TALLEST_INFANT_CM
    if bone_age <= OLDEST_IN_YEARS and is_tall:
        raise ArgumentValueError(_years("bone_age_months", bone_age, f"a height of {height:g} cm"))
    if chronological_age is None or chronological_age > OLDEST_IN_YEARS:
        return
    if is_tall or bone_age >= FIRST_ROW_MONTHS:
        beside = f"a height of {height:g} cm" if is_tall else f"a bone age of {bone_age:g} months"
        raise ArgumentValueError(_years("chronological_age_months", chronological_age, beside))


def _years(name: str, age: float, beside: str) -> str:
    return (
        f"{name}: expected months. Received {age:g} with {beside}, which looks like years: that would be "
        f"{age * 12:g} months. Nothing is converted; give months."
    )


def sex_of(value: object) -> Sex:
    """A `Sex`, or the one that a usual word means. Raises `ArgumentTypeError` and `ArgumentValueError`."""
    if isinstance(value, Sex):
        return value
    if not isinstance(value, str):
        raise ArgumentTypeError(f"sex: expected {EXPECTED}. Received {value!r}.")
    label = sex_of_word(value)
    if label is None:
        raise ArgumentValueError(f"sex: expected {EXPECTED}. Received {value!r}.")
    return sex_from_label(label)
