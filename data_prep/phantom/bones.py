"""The outlines of the bones at a stage of their maturation, in hand units.

A tubular bone is drawn in a frame of its own: y runs from its growing end into the shaft, x to the
thumb's side. Shaft, epiphysis and, where the growth plate closes, the bridge between them are
outlines of one bone: what they cover together is bone, what lies between is cartilage.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from bone_age_tf.data_prep.phantom.maturation import Stage
from bone_age_tf.data_prep.phantom.skeleton import (
    HALF_WIDTHS,
    Individual,
    Point,
    Segment,
    turn,
)

JOINT = 0.004
"""Half of a joint space."""
EPIPHYSIS_HEIGHT = {
    "proximal": 0.104, "middle": 0.128, "distal": 0.165, "metacarpal": 0.188, "radius": 0.062, "ulna": 0.046,
}  # fmt: skip
"""Height when grown up: of phalanges and metacarpals as a fraction of the bone's length."""
END_SHAPES = {
    "flat": (0.010, 3.2, 0.0),
    "condyle": (0.016, 3.4, 0.24),
    "round": (0.026, 2.2, 0.0),
    "base": (0.022, 2.3, 0.0),
    "tuft": (0.014, 2.6, 0.0),
}
"""Name -> length of the end beyond the straight sides, exponent (2 round, 4 flat), notch."""
_ALONG = (0.0, 0.06, 0.17, 0.33, 0.50, 0.66, 0.82, 0.93, 1.0)
_FROM_GROWING_END = (1.0, 0.90, 0.55, 0.20, 0.03, 0.0, 0.0, 0.0, 0.0)
_FROM_OTHER_END = (0.0, 0.0, 0.0, 0.0, 0.05, 0.24, 0.64, 0.96, 1.0)


@dataclasses.dataclass(frozen=True)
class DenseLine:
    """A line of dense bone across a tubular bone: a growth plate's rim, or its scar."""

    distance: float
    """From the growing end."""
    strength: float


@dataclasses.dataclass(frozen=True)
class Bone:
    """One bone as it is rendered."""

    name: str
    outlines: tuple[np.ndarray, ...]
    """Polygons float [n, 2]; their union is the bone."""
    origin: Point
    axis: Point
    """Unit vector from the origin along the bone."""
    length: float
    half_depth: float
    """Half of its thickness in the direction of the beam, away from its edges."""
    cortex: tuple[float, float]
    """Thickness of the cortical bone in the middle of the shaft and at the ends."""
    lines: tuple[DenseLine, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Frame:
    origin: Point
    axis: Point
    lateral: Point

    def place(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.origin + x[:, None] * self.lateral + y[:, None] * self.axis


def tubular_bones(
    segments: Mapping[str, Segment],
    stages: Mapping[str, Stage],
    individual: Individual,
    growth: float,
) -> list[Bone]:
    """The 19 tubular bones, radius and ulna; `growth` 0 at birth, 1 grown up."""
    return [_tubular(name, segments[name], stages[name], individual, growth) for name in segments]


def sesamoid(segments: Mapping[str, Segment], stage: Stage, individual: Individual) -> list[Bone]:
    """The adductor sesamoid at the head of the first metacarpal, once it shows."""
    if stage.size == 0:
        return []
    first = segments["metacarpal_1"]
    towards_index = turn(first.axis, -90)
    centre = first.head + 0.036 * towards_index - 0.012 * first.axis
    radius = 0.016 * stage.size * individual.width["sesamoid"]
    outline = centre + radius * _circle(24) @ np.diag([1.0, 0.8])
    return [_small_bone("sesamoid", outline, centre, half_depth=0.010)]


def _tubular(
    name: str, segment: Segment, stage: Stage, individual: Individual, growth: float
) -> Bone:
    kind, _, number = name.partition("_")
    grows_at_head = kind in ("radius", "ulna") or (kind == "metacarpal" and number != "1")
    lateral = turn(segment.axis, 90)
    frame = _Frame(segment.base, segment.axis, lateral)
    if grows_at_head:
        frame = _Frame(segment.head, -segment.axis, lateral)
    growing, middle, other = _half_widths(kind, number, individual, growth)
    height = EPIPHYSIS_HEIGHT[kind] * (1.0 if kind in ("radius", "ulna") else segment.length)
    gap = 0.013 - 0.0045 * stage.size - 0.0025 * stage.cap - 0.002 * stage.fusion
    start = JOINT + height + gap
    end = segment.length - JOINT - 0.010 * (1 - growth)
    if kind == "metacarpal" and grows_at_head:
        end += 0.012 * growth  # overlaps the carpal bones in projection
    shaft = _shaft(frame, (start, end), (growing, middle, other), _other_end(kind, number))
    outlines, lines = [shaft], []
    if stage.size > 0:
        grown_height = min(
            1.9 * stage.size * growing, height * (0.45 + 0.35 * stage.size + 0.20 * stage.cap)
        )
        outlines.append(_epiphysis(frame, kind, stage, (growing * 1.01, grown_height), start - gap))
        if stage.fusion > 0:
            outlines.append(_bridge(frame, growing * stage.fusion, start, gap, grown_height))
    if stage.fusion < 1:
        lines.append(DenseLine(start + 0.003, 0.75 + 0.25 * stage.fusion))
    else:
        lines.append(DenseLine(start - 0.5 * gap, 0.7 * stage.scar))
    cortex = (0.20 + 0.12 * growth) * middle * individual.cortex
    if kind in ("radius", "ulna"):
        cortex *= 0.55
    depth = {"radius": 0.040, "ulna": 0.030}.get(kind, middle * 1.12)
    return Bone(
        name, tuple(outlines), frame.origin, frame.axis, segment.length, depth, (cortex, 0.0036), tuple(lines)
    )  # fmt: skip


def _half_widths(
    kind: str, number: str, individual: Individual, growth: float
) -> tuple[float, float, float]:
    """Half widths at the growing end, at the narrowest place and at the other end."""
    slender = 1.30 - 0.30 * growth
    if kind in ("radius", "ulna"):
        factor = individual.width[kind]
        end, shaft = (0.088, 0.052) if kind == "radius" else (0.046, 0.033)
        return end * factor * (0.96 + 0.04 * growth), shaft * factor * slender, shaft * factor
    base, middle, head = HALF_WIDTHS[kind][int(number)]
    factor = individual.width[f"{kind}_{number}"]
    growing, other = (head, base) if kind == "metacarpal" and number != "1" else (base, head)
    return growing * factor, middle * factor * slender, other * factor * (1.05 - 0.05 * growth)


def _other_end(kind: str, number: str) -> str:
    if kind == "metacarpal":
        return "round" if number == "1" else "base"
    return {"proximal": "condyle", "middle": "condyle", "distal": "tuft"}.get(kind, "flat")


def _shaft(
    frame: _Frame, ends: tuple[float, float], widths: tuple[float, float, float], shape: str
) -> np.ndarray:
    growing, middle, other = widths
    start, end = ends
    along = np.linspace(0, 1, 33)
    near = np.interp(along, _ALONG, _FROM_GROWING_END)
    far = np.interp(along, _ALONG, _FROM_OTHER_END)
    if end - start > 1:  # radius and ulna: only their last part is in the picture
        near, far = (
            np.interp(along * (end - start), (0, 0.02, 0.08, 0.16, 0.28), (1, 0.93, 0.55, 0.2, 0)),
            0 * far,
        )
        along = along**2
        near = np.interp(
            along * (end - start), (0, 0.02, 0.08, 0.16, 0.28), (1, 0.93, 0.55, 0.2, 0)
        )
    half = _smooth(middle + near * (growing - middle) + far * (other - middle))
    first, last = END_SHAPES["flat"][0], END_SHAPES[shape][0]
    y = start + first + along * (end - last - start - first)
    across = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 17))[1:-1]
    x = np.concatenate([half, half[-1] * across[::-1], -half[::-1], half[0] * across])
    beyond_end = y[-1] + _end_curve(shape, across[::-1])
    before_start = y[0] - _end_curve("flat", across)
    return frame.place(x, np.concatenate([y, beyond_end, y[::-1], before_start]))


def _end_curve(shape: str, across: np.ndarray) -> np.ndarray:
    length, exponent, notch = END_SHAPES[shape]
    bulge = (1 - np.abs(across) ** exponent) ** (1 / exponent)
    return length * bulge * (1 - notch * np.exp(-((across / 0.32) ** 2)))


def _epiphysis(
    frame: _Frame, kind: str, stage: Stage, size: tuple[float, float], plate: float
) -> np.ndarray:
    """Outline whose flat side lies at distance `plate` from the growing end."""
    full_width, height = size
    angle = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    grown = np.clip((stage.size - 0.35) / 0.65, 0, 1)
    corner = 2 + (1.1 if kind == "metacarpal" else 1.6) * grown
    across = np.sign(cosine) * np.abs(cosine) ** (2 / corner)
    x = stage.size * full_width * across
    y = 0.5 * height * np.sign(sine) * np.abs(sine) ** (2 / corner)
    joint_side = np.clip(-2 * y / height, 0, 1)
    if kind == "metacarpal":
        x = x * (1 - 0.10 * grown * joint_side)
    elif kind == "radius":
        taller = 1 + joint_side * grown * (0.45 * across - 0.10)  # on the thumb's side
        y = y * taller - 0.010 * stage.cap * joint_side * across**3
    elif kind == "ulna":
        styloid = np.exp(-(((across + 0.72) / 0.2) ** 2))
        y = y - 0.024 * grown**2 * joint_side * styloid
    else:
        y = y + (0.004 * grown + 0.004 * stage.cap) * (across**2 - 0.4)
    return frame.place(x, y + plate - 0.5 * height)


def _bridge(
    frame: _Frame, half_width: float, start: float, gap: float, height: float
) -> np.ndarray:
    """Bone that grows across the plate from its middle."""
    low, high = start - gap - 0.35 * height, start + 0.012
    x = np.array([half_width, half_width, -half_width, -half_width]) * 0.985
    return frame.place(x, np.array([low, high, high, low]))


def small_bone_outline(points: np.ndarray) -> np.ndarray:
    """A closed smooth curve close to a coarse polygon (corner cutting, three times)."""
    for _ in range(3):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1)
        points = points.reshape(-1, 2)
    return points


def _small_bone(name: str, outline: np.ndarray, centre: Point, *, half_depth: float) -> Bone:
    span = float(np.ptp(outline[:, 1])) or 1e-3
    return Bone(name, (outline,), centre, np.array([0.0, 1.0]), span, half_depth, (0.0036, 0.0036))


def _circle(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _smooth(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, 2, mode="edge")
    return np.convolve(padded, np.full(5, 0.2), mode="valid")


# === Carpal bones ===

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
CARPAL_TURN_SHARE = {"scaphoid": 0.35, "lunate": 0.45, "triquetrum": 0.3, "pisiform": 0.3}
"""Share of the wrist's direction that a bone of the proximal row takes part in."""


def carpal_bones(stages: Mapping[str, Stage], individual: Individual) -> list[Bone]:
    """The carpal bones that show at these stages: from round dots to the adult outlines."""
    return [
        _carpal(name, stages[name], individual) for name in CARPAL_OUTLINES if stages[name].size > 0
    ]


def _carpal(name: str, stage: Stage, individual: Individual) -> Bone:
    adult = small_bone_outline(np.array(CARPAL_OUTLINES[name]))
    centre = adult.mean(axis=0)
    offset = (adult - centre) * 1.26 * individual.length[name]
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    radius = 0.92 * float(np.mean(np.hypot(*offset.T)))
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    shape = (1 - stage.size) * circle + stage.size * offset
    outline = turn(centre + stage.size * shape, 1.5 * individual.turn_degrees[name], centre)
    outline = turn(outline, CARPAL_TURN_SHARE.get(name, 0.0) * individual.wrist_degrees)
    depth = 0.012 if name == "pisiform" else 0.027
    return _small_bone(
        name, outline, outline.mean(axis=0), half_depth=depth * (0.5 + 0.5 * stage.size)
    )
