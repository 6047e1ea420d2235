"""An independent reference: PS3.3 of the DICOM standard, pixel value by pixel value, in fractions.

It takes the words that a writer put into the file, never those that a decoder gave. The formulas are
those of C.7.6.3.1.2 (photometric interpretation), C.11.1.1 (Modality LUT), C.11.2.1 (VOI LUT and
window) and C.7.5.1.1.2 (padding) with y_min = 0 and y_max = 65535. The standard does not say how a file
without window or LUT is shown, nor how n bits become 16: `bone_age_tf.dicom.pixels` does, which also
drops a window or VOI LUT that makes all of the radiograph one grey.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from pydicom import Dataset

Y_MAX = 65535


def standard_grey(dataset: Dataset, words: np.ndarray) -> np.ndarray:
    """uint16 of the words of a monochrome image, as [height, width] of any integers."""
    bits, is_signed = dataset.BitsStored, dataset.PixelRepresentation == 1
    highest = dataset.get("HighBit", bits - 1)
    stored = {int(word): _stored(int(word), bits, highest, is_signed) for word in np.unique(words)}
    shown = _shown(dataset, {x for x in stored.values() if not _is_padding(dataset, x)})
    is_white_lowest = dataset.PhotometricInterpretation == "MONOCHROME1"
    is_inverse = dataset.get("PresentationLUTShape") == "INVERSE"
    answer = {}
    for word, x in stored.items():
        if _is_padding(dataset, x):
            answer[word] = 0
        else:
            y = shown[x]
            answer[word] = Y_MAX - y if is_white_lowest or is_inverse else y
    distinct, where = np.unique(words, return_inverse=True)
    return np.array([answer[int(word)] for word in distinct], np.uint16)[where.reshape(words.shape)]


def _stored(word: int, bits: int, highest: int, is_signed: bool) -> int:
    """PS3.5, 8.1.1: the bits from High Bit downwards; two's complement."""
    digits = format(word % 2**32, "032b")[::-1]  # the lowest first
    taken = digits[highest - bits + 1 : highest + 1]
    value = sum(2**place for place, digit in enumerate(taken) if digit == "1")
    return value - 2**bits if is_signed and taken[-1] == "1" else value


def _is_padding(dataset: Dataset, x: int) -> bool:
    if "PixelPaddingValue" not in dataset:
        return False
    one = dataset.PixelPaddingValue
    other = dataset.get("PixelPaddingRangeLimit", one)
    return min(one, other) <= x <= max(one, other)


def _shown(dataset: Dataset, used: set[int]) -> dict[int, int]:
    modality = _modality(dataset)
    outputs = {x: modality(x) for x in used}
    voi = _voi(dataset)
    if voi is not None:
        shown = {x: voi(output) for x, output in outputs.items()}
        if len(set(shown.values())) > 1:
            return shown
    return _whole_range(dataset, outputs)


def _modality(dataset: Dataset) -> Callable[[int], Fraction]:
    if dataset.get("ModalityLUTSequence"):
        entries, first, _ = _table(dataset.ModalityLUTSequence[0])
        return lambda x: Fraction(_entry(entries, x - first))
    m, b = (
        Fraction(str(dataset.get(keyword, default)))
        for keyword, default in (("RescaleSlope", "1"), ("RescaleIntercept", "0"))
    )
    return lambda x: m * x + b


def _voi(dataset: Dataset) -> Callable[[Fraction], int] | None:
    if dataset.get("VOILUTSequence"):
        entries, first, bits = _table(dataset.VOILUTSequence[0])
        return lambda x: _round(Fraction(_entry(entries, _round(x) - first) * Y_MAX, 2**bits - 1))
    if "WindowCenter" not in dataset:
        return None
    c, w = (
        Fraction(str(np.atleast_1d(dataset[key].value)[0]))
        for key in ("WindowCenter", "WindowWidth")
    )
    function = dataset.get("VOILUTFunction", "LINEAR")
    return lambda x: {"LINEAR": _linear, "LINEAR_EXACT": _exact, "SIGMOID": _sigmoid}[function](
        x, c, w
    )


def _linear(x: Fraction, c: Fraction, w: Fraction) -> int:
    """C.11.2.1.2.1."""
    half = Fraction(1, 2)
    if x <= c - half - (w - 1) / 2:
        return 0
    if x > c - half + (w - 1) / 2:
        return Y_MAX
    return _round(((x - (c - half)) / (w - 1) + half) * Y_MAX)


def _exact(x: Fraction, c: Fraction, w: Fraction) -> int:
    """C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0
    if x > c + w / 2:
        return Y_MAX
    return _round(((x - c) / w + Fraction(1, 2)) * Y_MAX)


def _sigmoid(x: Fraction, c: Fraction, w: Fraction) -> int:
    """C.11.2.1.3.1."""
    power = min(-4 * float((x - c) / w), 700.0)  # above it, y is 0 and `exp` overflows
    return math.floor(Y_MAX / (1 + math.exp(power)) + 0.5)


def _table(item: Dataset) -> tuple[list[int], int, int]:
    """Entries, first value mapped, bits; of 8-bit entries there are as many bytes as entries."""
    count, first, bits = item.LUTDescriptor
    count = count or 65536
    data = item.LUTData
    if not isinstance(data, bytes):
        data = b"".join(int(word).to_bytes(2, "little") for word in data)
    if len(data) < 2 * count:
        return list(data[:count]), first, bits
    return [int.from_bytes(data[2 * i : 2 * i + 2], "little") for i in range(count)], first, bits


def _entry(entries: list[int], index: Fraction | int) -> int:
    return entries[int(max(0, min(index, len(entries) - 1)))]


def _whole_range(dataset: Dataset, outputs: dict[int, Fraction]) -> dict[int, int]:
    """The rule of `bone_age_tf.dicom.pixels` for a file with neither window nor LUT."""
    if not outputs:
        return {}
    if dataset.get("ModalityLUTSequence"):
        levels = {x: int(output) for x, output in outputs.items()}
    elif Fraction(str(dataset.get("RescaleSlope", "1"))) < 0:
        whole = -1 if dataset.PixelRepresentation else 2**dataset.BitsStored - 1
        levels = {x: whole - x for x in outputs}
    else:
        levels = {x: x for x in outputs}
    low, high = min(levels.values()), max(levels.values())
    n = min(8, dataset.BitsStored)
    while 2**n <= high - low:
        n += 1
    start = 0 if low >= 0 and high < 2**n else low
    return {x: _round(Fraction((y - start) * Y_MAX, 2**n - 1)) for x, y in levels.items()}


def _round(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))
