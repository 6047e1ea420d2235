"""Overlays on the radiograph: outline of the hand, key points, the frame."""

from collections.abc import Sequence

import cv2
import numpy as np

OUTLINE = (80, 220, 80)
POINT = (60, 60, 255)
FRAME = (230, 170, 60)
TEXT = (255, 255, 255)
REJECTED = (80, 80, 255)
"""Colours as OpenCV orders them: blue, green, red."""


def draw(
    radiograph: np.ndarray,
    mask: np.ndarray | None,
    points: np.ndarray | None,
    frame: np.ndarray | None,
    *,
    longest: int,
) -> np.ndarray:
    """uint8 [height, width] -> uint8 [h, w, 3], its longer side at most `longest` pixels.

    `mask` is uint8 [height, width], `points` [N, 2] and `frame` the corners [4, 2] of the prepared
    radiograph, both (x, y) in pixels of the radiograph; None is not drawn.
    """
    scale = min(1.0, longest / max(radiograph.shape))
    size = tuple(max(1, round(side * scale)) for side in radiograph.shape[::-1])
    grey = cv2.resize(radiograph, size, interpolation=cv2.INTER_AREA)
    low, high = np.percentile(grey, (0.5, 99.7))
    grey = np.clip((grey.astype(np.float32) - low) * 255 / max(high - low, 1), 0, 255)
    picture = cv2.cvtColor(grey.astype(np.uint8), cv2.COLOR_GRAY2BGR)
    thick = max(1, round(longest / 500))
    if mask is not None:
        small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        outlines, _ = cv2.findContours(
            (small > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, outlines, -1, OUTLINE, thick, cv2.LINE_AA)
    if frame is not None:
        corners = np.round((frame + 0.5) * scale - 0.5).astype(np.int32)
        cv2.polylines(picture, [corners], True, FRAME, thick, cv2.LINE_AA)
    for x, y in [] if points is None else (points + 0.5) * scale - 0.5:
        cv2.circle(picture, (round(float(x)), round(float(y))), 3 * thick, POINT, -1, cv2.LINE_AA)
    return picture


def label(picture: np.ndarray, text: str, colour: tuple[int, int, int] = TEXT) -> np.ndarray:
    """The picture below a line of text that is made to fit."""
    width = picture.shape[1]
    band = np.zeros((22, width, 3), np.uint8)
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    scale = 0.45 * min(1.0, (width - 8) / max(wide, 1))
    cv2.putText(band, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return np.vstack([band, picture])


def sheet(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures uint8 [h, w, 3] in rows, each in a cell of the largest one's size."""
    height = max(picture.shape[0] for picture in pictures) + 6
    width = max(picture.shape[1] for picture in pictures) + 6
    rows = -(-len(pictures) // columns)
    result = np.full((rows * height, min(columns, len(pictures)) * width, 3), 24, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height + 3, number % columns * width + 3
        result[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return result
