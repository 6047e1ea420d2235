"""Skeleton: the proportions of a hand, their variation between children, and the pose.

Proportions were measured on radiographs of ages 1 to 18, in hand units (see the package).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

RAYS = (1, 2, 3, 4, 5)
SEGMENTS = ("metacarpal", "proximal", "middle", "distal")
METACARPALS = {
    1: ((0.172, 0.031), (0.322, 0.219)),
    2: ((0.084, 0.080), (0.138, 0.446)),
    3: ((0.001, 0.078), (0.000, 0.452)),
    4: ((-0.074, 0.076), (-0.116, 0.408)),
    5: ((-0.132, 0.056), (-0.221, 0.340)),
}
"""Ray -> base and head of the metacarpal, cartilage included."""
PHALANGES = {
    1: (0.178, None, 0.137),
    2: (0.248, 0.140, 0.105),
    3: (0.270, 0.166, 0.112),
    4: (0.250, 0.157, 0.112),
    5: (0.197, 0.108, 0.098),
}
"""Ray -> length of the proximal, middle and distal phalanx, joint space included."""
HALF_WIDTHS = {
    "metacarpal": {1: (0.046, 0.025, 0.039), 2: (0.047, 0.0195, 0.038), 3: (0.039, 0.020, 0.038),
                   4: (0.033, 0.0165, 0.033), 5: (0.038, 0.018, 0.032)},
    "proximal": {1: (0.042, 0.023, 0.033), 2: (0.044, 0.0225, 0.031), 3: (0.045, 0.0235, 0.032),
                 4: (0.042, 0.0215, 0.030), 5: (0.036, 0.018, 0.025)},
    "middle": {2: (0.036, 0.020, 0.027), 3: (0.039, 0.0225, 0.029), 4: (0.037, 0.0215, 0.027),
               5: (0.030, 0.0165, 0.022)},
    "distal": {1: (0.040, 0.020, 0.026), 2: (0.028, 0.014, 0.018), 3: (0.030, 0.015, 0.020),
               4: (0.029, 0.014, 0.019), 5: (0.025, 0.012, 0.016)},
}  # fmt: skip
"""Segment -> ray -> half width at base, at the narrowest place, and at the head."""
FINGER_SPREAD_DEGREES = {1: 0.0, 2: 11.0, 3: 0.0, 4: -14.0, 5: -34.0}
"""Direction of the fingers against the y axis when the hand is spread; together they are at 0."""
WRIST = ((-0.035, -0.185), (-0.03, -0.172))
"""Middle of radius and ulna at the radius' growth plate, at birth and grown up."""
FOREARM_LENGTH = 3.5
"""Length of the forearm: beyond the edge of every image."""
CARPAL_SHIFT_AT_BIRTH = -0.03
"""The bases of the metacarpals stand this much further from the capitate at birth."""
BONES = (
    *(f"metacarpal_{ray}" for ray in RAYS),
    *(f"proximal_{ray}" for ray in RAYS),
    *(f"middle_{ray}" for ray in RAYS[1:]),
    *(f"distal_{ray}" for ray in RAYS),
)
"""The 19 tubular bones of the hand."""
CARPALS = (
    "capitate", "hamate", "triquetrum", "lunate", "scaphoid", "trapezium", "trapezoid", "pisiform",
)  # fmt: skip
ALL_BONES = (*BONES, *CARPALS, "radius", "ulna", "sesamoid")

Point = np.ndarray
"""float [2]: x, y in hand units."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """A tubular bone with its cartilage, from the end nearer to the wrist to the other."""

    base: Point
    head: Point

    @property
    def length(self) -> float:
        """Distance of its ends."""
        return float(np.hypot(*(self.head - self.base)))

    @property
    def axis(self) -> Point:
        """Unit vector from base to head."""
        return (self.head - self.base) / self.length


@dataclasses.dataclass(frozen=True)
class Individual:
    """Individual variation between children of one bone age and sex; sampled before the bone age has any influence."""

    scatter: Mapping[str, float]
    """Centre -> how many standard deviations late."""
    length: Mapping[str, float]
    width: Mapping[str, float]
    """Bone -> factor."""
    turn_degrees: Mapping[str, float]
    """Bone -> its own small rotation, at the joint below it."""
    spread: float
    """0: fingers together; 1: spread."""
    thumb_degrees: float
    """Abduction beyond the usual."""
    wrist_degrees: float
    """Direction of the forearm; positive bends the hand to the little finger's side."""
    size: float
    """Factor of the hand unit in mm."""
    fatness: float
    """Factor of the soft tissue's width and depth."""
    cortex: float
    """Factor of the cortical bone's thickness."""
    density: float
    """Factor of the bone's attenuation."""


def draw_individual(rng: np.random.Generator) -> Individual:
    """Sample a child; the random numbers do not depend on age or sex."""

    def factors(spread: float, common: float) -> dict[str, float]:
        shared = rng.normal(0, common)
        return {name: float(np.exp(shared + rng.normal(0, spread))) for name in ALL_BONES}

    return Individual(
        scatter={name: float(np.clip(rng.normal(), -2, 2)) for name in ALL_BONES},
        length=factors(0.02, 0.0),
        width=factors(0.03, 0.06),
        turn_degrees={name: float(rng.normal(0, 2.2)) for name in ALL_BONES},
        spread=float(np.clip(rng.normal(0.75, 0.35), 0.0, 1.4)),
        thumb_degrees=float(np.clip(rng.normal(-1, 9), -22, 16)),
        wrist_degrees=float(np.clip(rng.normal(1, 7), -20, 24)),
        size=float(np.exp(rng.normal(0, 0.05))),
        fatness=float(np.exp(rng.normal(0, 0.13))),
        cortex=float(np.exp(rng.normal(0, 0.15))),
        density=float(np.exp(rng.normal(0, 0.12))),
    )


def rotation(degrees: float) -> np.ndarray:
    """float [2, 2]: clockwise, towards the thumb."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def turn(point: Point, degrees: float, about: Point | None = None) -> Point:
    """`point` ([..., 2]) rotated clockwise about a point (the origin)."""
    centre = np.zeros(2) if about is None else about
    return (point - centre) @ rotation(degrees).T + centre


def pose(individual: Individual, growth: float) -> dict[str, Segment]:
    """Every tubular bone, radius and ulna of a hand.

    `growth` is 0 at birth and 1 when grown up; lengths are in hand units.
    """
    segments: dict[str, Segment] = {}
    for ray in RAYS:
        segments |= _ray(ray, individual, growth)
    return segments | _forearm(individual, growth)


def _ray(ray: int, individual: Individual, growth: float) -> dict[str, Segment]:
    base, head = (np.array(point) for point in METACARPALS[ray])
    base = base * (1 - CARPAL_SHIFT_AT_BIRTH * (1 - growth) / np.hypot(*base))
    name = f"metacarpal_{ray}"
    direction = np.degrees(np.arctan2(*(head - base))) + 0.5 * individual.turn_degrees[name]
    if ray == 1:
        direction += 0.6 * individual.thumb_degrees
    else:
        direction += FINGER_SPREAD_DEGREES[ray] * 0.25 * (individual.spread - 0.75)
    length = float(np.hypot(*(head - base))) * individual.length[name]
    segments = {name: Segment(base, base + length * _towards(direction))}
    finger = direction + 5 + 0.4 * individual.thumb_degrees
    if ray > 1:
        finger = FINGER_SPREAD_DEGREES[ray] * individual.spread + 2.0 * (1 - individual.spread)
    for kind, size in zip(SEGMENTS[1:], PHALANGES[ray], strict=True):
        if size is None:
            continue
        name = f"{kind}_{ray}"
        finger += individual.turn_degrees[name]
        start = list(segments.values())[-1].head
        length = size * individual.length[name]
        segments[name] = Segment(start, start + length * _towards(finger))
    return segments


def _forearm(individual: Individual, growth: float) -> dict[str, Segment]:
    wrist = np.array(WRIST[0]) * (1 - growth) + np.array(WRIST[1]) * growth
    shift = wrist - np.array(WRIST[1])
    tilt = individual.wrist_degrees
    ends = {
        "radius": ((-0.008, -FOREARM_LENGTH), (0.033 - 0.008 * (1 - growth), -0.103)),
        "ulna": ((-0.085, -FOREARM_LENGTH), (-0.125, -0.146)),
    }
    return {
        name: Segment(*(turn(np.array(end) + shift, tilt) for end in pair))
        for name, pair in ends.items()
    }


def _towards(degrees: float) -> Point:
    return np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
