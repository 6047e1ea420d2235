"""Modality LUT or rescale (PS3.3 C.11.1), VOI LUT or window (C.11.2): tables of all values, exact.

The rules where the standard leaves a choice are in `pixels`.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from bone_age_tf.dicom.decoders import transfer_syntax

FULL_SCALE = 65535
HALF = Fraction(1, 2)
MAX_TEXT = 64
MAX_EXPONENT = 40
"""Of a Decimal String, which has 16 characters, and of the number in it."""


# === Modality ===


class Modality(NamedTuple):
    """What the stored values mean: `values * slope + intercept`."""

    values: np.ndarray
    slope: Fraction = Fraction(1)
    intercept: Fraction = Fraction(0)
    is_lut: bool = False

    @property
    def has_negative(self) -> bool:
        """Whether a stored value can mean less than 0."""
        ends = (int(self.values.min()), int(self.values.max()))
        return min(end * self.slope + self.intercept for end in ends) < 0


def modality_of(dataset: Any, values: np.ndarray) -> Modality:
    """What these stored values mean by the data set."""
    lut = first_lut(dataset, "ModalityLUTSequence", bool(dataset.PixelRepresentation))
    if lut is not None:
        return Modality(lut.at(values), is_lut=True)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return Modality(
        values,
        Fraction(1) if slope is None else slope,
        Fraction(0) if intercept is None else intercept,
    )


# === VOI ===


def by_voi(dataset: Any, modality: Modality) -> np.ndarray | None:
    """int64 from 0 to 65535 of each value; None where there is neither LUT nor window."""
    lut = first_lut(dataset, "VOILUTSequence", modality.has_negative)
    if lut is not None:
        entries = lut.at(_floor(modality, Fraction(1), HALF))
        return to_16_bits(entries, lut.bits)
    window = first_window(dataset)
    return None if window is None else window(modality)


def to_16_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Rounded; never half way, for 2^bits - 1 is odd."""
    return (values.astype(np.int64) * (2 * FULL_SCALE) + (2**bits - 1)) // (2 * (2**bits - 1))


def _floor(modality: Modality, factor: Fraction, summand: Fraction) -> np.ndarray:
    """int64: floor of the modality's output times a factor plus a summand, exact, within 2^40."""
    slope = modality.slope * factor
    offset = modality.intercept * factor + summand
    divisor = math.lcm(slope.denominator, offset.denominator)
    multiplier, addend = int(slope * divisor), int(offset * divisor)
    largest = abs(multiplier) * 2**16 + abs(addend) + divisor
    numbers = modality.values.astype(np.int64 if largest < 2**62 else object)
    return np.clip((numbers * multiplier + addend) // divisor, -(2**40), 2**40).astype(np.int64)


# === Window ===


class Window(NamedTuple):
    """Window Center, Window Width and VOI LUT Function."""

    centre: Fraction
    width: Fraction
    function: str

    def __call__(self, modality: Modality) -> np.ndarray:
        """int64 from 0 to 65535."""
        if self.function == "SIGMOID":
            return self._sigmoid(modality)
        is_exact = self.function == "LINEAR_EXACT"
        span = self.width if is_exact else self.width - 1
        start = self.centre - span / 2 - (0 if is_exact else HALF)
        if span == 0:
            return (_floor(modality, Fraction(-1), start) < 0) * FULL_SCALE
        factor = FULL_SCALE / span
        return np.clip(_floor(modality, factor, HALF - start * factor), 0, FULL_SCALE)

    def _sigmoid(self, modality: Modality) -> np.ndarray:
        """C.11.2.1.3.1."""
        output = modality.values * float(modality.slope) + float(modality.intercept)
        exponent = -4 * (output - float(self.centre)) / float(self.width)
        shown = FULL_SCALE / (1 + np.exp(np.clip(exponent, -700, 700)))
        return np.floor(shown + 0.5).astype(np.int64)


_SMALLEST_WIDTH = {"LINEAR": Fraction(1), "LINEAR_EXACT": None, "SIGMOID": None}


def first_window(dataset: Any) -> Window | None:
    """The first of several; None where there is none that the standard allows."""
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip()
    if centre is None or width is None or function not in _SMALLEST_WIDTH:
        return None
    smallest = _SMALLEST_WIDTH[function]
    is_allowed = width > 0 if smallest is None else width >= smallest
    return Window(centre, width, function) if is_allowed else None


# === LUT ===


class Lut(NamedTuple):
    """Of Modality LUT Sequence or VOI LUT Sequence."""

    first: int
    """The value that the first entry is for."""
    entries: np.ndarray
    bits: int

    def at(self, values: np.ndarray) -> np.ndarray:
        """int64; values before the first take the first entry, those after the last the last."""
        return self.entries[np.clip(values - self.first, 0, len(self.entries) - 1)]


def first_lut(dataset: Any, keyword: str, is_signed: bool) -> Lut | None:
    """The first table of a sequence; None where there is none. Raises ValueError where it has fewer entries than its
    descriptor says."""
    sequence = dataset.get(keyword)
    if not sequence or sequence[0].get("LUTData") is None:
        return None
    item = sequence[0]
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count % 2**16 or 2**16
    entries = _entries(_words(item.LUTData, dataset), count)
    bits = min(max(bits, int(entries.max()).bit_length()), 16)  # writers say fewer than they use
    return Lut(as_word(first, is_signed) if first >= 0 else first, entries, bits)


def _words(data: Any, dataset: Any) -> np.ndarray:
    """uint16, of VR US, SS or OW."""
    if isinstance(data, bytes):
        order = "<u2" if transfer_syntax(dataset).is_little_endian else ">u2"
        return np.frombuffer(data + b"\0" * (len(data) % 2), order).astype("<u2")
    return (np.atleast_1d(np.array(data, np.int64)) % 2**16).astype("<u2")


def _entries(words: np.ndarray, count: int) -> np.ndarray:
    """int64: one of each word, or two where there are only half as many words (8 bits allocated)."""
    entries = words if len(words) >= count else words.view(np.uint8)
    if len(entries) < count:
        raise ValueError(f"a LUT of {count} entries has {len(entries)}")
    return entries[:count].astype(np.int64)


# === Numbers ===


def as_word(value: Any, is_signed: bool) -> int:
    """A value of VR `US or SS`, of which writers and readers choose the wrong one."""
    word = int(value) % 2**16
    return word - 2**16 if is_signed and word >= 2**15 else word


def _number(dataset: Any, keyword: str) -> Fraction | None:
    """The first value of a Decimal String, exactly; None where there is none, or no number of a usual size."""
    try:
        value = dataset.get(keyword)
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[0] if value else None
        text = "" if value is None else str(value).strip()
        number = Decimal(text[:MAX_TEXT])
    except (ValueError, ArithmeticError):
        return None
    # A fraction of 1e-99999999 has as many digits.
    is_usual = number.is_finite() and abs(number.adjusted()) <= MAX_EXPONENT
    return Fraction(number) if is_usual or not number else None
