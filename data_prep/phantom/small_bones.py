"""The carpal bones and the sesamoid, from dots to their adult outlines, in hand units."""

from collections.abc import Mapping

import numpy as np

from bone_age_tf.data_prep.phantom.bones import Bone
from bone_age_tf.data_prep.phantom.maturation import Stage
from bone_age_tf.data_prep.phantom.skeleton import Individual, Segment, turn

CARPAL_OUTLINES = {
    "capitate": ((-0.036, 0.060), (-0.012, 0.068), (0.022, 0.066), (0.038, 0.050), (0.033, 0.012),
                 (0.036, -0.030), (0.018, -0.064), (-0.010, -0.068), (-0.030, -0.046), (-0.031, 0.0)),
    "hamate": ((-0.116, 0.054), (-0.082, 0.072), (-0.045, 0.062), (-0.037, 0.030), (-0.038, -0.012),
               (-0.050, -0.050), (-0.072, -0.030), (-0.102, 0.008), (-0.120, 0.030)),
    "triquetrum": ((-0.152, -0.018), (-0.130, -0.004), (-0.100, -0.010), (-0.082, -0.036),
                   (-0.090, -0.064), (-0.116, -0.094), (-0.138, -0.076), (-0.154, -0.044)),
    "lunate": ((-0.088, -0.078), (-0.062, -0.060), (-0.030, -0.068), (-0.004, -0.090), (-0.006, -0.112),
               (-0.030, -0.122), (-0.062, -0.120), (-0.084, -0.102)),
    "scaphoid": ((0.014, -0.098), (0.046, -0.108), (0.078, -0.088), (0.104, -0.052), (0.114, -0.022),
                 (0.100, -0.006), (0.072, -0.016), (0.056, -0.040), (0.034, -0.060), (0.010, -0.076)),
    "trapezium": ((0.094, 0.058), (0.124, 0.064), (0.142, 0.042), (0.164, 0.016), (0.160, -0.010),
                  (0.134, -0.026), (0.104, -0.016), (0.090, 0.020)),
    "trapezoid": ((0.044, 0.050), (0.074, 0.064), (0.106, 0.056), (0.112, 0.030), (0.100, 0.006),
                  (0.070, -0.002), (0.046, 0.014)),
    "pisiform": ((-0.142, -0.054), (-0.124, -0.034), (-0.102, -0.040), (-0.094, -0.062), (-0.110, -0.084), (-0.134, -0.078)),
}  # fmt: skip
"""Adult outlines, counter-clockwise or not, in hand units; the wrist straight."""
OVERLAP = 1.26
"""Compensates for the corner cutting, which shrinks the outlines; adult carpal bones overlap."""
APART_WHILE_YOUNG = 0.13
"""How much farther the other carpal bones are from the capitate while they grow, as a share."""
CARPAL_HALF_DEPTH = {"pisiform": 0.012}
CARPAL_TURN_SHARE = {"scaphoid": 0.35, "lunate": 0.45, "triquetrum": 0.3, "pisiform": 0.3}
"""Share of the wrist's direction that a bone of the proximal row takes part in."""


def carpal_bones(stages: Mapping[str, Stage], individual: Individual) -> list[Bone]:
    """The carpal bones that show at these stages: from round dots to the adult outlines."""
    return [
        _carpal(name, stages[name], individual) for name in CARPAL_OUTLINES if stages[name].size > 0
    ]


def _carpal(name: str, stage: Stage, individual: Individual) -> Bone:
    adult = _smooth_curve(np.array(CARPAL_OUTLINES[name]))
    centre = adult.mean(axis=0)
    offset = (adult - centre) * OVERLAP * individual.length[name]
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    radius = 0.92 * float(np.mean(np.hypot(*offset.T)))
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    shape = (1 - stage.size) * circle + stage.size * offset
    place = centre * (1 + APART_WHILE_YOUNG * (1 - stage.size**6))
    outline = turn(place + stage.size * shape, 1.5 * individual.turn_degrees[name], place)
    outline = turn(outline, CARPAL_TURN_SHARE.get(name, 0.0) * individual.wrist_degrees)
    half_depth = CARPAL_HALF_DEPTH.get(name, 0.027) * (0.5 + 0.5 * stage.size)
    return _small_bone(name, outline, half_depth)


def sesamoid(segments: Mapping[str, Segment], stage: Stage, individual: Individual) -> list[Bone]:
    """The adductor sesamoid at the head of the first metacarpal, once it shows."""
    if stage.size == 0:
        return []
    first = segments["metacarpal_1"]
    towards_index = turn(first.axis, -90)
    centre = first.head + 0.036 * towards_index - 0.012 * first.axis
    radius = 0.016 * stage.size * individual.width["sesamoid"]
    outline = centre + radius * _circle(24) @ np.diag([1.0, 0.8])
    return [_small_bone("sesamoid", outline, 0.010)]


def _smooth_curve(points: np.ndarray) -> np.ndarray:
    """A closed smooth curve close to a coarse polygon (corner cutting, three times)."""
    for _ in range(3):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1)
        points = points.reshape(-1, 2)
    return points


def _small_bone(name: str, outline: np.ndarray, half_depth: float) -> Bone:
    """A bone without a long axis; its origin is the centre of its area."""
    following = np.roll(outline, -1, axis=0)
    cross = outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]
    centre = ((outline + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum())
    span = float(np.ptp(outline[:, 1]))
    return Bone(name, (outline,), centre, np.array([0.0, 1.0]), span, half_depth, (0.0036, 0.0036))


def _circle(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
