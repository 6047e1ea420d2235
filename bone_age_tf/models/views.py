"""The views of a prepared radiograph for test-time augmentation, as transforms; without TensorFlow."""

import math
from collections.abc import Sequence

import numpy as np

View = tuple[float, float, float, float, bool]
"""Rotation in degrees, zoom, shift to the right and down as shares of the frame, mirrored."""

_IDENTITY: View = (0.0, 1.0, 0.0, 0.0, False)
_WARPS: tuple[View, ...] = (
    _IDENTITY,
    (4.0, 1.03, 0.01, 0.01, False),
    (-4.0, 1.03, -0.01, -0.01, False),
    (4.0, 0.97, -0.01, 0.01, False),
    (-4.0, 0.97, 0.01, -0.01, False),
)


def _mirrored(views: Sequence[View]) -> tuple[View, ...]:
    return tuple((*view[:4], True) for view in views)


VIEWS: dict[str, tuple[View, ...]] = {
    "none": (_IDENTITY,),
    "mirror": (_IDENTITY, *_mirrored([_IDENTITY])),
    "warps": _WARPS,
    "warps_mirror": (*_WARPS, *_mirrored(_WARPS)),
}
"""By name; the first of each is the unchanged radiograph."""


def is_mirrored(name: str) -> bool:
    """Whether mirrored radiographs are among the views."""
    return any(view[4] for view in VIEWS[name])


def transforms_of(views: Sequence[View], frame: tuple[int, int]) -> np.ndarray:
    """Pixel of the view -> pixel of the radiograph, float32 [views, 8], about the frame's centre."""
    height, width = frame
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    rows = []
    for degrees, zoom, right, down, mirrored in views:
        cos, sin = (f(math.radians(degrees)) / zoom for f in (math.cos, math.sin))
        flip = -1.0 if mirrored else 1.0
        x, y = flip * centre_x + right * width, centre_y + down * height
        to_x = [cos * flip, -sin, centre_x - cos * x + sin * y]
        to_y = [sin * flip, cos, centre_y - sin * x - cos * y]
        rows.append([*to_x, *to_y, 0, 0])
    return np.array(rows, np.float32)
