"""A contact sheet of phantoms: girls above, boys below, older to the right.

The picture of `docs/phantoms.md` is `cv2.imwrite("docs/images/phantoms.jpg", sheet())`.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom.draw import draw

AGES_YEARS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 18)


def sheet(
    ages_years: Sequence[int] = AGES_YEARS, *, size: int = 320, style: str = "clean", seed: int = 0
) -> np.ndarray:
    """uint8 [2 * size, width]: one child for each age and sex, its age written above."""
    return np.vstack(
        [np.hstack([_tile(age, sex, size, style, seed) for age in ages_years]) for sex in "FM"]
    )


def _tile(age: int, sex: str, size: int, style: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, age, ord(sex)])
    radiograph, _ = draw(12 * age, sex, rng, size=size, style=style)
    tile = np.zeros((size, round(0.8 * size)), np.uint8)
    part = radiograph[:, : tile.shape[1]]
    tile[: part.shape[0], : part.shape[1]] = part
    text, scale = f"{age} y, {sex}", size / 640
    return cv2.putText(tile, text, (round(12 * scale), round(32 * scale)), 0, scale, (255,))
