"""Stored values of a radiograph -> 16-bit grey, bone bright."""

from typing import Any

import numpy as np


def grey(dataset: Any, stored: np.ndarray) -> np.ndarray:
    """uint16 [height, width] of the stored values [height, width] of one frame."""
    values = stored.astype(np.float64)
    low, high = values.min(), values.max()
    shown = (values - low) / max(high - low, 1) * 65535
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 65535 - shown
    return shown.round().astype(np.uint16)
