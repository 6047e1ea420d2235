"""Crops of a hand: tight ones that lose no bone, and cuts that lose one.

Lengths are hand units (capitate - tip of the middle finger). Points that are not known are NaN.
"""

import dataclasses

import numpy as np

from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.training.localizer.examples import Example

TIGHT_SHARE = 0.65
"""Share of the sides of a tight crop that lie at the hand; the others are the picture's own."""
TIGHTEST, LOOSEST = -0.012, 0.05
"""From the outline of the hand to the edge of a tight crop: below 0, soft tissue is lost."""
FOLLOWED = 0.3
"""How far from a lost key point towards the capitate its bone is followed to the edge."""
BONE_MARGIN = 0.015
"""From the tip of a bone to the edge of a tight crop, at least."""
WRIST_MARGIN = (0.09, 0.3)
"""Forearm beyond the key point `wrist` in a tight crop."""
SHUTTER_SHARE = 0.35
"""Share of crops after which the rest of the picture is there, in one grey, as behind a collimator."""

CUTS = {
    "fingers": (0.36, (0.025, 0.15), (0.15, 1.1)),
    "wrist": (0.32, (-0.04, 0.15), (0.15, 0.9)),
    "side": (0.2, (0.025, 0.12), (0.12, 0.6)),
    "window": (0.12, (0.1, 0.2), (0.2, 0.35)),
}
"""Share of the cuts, and how far inward from the outermost key point: shallow ones and deep ones.
From `wrist` a cut may lie outward: the ends of radius and ulna are missing there, too."""

SHALLOW_SHARE = 0.65
"""Share of the shallow ones."""

Random = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Hand:
    """Position of a hand in a picture."""

    capitate: np.ndarray
    axis: np.ndarray
    """Unit vector from the capitate to the tip of the middle finger."""
    unit: float
    """Pixels of a hand unit."""

    @classmethod
    def of(cls, example: Example) -> "Hand | None":
        """None where capitate or middle fingertip is not known."""
        if example.points is None:
            return None
        tip, capitate = (example.points[POINTS.index(n)] for n in ("middle_tip", "capitate"))
        unit = float(np.hypot(*(tip - capitate)))
        return None if not unit > 1 else cls(capitate, (tip - capitate) / unit, unit)


def tight_crop(example: Example, rng: Random) -> Example:
    """The whole hand with the picture's edge close to it; the example itself where no mask is known."""
    hand = Hand.of(example)
    if hand is None or example.mask is None:
        return example
    low, high = _box(example, hand, rng)
    shape = np.array(example.mask.shape[::-1])
    low, high = np.maximum(np.floor(low), 0).astype(int), np.minimum(np.ceil(high), shape - 1)
    inside = np.zeros(example.mask.shape, bool)
    inside[low[1] : int(high[1]) + 1, low[0] : int(high[0]) + 1] = True
    return example if not inside.any() else _kept(example, inside, rng)


def cut(example: Example, rng: Random) -> Example | None:
    """A hand of which a bone is outside of the picture; None where its position is not known."""
    hand = Hand.of(example)
    if hand is None:
        return None
    inside = _beside(example, hand, rng)
    return None if inside.mean() < 0.01 else _kept(example, inside, rng)


def _box(example: Example, hand: Hand, rng: Random) -> tuple[np.ndarray, np.ndarray]:
    """Left and upper, right and lower sides (x, y) of a tight crop."""
    assert example.mask is not None and example.points is not None
    known = example.points[~np.isnan(example.points).any(axis=1)]
    lowest = ((known - hand.capitate) @ hand.axis).min() - rng.uniform(*WRIST_MARGIN) * hand.unit
    along = _along(example.mask.shape, hand.axis) - hand.capitate @ hand.axis
    rows, columns = np.nonzero((example.mask > 127) & (along > lowest))
    shape = np.array(example.mask.shape[::-1])
    if not rows.size:
        return np.zeros(2), shape - 1.0
    first, last = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
    aside = rng.uniform(TIGHTEST, LOOSEST, (2, 2)) * hand.unit
    margin = BONE_MARGIN * hand.unit
    low = np.minimum(first - aside[0], known.min(axis=0) - margin)
    high = np.maximum(last + aside[1], known.max(axis=0) + margin)
    is_tight = rng.random((2, 2)) < TIGHT_SHARE
    return np.where(is_tight[0], low, 0), np.where(is_tight[1], high, shape - 1)


def _beside(example: Example, hand: Hand, rng: Random) -> np.ndarray:
    """bool [height, width]: what a cut leaves."""
    assert example.points is not None
    kind = str(rng.choice(list(CUTS), p=[share for share, *_ in CUTS.values()]))
    _, shallow, deep = CUTS[kind]
    depth = rng.uniform(*(shallow if rng.random() < SHALLOW_SHARE else deep)) * hand.unit
    shape = example.image.shape
    axis, across = hand.axis, np.array([-hand.axis[1], hand.axis[0]])
    if kind == "window":
        middle = hand.capitate + hand.unit * (
            axis * rng.uniform(-0.4, 1) + across * rng.uniform(-0.4, 0.4)
        )
        inside = np.abs(_along(shape, axis) - middle @ axis) < depth
        return inside & (np.abs(_along(shape, across) - middle @ across) < depth)
    out = {"fingers": axis, "wrist": -axis, "side": across * rng.choice([-1, 1])}[kind]
    if rng.random() < 0.6:  # along the picture's own edges, as a detector cuts
        out = np.where(np.abs(out) == np.abs(out).max(), np.sign(out), 0.0)
    known = example.points[~np.isnan(example.points).any(axis=1)]
    return _along(shape, out) <= (known @ out).max() - depth


def _kept(example: Example, inside: np.ndarray, rng: Random) -> Example:
    """What is `inside`, cropped to it, or the rest of the picture in one grey."""
    rows, columns = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    blank = int(rng.choice([0, 0, 0, 255, int(rng.integers(256)), int(np.median(example.image))]))
    mask, points = example.mask, example.points
    if points is not None:
        points = _seen(example, inside)
    image = np.where(inside, example.image, np.uint8(blank))
    mask = None if mask is None else np.where(inside, mask, np.uint8(0))
    if rng.random() < SHUTTER_SHARE:
        return dataclasses.replace(example, image=image, mask=mask, points=points)
    return dataclasses.replace(
        example,
        image=np.ascontiguousarray(image[part]),
        mask=None if mask is None else np.ascontiguousarray(mask[part]),
        points=None if points is None else points - (columns[0], rows[0]),
    )


def _seen(example: Example, inside: np.ndarray) -> np.ndarray:
    """Key points after a crop: one that is lost moves to where the edge cuts its bone, or becomes NaN.

    So a cut fingertip is found at the edge, and not at the next finger.
    """
    hand = Hand.of(example)
    points = np.asarray(example.points, float)
    if hand is None:
        return points
    seen = inside if example.mask is None else inside & (example.mask > 127)
    away = hand.capitate - points
    length = np.maximum(np.hypot(*away.T), 1e-6)[:, np.newaxis]
    steps = np.arange(0, FOLLOWED * hand.unit)[:, np.newaxis, np.newaxis]
    ways = points + away / length * np.minimum(steps, length)
    limit = np.array(inside.shape[::-1]) - 1
    at = np.clip(np.nan_to_num(np.round(ways)), 0, limit).astype(int)
    holds = seen[at[..., 1], at[..., 0]] & (np.abs(ways - at) <= 1).all(axis=-1)
    holds[0] = inside[at[0, :, 1], at[0, :, 0]] & (np.abs(ways[0] - at[0]) <= 1).all(axis=-1)
    first = np.argmax(holds, axis=0)
    moved = ways[first, np.arange(len(points))]
    return np.where(holds.any(axis=0)[:, np.newaxis], moved, np.nan)


def _along(shape: tuple[int, ...], axis: np.ndarray) -> np.ndarray:
    """float [height, width]: scalar product of every pixel's (x, y) with `axis`."""
    return np.arange(shape[1]) * axis[0] + (np.arange(shape[0]) * axis[1])[:, np.newaxis]
