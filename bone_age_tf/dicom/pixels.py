"""Stored values of a radiograph -> 16-bit grey, bone bright, by PS3.3 of the DICOM standard.

1. Grey: stored values -> Modality LUT or Rescale Slope and Intercept (C.11.1) -> VOI LUT, or else
   window (C.11.2), the first of several -> 0 to 65535 -> one inversion, `65535 - v`, where the
   photometric interpretation is MONOCHROME1 or the Presentation LUT Shape is INVERSE -> padding
   (Pixel Padding Value, to Pixel Padding Range Limit) becomes 0, the background.
2. Colour becomes luminance by the weights by which the graph reads a PNG in colour, times 257.

**n bits become 16** by `round(v * 65535 / (2^n - 1))`: 8 bits are multiplied by 257, as in the graph.
A window goes to 0 to 65535 at once. The entries of a VOI LUT have the n of its descriptor.

**Neither window nor LUT**: the graph stretches the grey levels between percentiles, as those of a PNG,
so that only their order and distances count. Here they get the smallest n of at least 8 that the
values need, without padding; a constant is subtracted where they do not start at 0 with that. So
the same radiograph at other stored values has the same contrast.

Everything is a table of 2^Bits Stored entries in exact rational numbers, rounded half up; only SIGMOID
is computed in float64. A fractional index into a VOI LUT is rounded half up. A window that the
standard does not allow (no width, a width below 1 for LINEAR, an unknown function) is no window; nor
is a window or VOI LUT that gives all of the radiograph the same grey: some writers shift the pixels
and forget it.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from bone_age_tf.dicom.decoders import stored_values, transfer_syntax
from bone_age_tf.dicom.fault import Fault

FULL_SCALE = 65535
ROWS = 16
"""At a time, which stay in the cache."""
HALF = Fraction(1, 2)
WEIGHTS = np.array([9797, 19234, 3737], np.uint32)
"""Of red, green and blue, of 32768, cut off: how libpng computes grey for `tf.io.decode_png(channels=1)`."""


def grey(dataset: Any) -> np.ndarray | Fault:
    """uint16 [height, width] of the first frame of a data set with its pixels.

    Raises whatever pydicom or a decoder raise for a damaged file.
    """
    stored = stored_values(dataset)
    if isinstance(stored, Fault):
        return stored
    return _luminance(stored) if stored.ndim == 3 else _grey(dataset, stored)


def _luminance(rgb: np.ndarray) -> np.ndarray:
    found = np.empty(rgb.shape[:2], np.uint16)
    for row in range(0, len(rgb), ROWS):
        weighted = rgb[row : row + ROWS].astype(np.uint32) @ WEIGHTS
        found[row : row + ROWS] = (weighted >> 15) * 257
    return found


def _grey(dataset: Any, stored: np.ndarray) -> np.ndarray:
    values = _all_values(dataset)
    is_padding = _padding(dataset, values)
    modality = _modality(dataset, values)
    table = _by_voi(dataset, modality)
    if table is None or _is_flat(table, stored, is_padding):
        table = _full_range(modality, *_ends(modality, stored, is_padding))
    if _is_inverted(dataset):
        table = FULL_SCALE - table
    table[is_padding] = 0
    return _look_up(table.astype(np.uint16), stored)


def _look_up(table: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Negative values count from the end of the table."""
    found = np.empty(stored.shape, table.dtype)
    for row in range(0, len(stored), ROWS):
        block = slice(row, row + ROWS)
        np.take(table, stored[block], out=found[block], mode="wrap")
    return found


def _all_values(dataset: Any) -> np.ndarray:
    """int64 [2^Bits Stored]: the values that a pixel can have; the negative ones last."""
    bits = int(dataset.BitsStored)
    values = np.arange(2**bits)
    if dataset.PixelRepresentation:
        values[2 ** (bits - 1) :] -= 2**bits
    return values


def _padding(dataset: Any, values: np.ndarray) -> np.ndarray:
    """bool, as `values`: not part of the radiograph (C.7.5.1.1.2)."""
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return np.zeros(len(values), bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    is_signed = bool(dataset.PixelRepresentation)
    ends = [_word(end, is_signed) for end in (padding, padding if limit is None else limit)]
    return (values >= min(ends)) & (values <= max(ends))


def _word(value: Any, is_signed: bool) -> int:
    """A value of VR `US or SS`, of which writers and readers choose the wrong one."""
    word = int(value) % 2**16
    return word - 2**16 if is_signed and word >= 2**15 else word


def _is_inverted(dataset: Any) -> bool:
    is_monochrome_1 = dataset.PhotometricInterpretation == "MONOCHROME1"
    return is_monochrome_1 or dataset.get("PresentationLUTShape") == "INVERSE"


# === Modality ===


class _Modality(NamedTuple):
    """What the stored values mean: `values * slope + intercept`."""

    values: np.ndarray
    slope: Fraction = Fraction(1)
    intercept: Fraction = Fraction(0)
    is_lut: bool = False

    @property
    def has_negative(self) -> bool:
        ends = (int(self.values.min()), int(self.values.max()))
        return min(end * self.slope + self.intercept for end in ends) < 0


def _modality(dataset: Any, values: np.ndarray) -> _Modality:
    lut = _first_lut(dataset, "ModalityLUTSequence", bool(dataset.PixelRepresentation))
    if lut is not None:
        return _Modality(lut.at(values), is_lut=True)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return _Modality(
        values,
        Fraction(1) if slope is None else slope,
        Fraction(0) if intercept is None else intercept,
    )


# === VOI ===


def _by_voi(dataset: Any, modality: _Modality) -> np.ndarray | None:
    """int64 from 0 to 65535 of each value; None where there is neither LUT nor window."""
    lut = _first_lut(dataset, "VOILUTSequence", modality.has_negative)
    if lut is not None:
        entries = lut.at(_floor(modality, Fraction(1), HALF))
        return _to_16_bits(entries, lut.bits)
    window = _first_window(dataset)
    return None if window is None else window(modality)


def _is_flat(table: np.ndarray, stored: np.ndarray, is_padding: np.ndarray) -> bool:
    """Whether it gives all of the radiograph the same grey."""
    ends = table[[stored.min(), stored.max()]]
    if ends[0] != ends[1] and not is_padding.any():
        return False  # soon, for nearly all
    return len(np.unique(table[_used(stored, is_padding)])) <= 1


def _ends(modality: _Modality, stored: np.ndarray, is_padding: np.ndarray) -> tuple[int, int]:
    """The smallest and the largest of the modality's values in the radiograph, without padding."""
    if modality.is_lut or is_padding.any():
        values = modality.values[_used(stored, is_padding)]
    else:  # the same, but sooner: the values rise
        values = modality.values[[stored.min(), stored.max()]]
    return (int(values.min()), int(values.max())) if len(values) else (0, 0)


def _used(stored: np.ndarray, is_padding: np.ndarray) -> np.ndarray:
    """bool, as `is_padding`: the stored values that the radiograph has."""
    used = np.zeros(len(is_padding), bool)
    used[stored] = True  # a negative value counts from the end, where the table has it
    return used & ~is_padding


def _full_range(modality: _Modality, low: int, high: int) -> np.ndarray:
    """For the graph's own stretch: see above."""
    values = modality.values
    if modality.slope == 0:
        return np.zeros(len(values), np.int64)
    if modality.slope < 0:
        mirror = int(values.max()) + int(values.min())
        values, low, high = mirror - values, mirror - high, mirror - low
    bits = max((high - low).bit_length(), min(8, (len(values) - 1).bit_length()))
    base = 0 if low >= 0 and high < 2**bits else low
    return _to_16_bits(np.clip(values - base, 0, 2**bits - 1), bits)


def _to_16_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Rounded; never half way, for 2^bits - 1 is odd."""
    return (values.astype(np.int64) * (2 * FULL_SCALE) + (2**bits - 1)) // (2 * (2**bits - 1))


def _floor(modality: _Modality, factor: Fraction, summand: Fraction) -> np.ndarray:
    """int64: floor of the modality's output times a factor plus a summand, exact, within 2^40."""
    slope = modality.slope * factor
    offset = modality.intercept * factor + summand
    divisor = math.lcm(slope.denominator, offset.denominator)
    multiplier, addend = int(slope * divisor), int(offset * divisor)
    largest = abs(multiplier) * 2**16 + abs(addend) + divisor
    numbers = modality.values.astype(np.int64 if largest < 2**62 else object)
    return np.clip((numbers * multiplier + addend) // divisor, -(2**40), 2**40).astype(np.int64)


# === Window ===


class _Window(NamedTuple):
    centre: Fraction
    width: Fraction
    function: str

    def __call__(self, modality: _Modality) -> np.ndarray:
        if self.function == "SIGMOID":
            return self._sigmoid(modality)
        is_exact = self.function == "LINEAR_EXACT"
        span = self.width if is_exact else self.width - 1
        start = self.centre - span / 2 - (0 if is_exact else HALF)
        if span == 0:
            return (_floor(modality, Fraction(-1), start) < 0) * FULL_SCALE
        factor = FULL_SCALE / span
        return np.clip(_floor(modality, factor, HALF - start * factor), 0, FULL_SCALE)

    def _sigmoid(self, modality: _Modality) -> np.ndarray:
        """C.11.2.1.3.1."""
        output = modality.values * float(modality.slope) + float(modality.intercept)
        exponent = -4 * (output - float(self.centre)) / float(self.width)
        shown = FULL_SCALE / (1 + np.exp(np.clip(exponent, -700, 700)))
        return np.floor(shown + 0.5).astype(np.int64)


_SMALLEST_WIDTH = {"LINEAR": Fraction(1), "LINEAR_EXACT": None, "SIGMOID": None}


def _first_window(dataset: Any) -> _Window | None:
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip()
    if centre is None or width is None or function not in _SMALLEST_WIDTH:
        return None
    smallest = _SMALLEST_WIDTH[function]
    is_allowed = width > 0 if smallest is None else width >= smallest
    return _Window(centre, width, function) if is_allowed else None


def _number(dataset: Any, keyword: str) -> Fraction | None:
    """The first value of a Decimal String, exactly; None where there is none."""
    value = dataset.get(keyword)
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    if value is None or not math.isfinite(float(value)):
        return None
    return Fraction(str(value).strip())


# === LUT ===


class _Lut(NamedTuple):
    """Of Modality LUT Sequence or VOI LUT Sequence."""

    first: int
    """The value that the first entry is for."""
    entries: np.ndarray
    bits: int

    def at(self, values: np.ndarray) -> np.ndarray:
        """int64; values before the first take the first entry, those after the last the last."""
        return self.entries[np.clip(values - self.first, 0, len(self.entries) - 1)]


def _first_lut(dataset: Any, keyword: str, is_signed: bool) -> _Lut | None:
    """Raises ValueError where it has fewer entries than its descriptor says."""
    sequence = dataset.get(keyword)
    if not sequence or sequence[0].get("LUTData") is None:
        return None
    item = sequence[0]
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count % 2**16 or 2**16
    entries = _entries(_words(item.LUTData, dataset), count)
    bits = min(max(bits, int(entries.max()).bit_length()), 16)  # writers say fewer than they use
    return _Lut(_word(first, is_signed) if first >= 0 else first, entries, bits)


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
