"""The outlines of the tubular bones at a stage of their maturation, in hand units.

A tubular bone is modelled in its own frame: y runs from its growing end into the shaft, x to the
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

FOREARM = ("radius", "ulna")
JOINT = 0.004
"""Half of a joint space."""
EPIPHYSIS_HEIGHT = {
    "proximal": 0.104, "middle": 0.128, "distal": 0.165, "metacarpal": 0.188, "radius": 0.062, "ulna": 0.046,
}  # fmt: skip
"""Height in the adult: of phalanges and metacarpals as a fraction of the bone's length."""
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

_FLARE_OF_THE_FOREARM = ((0, 0.02, 0.08, 0.16, 0.28), (1, 0.93, 0.55, 0.2, 0))
"""Distance from the growing end of radius and ulna, and how much of the flare is left there."""


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
    epiphysis: float = 0.0
    """Distance of the epiphysis' centre from the origin; of the shaft's end while there is none."""
    plate: float = 0.0
    """Distance of the growth plate, or of its scar, from the origin."""

    def at(self, distance: float) -> Point:
        """The point of the axis at a distance from the origin."""
        return self.origin + distance * self.axis


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
    """The 19 tubular bones, radius and ulna; `growth` 0 at birth, 1 adult."""
    return [_tubular(name, segments[name], stages[name], individual, growth) for name in segments]


def _tubular(
    name: str, segment: Segment, stage: Stage, individual: Individual, growth: float
) -> Bone:
    kind, _, number = name.partition("_")
    grows_at_head = kind in FOREARM or (kind == "metacarpal" and number != "1")
    frame = _growing_frame(segment, grows_at_head=grows_at_head)
    growing, middle, other = _half_widths(kind, number, individual, growth)
    height = EPIPHYSIS_HEIGHT[kind] * (1.0 if kind in FOREARM else segment.length)
    gap = 0.013 - 0.0045 * stage.size - 0.0025 * stage.cap - 0.002 * stage.fusion
    start = JOINT + height + gap
    end = segment.length - JOINT - 0.010 * (1 - growth)
    if kind == "metacarpal" and grows_at_head:
        end += 0.012 * growth  # overlaps the carpal bones in projection
    epiphysis = start
    outlines = [_shaft(frame, (start, end), (growing, middle, other), _other_end(kind, number))]
    if stage.size > 0:
        thickness = height * (0.45 + 0.35 * stage.size + 0.20 * stage.cap)
        thickness = min(1.9 * stage.size * growing, thickness)
        outlines.append(_epiphysis(frame, kind, stage, (growing * 1.01, thickness), start - gap))
        epiphysis = start - gap - 0.5 * thickness
    if stage.size > 0 and stage.fusion > 0:
        outlines.append(_bridge(frame, growing * stage.fusion, start, gap, thickness))
    cortex = (0.20 + 0.12 * growth) * middle * individual.cortex
    return Bone(
        name=name,
        outlines=tuple(outlines),
        origin=frame.origin,
        axis=frame.axis,
        length=segment.length,
        half_depth={"radius": 0.040, "ulna": 0.030}.get(kind, middle * 1.12),
        cortex=(cortex * (0.55 if kind in FOREARM else 1.0), 0.0036),
        lines=(_dense_line(stage, start, gap),),
        epiphysis=epiphysis,
        plate=start - 0.5 * gap,
    )


def _growing_frame(segment: Segment, *, grows_at_head: bool) -> _Frame:
    lateral = turn(segment.axis, 90)
    if grows_at_head:
        return _Frame(segment.head, -segment.axis, lateral)
    return _Frame(segment.base, segment.axis, lateral)


def _dense_line(stage: Stage, start: float, gap: float) -> DenseLine:
    """The rim of the metaphysis while the plate is open, then the plate's scar."""
    if stage.fusion < 1:
        return DenseLine(start + 0.003, 0.75 + 0.25 * stage.fusion)
    return DenseLine(start - 0.5 * gap, 0.7 * stage.scar)


def _half_widths(
    kind: str, number: str, individual: Individual, growth: float
) -> tuple[float, float, float]:
    """Half widths at the growing end, at the narrowest place and at the other end."""
    slender = 1.30 - 0.30 * growth
    if kind in FOREARM:
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
    start, end = ends
    along, half = _profile(end - start, widths)
    first, last = END_SHAPES["flat"][0], END_SHAPES[shape][0]
    y = start + first + along * (end - last - start - first)
    across = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 17))[1:-1]
    x = np.concatenate([half, half[-1] * across[::-1], -half[::-1], half[0] * across])
    beyond_end = y[-1] + _end_curve(shape, across[::-1])
    before_start = y[0] - _end_curve("flat", across)
    return frame.place(x, np.concatenate([y, beyond_end, y[::-1], before_start]))


def _profile(length: float, widths: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Places along a shaft, 0 to 1 from its growing end, and its half width there."""
    growing, middle, other = widths
    along = np.linspace(0, 1, 33)
    far = np.interp(along, _ALONG, _FROM_OTHER_END)
    if length < 1:
        near = np.interp(along, _ALONG, _FROM_GROWING_END)
    else:  # radius and ulna, of which only the wrist's end is in the picture
        along, far = along**2, 0 * far
        near = np.interp(along * length, *_FLARE_OF_THE_FOREARM)
    return along, _smooth(middle + near * (growing - middle) + far * (other - middle))


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


def _smooth(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, 2, mode="edge")
    return np.convolve(padded, np.full(5, 0.2), mode="valid")
