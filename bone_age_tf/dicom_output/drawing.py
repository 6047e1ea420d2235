"""The result drawn on its radiograph: the outline of the hand, and below the bone age in words.

It names no patient and no date, so that the text identifies nobody.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bone_age_tf.dicom_output.instance import GREEN
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.dicom_output.wording import Wording, wording_of

WIDTH = 1200
"""Of the picture. The text can be read where a viewer shows half of the pixels."""
HEIGHT = 1080
"""Of the radiograph at most: with the text below it is about 1500."""
MARGIN = 36
LABELS = 380
"""Width of the column of labels."""

WHITE, GREY = (242, 242, 242), (168, 174, 180)
AMBER, RED, BLACK, DARK_GREY = (255, 190, 70), (255, 125, 110), (0, 0, 0), (70, 74, 78)
"""Red, green, blue."""

_TALLEST = 2400
"""Of the text, more than with all warnings."""
_SUBPIXEL_BITS = 4
_PERCENTILES = (0.5, 99.7)
"""Black and white of the radiograph, as in the HTML report."""


class _Style(NamedTuple):
    size: int
    colour: tuple[int, int, int]
    is_bold: bool = False


_HEADLINE = _Style(50, WHITE, is_bold=True)
_HEADLINE_REJECTED = _Style(50, RED, is_bold=True)
_MONTHS = _Style(30, WHITE)
_VALUE, _LABEL, _WARNING = _Style(28, WHITE), _Style(28, GREY), _Style(28, AMBER)
_NOTE = _Style(22, GREY)


def draw(result: Result) -> np.ndarray | None:
    """uint8 RGB [height, 1200, 3]; None where the radiograph cannot be decoded."""
    radiograph = _radiograph(result)
    if radiograph is None:
        return None
    side = np.zeros((radiograph.shape[0], WIDTH, 3), np.uint8)
    left = (WIDTH - radiograph.shape[1]) // 2
    side[:, left : left + radiograph.shape[1]] = radiograph
    headline = _HEADLINE_REJECTED if result.is_rejected else _HEADLINE
    return np.vstack([side, _Band().drawn(wording_of(result), headline)])


# === Radiograph ===


def _radiograph(result: Result) -> np.ndarray | None:
    """uint8 RGB, as large as fits, with the outline."""
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    pixels = result.png and cv2.imdecode(np.frombuffer(result.png, np.uint8), flags)
    if not isinstance(pixels, np.ndarray):
        return None
    scale = min(WIDTH / pixels.shape[1], HEIGHT / pixels.shape[0])
    size = [max(1, round(length * scale)) for length in pixels.shape[::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = _stretched(cv2.resize(pixels, size, interpolation=method))
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    if result.outline is not None:
        points = (result.outline + 0.5) * scale - 0.5  # a pixel's centre, not its corner
        fixed = np.round(points * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.polylines(picture, [fixed], True, GREEN, 2, cv2.LINE_AA, _SUBPIXEL_BITS)
    return picture


def _stretched(pixels: np.ndarray) -> np.ndarray:
    """uint8."""
    low, high = np.percentile(pixels, _PERCENTILES)
    full_scale = np.iinfo(pixels.dtype).max
    levels = (pixels - low) * (255 / max(high - low, full_scale / 1000))
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


# === Text ===


class _Band:
    """The text below the radiograph, from top to bottom."""

    def __init__(self) -> None:
        self._image = Image.new("RGB", (WIDTH, _TALLEST), BLACK)
        self._canvas = ImageDraw.Draw(self._image)
        self._top = 28

    def drawn(self, wording: Wording, headline: _Style) -> np.ndarray:
        """uint8 RGB [height, 1200, 3], as high as its text."""
        self._canvas.line([(0, 1), (WIDTH, 1)], fill=DARK_GREY, width=2)
        end = MARGIN + 28 + _font(headline).getlength(wording.headline)
        self._canvas.text((end, self._top + 17), wording.months, WHITE, _font(_MONTHS))
        self._text(wording.headline, headline, gap=16)
        for label, value in wording.rows:
            self._row(label, value)
        self._top += 14
        for warning in wording.warnings:
            self._text(warning, _WARNING)
        self._top += 14 if wording.warnings else 0
        for note in wording.notes:
            self._text(note, _NOTE)
        return np.asarray(self._image)[: self._top + 24]

    def _row(self, label: str, value: str) -> None:
        top = self._top
        self._text(label, _LABEL)
        bottom, self._top = self._top, top
        self._text(value, _VALUE, left=MARGIN + LABELS)
        self._top = max(self._top, bottom)

    def _text(self, text: str, style: _Style, *, left: int = MARGIN, gap: int = 6) -> None:
        font = _font(style)
        for line in _wrapped(text, font, WIDTH - MARGIN - left):
            self._canvas.text((left, self._top), line, font=font, fill=style.colour)
            self._top += round(style.size * 1.22)
        self._top += gap


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> Sequence[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@functools.cache
def _font(style: _Style) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with Matplotlib: the same letters on every machine."""
    name = "DejaVuSans-Bold.ttf" if style.is_bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), style.size, layout_engine=ImageFont.Layout.BASIC)
