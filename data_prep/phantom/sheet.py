"""Contact sheets of phantoms.

The pictures of `docs/phantoms.md`, each by `cv2.imwrite("docs/images/NAME.jpg", ...)`: `phantoms` is `sheet()`,
`phantoms_infants` is `sheet(range(5), style="varied", seed=11)`, `phantoms_out_of_plane` is `turned_sheet()`.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom.draw import draw

AGES_YEARS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 18)


def sheet(
    ages_years: Sequence[int] = AGES_YEARS, *, size: int = 320, style: str = "clean", seed: int = 0
) -> np.ndarray:
    """uint8 [2 * size, width]: girls above, boys below, one for each age, which is written above."""
    return np.vstack(
        [np.hstack([_tile(age, sex, size, style, seed) for age in ages_years]) for sex in "FM"]
    )


def turned_sheet(
    degrees: Sequence[float] = (0, 20, 40, 60, 90), *, size: int = 320, seed: int = 0
) -> np.ndarray:
    """uint8 [size, width]: one child of ten years, turned out of the plane by an angle that is written above."""
    tiles = []
    for angle in degrees:
        rng = np.random.default_rng(seed)
        radiograph, _ = draw(120, "F", rng, size=size, out_of_plane_degrees=angle)
        tiles.append(_captioned(radiograph, f"{angle:g} degrees", size))
    return np.hstack(tiles)


def _tile(age: int, sex: str, size: int, style: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, age, ord(sex)])
    radiograph, _ = draw(12 * age, sex, rng, size=size, style=style)
    return _captioned(radiograph, f"{age} y, {sex}", size)


def _captioned(radiograph: np.ndarray, text: str, size: int) -> np.ndarray:
    tile = np.zeros((size, round(0.8 * size)), np.uint8)
    if radiograph.shape[1] > tile.shape[1]:
        smaller = tile.shape[1] / radiograph.shape[1]
        radiograph = cv2.resize(
            radiograph, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA
        )
    tile[: radiograph.shape[0], : radiograph.shape[1]] = radiograph
    scale = size / 640
    return cv2.putText(tile, text, (round(12 * scale), round(32 * scale)), 0, scale, (255,))
