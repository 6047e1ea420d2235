"""The outline of the hand in the pixels of the file."""

import cv2
import numpy as np

TOLERANCE = 0.0015
"""Greatest distance of the polygon from the outline, as a share of the longer side of the prepared radiograph."""


def outline_of(prepared: np.ndarray, prepared_to_original: np.ndarray) -> np.ndarray:
    """Prepared radiograph uint8 [height, width, 1], background 0, and its matrix [2, 3] -> float [N, 2], x and y.

    The longest contour as a polygon, which is not closed, in pixels of the file.
    """
    hand = (prepared[..., 0] > 0).astype(np.uint8)
    contours, _ = cv2.findContours(hand, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(contours, key=cv2.contourArea)
    polygon = cv2.approxPolyDP(longest, TOLERANCE * max(hand.shape), closed=True)[:, 0]
    return polygon @ np.asarray(prepared_to_original, float)[:, :2].T + prepared_to_original[:, 2]


def mask_of(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The outline, float [N, 2], x and y -> bool [height, width], True inside."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask > 0
