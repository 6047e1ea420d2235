"""Named data sets whose stored values are known, for the tests of their grey."""

from collections.abc import Callable
from typing import Any

import numpy as np
from encoded_files import HEIGHT, WIDTH, data_set, drawn_levels, lut
from pydicom import Dataset, Sequence

Case = tuple[np.ndarray, Dataset]
CASES: dict[str, Callable[[], Case]] = {}
"""Name -> the words in the file, and the data set, in memory."""


def case(
    bits: int, *, change: Callable[[np.ndarray], np.ndarray] | None = None, **more: Any
) -> Callable[[], Case]:
    def make() -> Case:
        levels = drawn_levels(bits)
        words = levels if change is None else change(levels)
        attributes = {key: value() if callable(value) else value for key, value in more.items()}
        return words, data_set(words, bits, **attributes)

    return make


def window(function: str, centre: Any = 2000, width: Any = 1501, **more: Any) -> dict[str, Any]:
    return {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function, **more}


def sequence(*arguments: Any, **named: Any) -> Callable[[], Sequence]:
    return lambda: Sequence([lut(*arguments, **named)])


def gamma(count: int, bits: int) -> np.ndarray:
    return ((np.arange(count) / (count - 1)) ** 1.7 * (2**bits - 1)).astype(np.int64)


for _bits in (8, 10, 12, 14, 16):
    for _number in (1, 2):
        _name = f"{_bits} bits, MONOCHROME{_number}"
        CASES[_name] = case(_bits, PhotometricInterpretation=f"MONOCHROME{_number}")
CASES |= {
    "8 bits in 8": case(8, allocated=8),
    "12 bits in 32": case(12, allocated=32),
    "6 bits": case(6),
    "signed": case(12, change=lambda levels: levels - 2048, PixelRepresentation=1),
    "signed, 16 bits": case(16, change=lambda levels: levels - 32768, PixelRepresentation=1),
    "signed, MONOCHROME1": case(
        12,
        change=lambda levels: levels - 2048,
        PixelRepresentation=1,
        PhotometricInterpretation="MONOCHROME1",
    ),
    "few levels far from 0": case(16, change=lambda levels: levels // 300 + 32700),
    "12 bits in 16 stored": case(16, change=lambda levels: levels >> 4),
    "rescale": case(12, RescaleSlope="2", RescaleIntercept="-1024"),
    "rescale, falling": case(12, RescaleSlope="-1", RescaleIntercept="4095"),
    "rescale, falling, MONOCHROME1": case(
        12, RescaleSlope="-0.5", RescaleIntercept="7", PhotometricInterpretation="MONOCHROME1"
    ),
    "rescale, fraction, window": case(
        12,
        RescaleSlope="0.123456789012",
        RescaleIntercept="-10.25",
        **window("LINEAR", "200.5", "301.25"),
    ),
    "rescale, falling, window": case(
        12, RescaleSlope="-1.5", RescaleIntercept="4095", **window("LINEAR", 1000, 4000)
    ),
    "signed, rescale, window": case(
        12,
        change=lambda levels: levels - 2048,
        PixelRepresentation=1,
        RescaleSlope="2",
        RescaleIntercept="100",
        **window("LINEAR", -300, 2000),
    ),
    "window, no function": case(12, WindowCenter=2000, WindowWidth=1501),
    "window LINEAR": case(12, **window("LINEAR")),
    "window LINEAR of width 1": case(12, **window("LINEAR", 2000, 1)),
    "window LINEAR_EXACT": case(12, **window("LINEAR_EXACT")),
    "window LINEAR_EXACT below 1": case(12, **window("LINEAR_EXACT", "2000.25", "0.5")),
    "window SIGMOID": case(12, **window("SIGMOID")),
    "window SIGMOID, narrow": case(12, **window("SIGMOID", 2000, 1)),
    "window, 8 bits": case(8, **window("LINEAR", 128, 256)),
    "window, 16 bits": case(16, **window("LINEAR", "30000.5", "40000")),
    "window, first of three": case(12, **window("LINEAR", [1500, 2000, 9], [700, 1501, 1])),
    "window, MONOCHROME1": case(12, PhotometricInterpretation="MONOCHROME1", **window("LINEAR")),
    "window, INVERSE": case(12, PresentationLUTShape="INVERSE", **window("LINEAR_EXACT")),
    "window, MONOCHROME1, INVERSE": case(
        12,
        PhotometricInterpretation="MONOCHROME1",
        PresentationLUTShape="INVERSE",
        **window("SIGMOID"),
    ),
    "INVERSE": case(12, PresentationLUTShape="INVERSE"),
    "IDENTITY": case(12, PresentationLUTShape="IDENTITY"),
    "MONOCHROME1, INVERSE": case(
        12, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"
    ),
    "VOI LUT, 16-bit entries": case(12, VOILUTSequence=sequence(0, gamma(4096, 16), 16)),
    "VOI LUT, 12-bit entries": case(12, VOILUTSequence=sequence(0, gamma(4096, 12), 12)),
    "VOI LUT, 8-bit entries": case(12, VOILUTSequence=sequence(0, gamma(4096, 8), 8)),
    "VOI LUT, 8-bit entries, two a word": case(
        12, VOILUTSequence=sequence(0, gamma(4096, 8), 8, packed=True)
    ),
    "VOI LUT, 8-bit entries, two a word, odd": case(
        12, VOILUTSequence=sequence(0, gamma(4095, 8), 8, packed=True)
    ),
    "VOI LUT, 65536 entries": case(16, VOILUTSequence=sequence(0, gamma(65536, 16), 16)),
    "VOI LUT, part of the range": case(12, VOILUTSequence=sequence(1500, gamma(1000, 14), 14)),
    "VOI LUT, signed first value": case(
        12,
        change=lambda levels: levels - 2048,
        PixelRepresentation=1,
        VOILUTSequence=sequence(-1000, gamma(3000, 10), 10, vr="SS"),
    ),
    "VOI LUT, falling": case(12, VOILUTSequence=sequence(0, gamma(4096, 16)[::-1], 16)),
    "VOI LUT before window": case(
        12, VOILUTSequence=sequence(0, gamma(4096, 16), 16), **window("LINEAR")
    ),
    "VOI LUT, first of two": case(
        12,
        VOILUTSequence=lambda: Sequence([lut(0, gamma(4096, 16), 16), lut(0, [0, 1], 16)]),
    ),
    "VOI LUT, MONOCHROME1": case(
        12,
        PhotometricInterpretation="MONOCHROME1",
        VOILUTSequence=sequence(0, gamma(4096, 8), 8),
    ),
    "rescale, fraction, VOI LUT": case(
        12,
        RescaleSlope="0.37",
        RescaleIntercept="-200.5",
        VOILUTSequence=sequence(-100, gamma(1200, 12), 12, vr="SS"),
    ),
    "Modality LUT": case(12, ModalityLUTSequence=sequence(0, gamma(4096, 16), 16)),
    "Modality LUT, falling": case(12, ModalityLUTSequence=sequence(0, gamma(4096, 10)[::-1], 10)),
    "Modality LUT, window": case(
        12,
        ModalityLUTSequence=sequence(100, gamma(3000, 16), 16),
        **window("LINEAR", 20000, 30000),
    ),
    "Modality LUT, VOI LUT": case(
        12,
        ModalityLUTSequence=sequence(0, gamma(4096, 10), 10),
        VOILUTSequence=sequence(0, gamma(1024, 8), 8, packed=True),
    ),
    "padding": case(12, change=lambda levels: _framed(levels, 4095), PixelPaddingValue=4095),
    "padding, MONOCHROME1": case(
        12,
        change=lambda levels: _framed(levels, 0),
        PixelPaddingValue=0,
        PhotometricInterpretation="MONOCHROME1",
    ),
    "padding, window": case(
        12, change=lambda levels: _framed(levels, 4095), PixelPaddingValue=4095, **window("LINEAR")
    ),
    "padding, window, MONOCHROME1": case(
        12,
        change=lambda levels: _framed(levels, 0),
        PixelPaddingValue=0,
        PhotometricInterpretation="MONOCHROME1",
        **window("LINEAR"),
    ),
    "padding to a limit": case(
        12,
        change=lambda levels: _framed(levels, 4000),
        PixelPaddingValue=4095,
        PixelPaddingRangeLimit=3990,
    ),
    "padding, signed": case(
        16,
        change=lambda levels: _framed((levels >> 4) - 1000, -2000),
        PixelPaddingValue=-2000,
        PixelRepresentation=1,
    ),
    "padding, signed, Modality LUT": case(
        12,
        change=lambda levels: _framed(levels - 2048, -2048),
        PixelPaddingValue=-2048,
        PixelRepresentation=1,
        ModalityLUTSequence=sequence(-2048, gamma(4096, 12), 12, vr="SS"),
    ),
    "all of it padding": case(12, change=lambda levels: levels * 0 + 7, PixelPaddingValue=7),
    "bits above those stored": case(12, change=lambda levels: levels | _overlay() << 12),
    "bits above those stored, signed": case(
        12, change=lambda levels: (levels - 2048) % 4096 | _overlay() << 13, PixelRepresentation=1
    ),
    "High Bit 15": case(12, change=lambda levels: levels << 4 | _overlay(), HighBit=15),
    "High Bit 14, signed": case(
        12,
        change=lambda levels: (levels - 2048) % 4096 << 3 | _overlay() << 15,
        HighBit=14,
        PixelRepresentation=1,
    ),
}


def _framed(levels: np.ndarray, value: int) -> np.ndarray:
    framed = np.where(levels == value, value - 1 if value > 0 else value + 1, levels)
    framed[:20], framed[:, -15:] = value, value
    return framed


def _overlay() -> np.ndarray:
    """A letter's bits, as overlays in unused bits of old files."""
    bits = np.zeros((HEIGHT, WIDTH), np.int64)
    bits[25:45, 10:20] = 1
    return bits
