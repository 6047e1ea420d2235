"""A radiograph as other devices would have processed and collimated it: the same hand, other grey values.

A picture is float32 [height, width], grey values from 0 to 1, bone bright. Every function returns a new one, of the same
size but for `bordered`. Devices equalise local contrast (CLAHE: Pizer et al. 1987), sharpen, and amplify small
differences at each scale (Vuylsteke and Schoeters 1994); a film has an S-shaped characteristic curve.
"""

from collections.abc import Callable

import cv2
import numpy as np

VERSION = 1
"""Raised whenever `random_processing` would give other pixels for the same numbers."""
COMMON_SIDE = 720
"""Longer side in pixels to which widths refer."""

Random = np.random.Generator


def clahe(picture: np.ndarray, clip: float, tiles: int = 8) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation in `tiles` x `tiles` tiles, in 8 bits; 1 < `clip`."""
    levels = cv2.createCLAHE(clip, (tiles, tiles)).apply(_to_bytes(picture))
    return levels.astype(np.float32) / 255


def equalised(picture: np.ndarray) -> np.ndarray:
    """Histogram equalisation of the whole picture, in 8 bits."""
    return cv2.equalizeHist(_to_bytes(picture)).astype(np.float32) / 255


def unsharp(picture: np.ndarray, amount: float, sigma: float) -> np.ndarray:
    """Unsharp mask: plus `amount` times the difference from a Gaussian blur of SD `sigma` pixels, for a longer side of
    `COMMON_SIDE` pixels."""
    smooth = cv2.GaussianBlur(picture, (0, 0), sigma * max(picture.shape) / COMMON_SIDE)
    return np.clip(picture + amount * (picture - smooth), 0, 1)


def multiscale(picture: np.ndarray, exponent: float) -> np.ndarray:
    """Each level of a Laplacian pyramid to the power of `exponent`, relative to its largest value: below 1, small
    differences grow. The result is stretched from its percentiles 0.5 and 99.5 to 0 and 1."""
    pyramid = [picture]
    while min(pyramid[-1].shape) > 16:
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    result = pyramid[-1]
    for finer in reversed(pyramid[:-1]):
        size = finer.shape[::-1]
        detail = finer - cv2.pyrUp(cv2.pyrDown(finer), dstsize=size)
        largest = max(float(np.abs(detail).max()), 1e-6)
        enhanced = np.sign(detail) * largest * (np.abs(detail) / largest) ** exponent
        result = cv2.pyrUp(result, dstsize=size) + enhanced
    low, high = np.percentile(result, (0.5, 99.5))
    return np.clip((result - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def film_curve(picture: np.ndarray, middle: float, slope: float) -> np.ndarray:
    """The characteristic curve of a film: steepest at `middle` of the range that the picture uses (percentiles 1 to 99.5).

    Soft tissue, which lies below, becomes dark: above 0.6, the fingers of some radiographs are hardly seen.
    """
    low, high = np.percentile(picture, (1, 99.5))
    share = np.clip((picture - low) / max(high - low, 1e-6), 0, 1)
    curve, ends = _logistic(share, middle, slope), _logistic(np.array([0, 1]), middle, slope)
    return ((curve - ends[0]) / (ends[1] - ends[0])).astype(np.float32)


def gamma(picture: np.ndarray, exponent: float) -> np.ndarray:
    """Every grey value to the power of `exponent`."""
    return picture**exponent


def bordered(picture: np.ndarray, share: float, grey: float) -> np.ndarray:
    """A border of one grey value around the picture, `share` of its longer side wide."""
    wide = max(1, round(share * max(picture.shape)))
    return cv2.copyMakeBorder(picture, *[wide] * 4, cv2.BORDER_CONSTANT, value=(grey,) * 4)


def collimated(picture: np.ndarray, share: float, grey: float) -> np.ndarray:
    """The shutters of a collimator inside the picture: the outer `share` of each side has one grey value."""
    rows, columns = (round(share * length) for length in picture.shape)
    shown = np.full_like(picture, grey)
    inner = slice(rows, picture.shape[0] - rows), slice(columns, picture.shape[1] - columns)
    shown[inner] = picture[inner]
    return shown


TRAINED: dict[str, Callable[[np.ndarray, Random], np.ndarray]] = {
    "clahe": lambda p, rng: clahe(p, float(rng.uniform(1, 5)), int(rng.integers(4, 13))),
    "equalised": lambda p, rng: _blend(p, equalised(p), rng.uniform(0.5, 1)),
    "unsharp": lambda p, rng: unsharp(p, float(rng.uniform(0.5, 2.5)), float(rng.uniform(2, 12))),
    "film_curve": lambda p, rng: film_curve(
        p, float(rng.uniform(0.3, 0.6)), float(rng.uniform(4, 8))
    ),
    "gamma": lambda p, rng: gamma(p, float(np.exp(rng.uniform(-0.7, 0.7)))),
}
"""Kinds of processing for training, with random strength. `multiscale` is left out on purpose: it is how a device
is tested whose processing no network has seen."""


def random_processing(picture: np.ndarray, rng: Random) -> np.ndarray:
    """One of `TRAINED`."""
    return TRAINED[str(rng.choice(list(TRAINED)))](picture, rng)


def _to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _logistic(share: np.ndarray, middle: float, slope: float) -> np.ndarray:
    return 1 / (1 + np.exp(-slope * (share - middle)))


def _blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    return (first + np.float32(share) * (second - first)).astype(np.float32)
