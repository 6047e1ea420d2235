"""Skin, muscle and fat around the bones: outlines and depths, in hand units."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from bone_age_tf.data_prep.phantom.skeleton import (
    FOREARM_LENGTH,
    RAYS,
    Individual,
    Point,
    Segment,
    turn,
)

FINGER_RADII = {1: (0.082, 0.064, 0.052), 2: (0.066, 0.054, 0.046), 3: (0.068, 0.056, 0.047),
                4: (0.064, 0.052, 0.045), 5: (0.056, 0.046, 0.040)}  # fmt: skip
"""Ray -> radius of the finger at its base, at the middle joint and at the tip."""
PALM_HALF_DEPTH = 0.080
THENAR_HALF_DEPTH = 0.098
FOREARM_HALF_DEPTH = 0.105


@dataclasses.dataclass(frozen=True)
class SoftPart:
    """A part of the hand's outline with the depth of the tissue there."""

    outline: np.ndarray
    """Convex polygon float [n, 2]."""
    half_depth: float
    is_palm: bool = False
    """Palm, thumb or forearm, whose common outline has no sharp notch."""


def soft_parts(
    segments: Mapping[str, Segment], individual: Individual, growth: float
) -> list[SoftPart]:
    """Everything whose union is the hand with its forearm; the deepest parts last."""
    fat = individual.fatness * float(np.interp(growth, (0, 0.5, 1), (1.26, 1.08, 0.9)))
    parts = [part for ray in RAYS for part in finger(ray, segments, fat)]
    return [*parts, *_palm(segments, fat), *_forearm(segments, individual, fat)]


def finger(ray: int, segments: Mapping[str, Segment], fat: float) -> list[SoftPart]:
    """One finger from the base of its metacarpal to its tip; `fat` is a factor of its thickness."""
    base, middle, tip = (radius * fat for radius in FINGER_RADII[ray])
    names = [
        f"{kind}_{ray}" for kind in ("proximal", "middle", "distal") if f"{kind}_{ray}" in segments
    ]
    points = [segments[names[0]].base, *(segments[name].head for name in names)]
    last = segments[names[-1]]
    points[-1] = last.head - 0.45 * tip * last.axis
    radii = np.interp(np.linspace(0, 1, len(points)), (0, 0.5, 1), (base, middle, tip))
    metacarpal = segments[f"metacarpal_{ray}"]
    points.insert(0, metacarpal.base)
    radii = [base * 1.12, *radii]
    pairs = zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    return [
        SoftPart(_capsule(p, q, r, s), 0.9 * (r + s) / 2, is_palm=ray == 1) for p, q, r, s in pairs
    ]


def _palm(segments: Mapping[str, Segment], fat: float) -> list[SoftPart]:
    def along(name: str, share: float, aside: float = 0.0) -> Point:
        segment = segments[name]
        at = segment.base + share * (segment.head - segment.base)
        return at + aside * fat * turn(segment.axis, 90)

    webs = [along(f"proximal_{ray}", 0.36) for ray in (5, 4, 3, 2)]
    edge = [along("metacarpal_2", 0.9, 0.062), along("metacarpal_2", 0.2, 0.10)]
    radius, ulna = segments["radius"], segments["ulna"]
    heel = [
        along("metacarpal_1", -0.1, 0.045),
        radius.head + 0.125 * turn(radius.axis, 90),
        ulna.head - 0.080 * turn(ulna.axis, 90),
    ]
    outer = [along("metacarpal_5", 0.1, -0.072), along("metacarpal_5", 0.6, -0.075)]
    palm = np.array([*webs, *edge, *heel, *outer])
    thenar = np.array(
        [along("metacarpal_1", 0.0, 0.03), along("metacarpal_1", 0.85, 0.0),
         along("metacarpal_2", 0.70, 0.0), along("metacarpal_2", 0.05, -0.03), np.array([0.05, -0.08])]
    )  # fmt: skip
    return [
        SoftPart(palm, PALM_HALF_DEPTH, is_palm=True),
        SoftPart(thenar, THENAR_HALF_DEPTH, is_palm=True),
    ]


def _forearm(segments: Mapping[str, Segment], individual: Individual, fat: float) -> list[SoftPart]:
    middle = 0.5 * (segments["radius"].head + segments["ulna"].head)
    wide = float(np.sqrt(fat))
    levels = (
        (0.02, 0.175),
        (-0.1, 0.172),
        (-0.3, 0.168),
        (-0.5, 0.174),
        (-0.9, 0.19),
        (-FOREARM_LENGTH, 0.24),
    )
    left = [middle + np.array([-half * wide, y]) for y, half in levels]
    right = [middle + np.array([half * wide, y]) for y, half in reversed(levels)]
    outline = turn(np.array([*left, *right]), individual.wrist_degrees, middle)
    return [SoftPart(outline, FOREARM_HALF_DEPTH, is_palm=True)]


def _capsule(start: Point, end: Point, radius: float, end_radius: float) -> np.ndarray:
    axis = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
    angle = np.arctan2(axis[1], axis[0])
    half = np.linspace(np.pi / 2, 3 * np.pi / 2, 13) + angle
    circle = np.stack([np.cos(half), np.sin(half)], axis=1)
    return np.concatenate([start + radius * circle, end - end_radius * circle])
