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

from typing import Any

import numpy as np

from bone_age_tf.dicom.decoders import stored_values
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.transforms import (
    FULL_SCALE,
    Modality,
    as_word,
    by_voi,
    modality_of,
    to_16_bits,
)

ROWS = 16
"""At a time, which stay in the cache."""
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
    modality = modality_of(dataset, values)
    table = by_voi(dataset, modality)
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
    ends = [as_word(end, is_signed) for end in (padding, padding if limit is None else limit)]
    return (values >= min(ends)) & (values <= max(ends))


def _is_inverted(dataset: Any) -> bool:
    is_monochrome_1 = dataset.PhotometricInterpretation == "MONOCHROME1"
    return is_monochrome_1 or dataset.get("PresentationLUTShape") == "INVERSE"


def _is_flat(table: np.ndarray, stored: np.ndarray, is_padding: np.ndarray) -> bool:
    """Whether it gives all of the radiograph the same grey."""
    ends = table[[stored.min(), stored.max()]]
    if ends[0] != ends[1] and not is_padding.any():
        return False  # soon, for nearly all
    return len(np.unique(table[_used(stored, is_padding)])) <= 1


def _ends(modality: Modality, stored: np.ndarray, is_padding: np.ndarray) -> tuple[int, int]:
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


def _full_range(modality: Modality, low: int, high: int) -> np.ndarray:
    """For the graph's own stretch: see above."""
    values = modality.values
    if modality.slope == 0:
        return np.zeros(len(values), np.int64)
    if modality.slope < 0:
        mirror = int(values.max()) + int(values.min())
        values, low, high = mirror - values, mirror - high, mirror - low
    bits = max((high - low).bit_length(), min(8, (len(values) - 1).bit_length()))
    base = 0 if low >= 0 and high < 2**bits else low
    return to_16_bits(np.clip(values - base, 0, 2**bits - 1), bits)
