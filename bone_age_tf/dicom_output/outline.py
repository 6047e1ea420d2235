"""The outline of what the model received, in the pixels of the file."""

import cv2
import numpy as np

TOLERANCE = 0.0015
"""Greatest distance of the polygon from the outline, as a share of the longer side of the prepared radiograph."""
_FINER = 4
"""The outline runs between pixels of the prepared radiograph, not along their centres, and each may be several of the file."""
_SMOOTHING = 1.5
"""Standard deviation in pixels of the prepared radiograph: without it, an oblique edge is a staircase."""
_SUBPIXEL_BITS = 4


def outline_of(prepared: np.ndarray, prepared_to_original: np.ndarray) -> np.ndarray:
    """Registered radiograph uint8 [height, width, 1], background 0, and its matrix [2, 3] -> float [N, 2], x and y.

    The hand, as far as it is in the frame: its longest contour as a polygon, which is not closed, in pixels of the file.
    """
    hand = (prepared[..., 0] > 0).astype(np.float32)
    smooth = cv2.GaussianBlur(hand, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REPLICATE)
    fine = cv2.resize(smooth, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_LINEAR) > 0.5
    contours, _ = cv2.findContours(fine.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(contours, key=cv2.contourArea)
    tolerance = TOLERANCE * max(fine.shape)
    polygon = (cv2.approxPolyDP(longest, tolerance, closed=True)[:, 0] + 0.5) / _FINER - 0.5
    return polygon @ np.asarray(prepared_to_original, float)[:, :2].T + prepared_to_original[:, 2]


def border_of(rows: int, columns: int) -> np.ndarray:
    """The outline of the whole radiograph, float [4, 2]: that of a model whose radiographs are not registered."""
    left, top, right, bottom = -0.5, -0.5, columns - 0.5, rows - 0.5
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def mask_of(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The outline, float [N, 2], x and y -> bool [height, width], True inside."""
    mask = np.zeros(shape, np.uint8)
    points = np.round(outline * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, shift=_SUBPIXEL_BITS)
    return mask > 0
