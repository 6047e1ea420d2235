"""How a radiograph is taken: aim, beam, detector. `clean` is a good one; `varied` is as found in archives."""

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom import artefacts, field, holder
from bone_age_tf.data_prep.phantom.rendering import Camera
from bone_age_tf.data_prep.phantom.scene import FOREARM_HALF_WIDTH, HAND_ENDS, Scene
from bone_age_tf.data_prep.phantom.skeleton import rotation, turn
from bone_age_tf.data_prep.phantom.soft_tissue import SoftPart

FOREARM_BEGINS = -0.17
"""In hand units, for the positioning."""
FILLED = 0.85
HELD_UNTIL, ALONE_FROM = 12.0, 84.0
"""Bone age in months up to which a child must be held, as often as any, and from which it keeps still."""
COLLIMATIONS = {
    "none": (0.46, 0.26), "shutter": (0.16, 0.12), "frame": (0.12, 0.30),
    "unexposed": (0.16, 0.10), "grey": (0.10, 0.22),
}  # fmt: skip
BORDERS = {"none": 0.72, "film": 0.11, "white": 0.04, "glow": 0.09, "corner": 0.04}
HOLDERS = {
    "none": (0.95, 0.42), "edge": (0.04, 0.22), "grip": (0.005, 0.24), "press": (0.005, 0.12),
}  # fmt: skip
IMMOBILISERS = {
    "none": (0.94, 0.68), "plate": (0.03, 0.14), "foam": (0.015, 0.08), "strap": (0.015, 0.10),
}  # fmt: skip
"""Kind -> its share among older children, and among infants."""


@dataclasses.dataclass(frozen=True)
class Acquisition:
    """One exposure; the defaults are a good radiograph."""

    style: str = "clean"
    rotation_degrees: float = 0.0
    """Of the hand in the picture, clockwise before mirroring."""
    mirrored: bool = False
    """The thumb is on the left."""
    inverted: bool = False
    """Bone is dark."""
    fill: float = 0.93
    """Share of the picture that the hand fills."""
    offset: tuple[float, float] = (0.5, 0.5)
    """Position of the hand in the remaining space, 0 to 1."""
    aspect: float = 0.8
    """Width over height of the picture."""
    forearm: float = 0.2
    """Length of the forearm in the picture, in hand units."""
    hardness: float = 1.0
    """Factor of the attenuation: below 1 a higher tube voltage."""
    blur: float = 0.0020
    """Unsharpness of focus and detector in hand units."""
    scatter: float = 0.25
    """Scattered over primary radiation."""
    noise: float = 0.006
    """Standard deviation in the open beam, as a share of its intensity."""
    detail: float = 0.55
    """Strength of the local contrast enhancement."""
    gamma: float = 0.95
    """Exponent of the detector's curve."""
    black: float = 6.0
    white: float = 215.0
    """Grey values of the open beam and of the densest bone."""
    half_resolution: bool = False
    collimation: str = "none"
    """none, or what is outside the field: shutter (black), frame (a bright line, then grey), unexposed (white), grey."""
    border: str = "none"
    """none, film (on black), white, glow (white, fades inwards), corner (a white triangle)."""
    marker: bool = False
    """Lead letters, often on a plate."""
    holder: str = "none"
    """An adult's fingers: none, edge (at the edges), grip (across the forearm), press (on a fingertip)."""
    tape: bool = False
    """Strips of tape across hand or forearm."""
    immobiliser: str = "none"
    """none, plate (Plexiglas), foam, strap (around the forearm)."""
    artefact_seed: int = 0
    """Seed for position and appearance of all artefacts."""
    out_of_plane_degrees: float = 0.0
    """Rotation about the long axis of the hand: 0 flat, 45 oblique, 90 lateral; the sign says to which side."""


def draw_acquisition(
    rng: np.random.Generator, style: str, bone_age_months: float = ALONE_FROM
) -> Acquisition:
    """Sample the acquisition of one radiograph; young children are held, taped and collimated more often."""
    clean = Acquisition(
        rotation_degrees=float(rng.normal(0, 2)),
        fill=float(rng.uniform(0.9, 0.96)),
        forearm=float(rng.uniform(0.14, 0.3)),
        hardness=float(np.exp(rng.normal(0, 0.06))),
        detail=float(rng.uniform(0.45, 0.7)),
        artefact_seed=int(rng.integers(2**31)),
    )
    young = float(np.interp(bone_age_months, (HELD_UNTIL, ALONE_FROM), (1, 0)))
    return _varied(rng, clean, young) if style == "varied" else clean


def _varied(rng: np.random.Generator, clean: Acquisition, young: float) -> Acquisition:
    def happens(share: float) -> bool:
        return bool(rng.random() < share)

    def one_of(shares: Mapping[str, tuple[float, float]]) -> str:
        old, infant = np.array(list(shares.values())).T
        return str(rng.choice(list(shares), p=old + young * (infant - old)))

    turned = happens(0.08 + 0.14 * young)
    rotation = rng.uniform(-60, 60) if turned else rng.normal(0, 9)
    faint = happens(0.25)
    black = rng.uniform(20, 110) if happens(0.4) else rng.uniform(0, 15)
    collimation = one_of(COLLIMATIONS)
    if collimation in ("frame", "grey") and happens(0.5):  # a grey field, hardly darker than skin
        black = rng.uniform(80, 160)
    return dataclasses.replace(
        clean,
        style="varied",
        rotation_degrees=float(rotation),
        mirrored=happens(0.08),
        inverted=happens(0.04),
        fill=float(rng.uniform(0.35, 0.62) if happens(0.15) else rng.uniform(0.62, 1.0)),
        offset=(float(rng.uniform(0, 1)), float(rng.uniform(0, 1))),
        aspect=float(rng.choice([0.7, 0.75, 0.8, 0.83, 0.9, 1.0])),
        forearm=float(np.clip(rng.gamma(2.5, 0.12), 0.03, 1.1)),
        hardness=float(np.exp(rng.normal(-0.05, 0.15))),
        blur=float(rng.uniform(0.0012, 0.0045)),
        scatter=float(rng.uniform(0.1, 0.8)),
        noise=float(np.exp(rng.normal(np.log(0.009), 0.6))),
        detail=float(rng.uniform(0.0, 0.9)),
        gamma=float(np.exp(rng.normal(0.0, 0.22))),
        black=float(black),
        white=float(
            black + rng.uniform(35, 90) if faint else rng.uniform(max(150, black + 60), 255)
        ),
        half_resolution=happens(0.12),
        collimation=collimation,
        border=str(rng.choice(list(BORDERS), p=list(BORDERS.values()))),
        marker=happens(0.85),
        holder=one_of(HOLDERS),
        tape=happens(0.03 + 0.25 * young),
        immobiliser=one_of(IMMOBILISERS),
    )


def aim(taken: Acquisition, parts: Sequence[SoftPart], size: int) -> Camera:
    """The camera that positions the hand as the acquisition requires; the longer side has `size` pixels."""
    longer = max(1.0, taken.aspect)
    height, width = round(size / longer), round(size * taken.aspect / longer)
    every = np.concatenate([part.outline for part in parts])
    hand = every[every[:, 1] > HAND_ENDS]
    wrist, lowest = float(np.median(parts[-1].outline[:, 0])), FOREARM_BEGINS - taken.forearm
    end = np.array([[wrist - FOREARM_HALF_WIDTH, lowest], [wrist + FOREARM_HALF_WIDTH, lowest]])
    seen = turn(np.concatenate([hand, end]), taken.rotation_degrees)
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = float(taken.fill * np.min(np.array([width, height]) / (high - low)))
    room = np.array([width, height]) - scale * (high - low)
    corner = room * np.array(taken.offset)  # left and bottom edge of what is seen
    if taken.fill > FILLED:  # the forearm ends at the lower edge
        corner[1] = min(corner[1], 0.03 * height)
    matrix = np.zeros((2, 3))
    matrix[:, :2] = scale * np.diag([1.0, -1.0]) @ rotation(taken.rotation_degrees)
    matrix[:, 2] = (corner[0] - scale * low[0], height - corner[1] + scale * low[1])
    if taken.mirrored:
        matrix[0] = -matrix[0]
        matrix[0, 2] += width - 1
    return Camera(matrix, height, width)


def expose(
    attenuation: np.ndarray, scene: Scene, taken: Acquisition, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Attenuation float32 [height, width] -> the radiograph, uint8, and where the beam reached it, uint8 0 or 1."""
    random = np.random.default_rng(taken.artefact_seed)
    painter = artefacts.Artefacts(random, scene)
    subject = scene.mask > 0
    if taken.holder != "none":
        adult = holder.holding_fingers(scene, taken.holder, random)
        attenuation, subject = attenuation + adult, subject | (adult > 0)
    if taken.tape:
        attenuation = attenuation + painter.tape()
    if taken.immobiliser != "none":
        attenuation = attenuation + painter.immobiliser(taken.immobiliser)
    received = _beam(attenuation * np.float32(taken.hardness), taken, scene.camera)
    quantum = rng.standard_normal(received.shape, dtype=np.float32)
    received += np.float32(taken.noise) * quantum * np.sqrt(received)
    grey = _develop(received, subject, taken, scene.camera)
    exposed = np.ones_like(scene.mask)
    if taken.collimation != "none":
        grey, exposed = field.collimate(grey, taken.collimation, scene, random)
    if taken.marker:
        grey = painter.mark(grey)
    if taken.border != "none":
        grey, left = field.border(grey, taken.border, scene, random)
        exposed = exposed & left
    if taken.inverted:
        grey = np.float32(255) - grey
    if taken.half_resolution:
        grey = _coarser(grey, 2)
    return np.clip(np.round(grey), 0, 255).astype(np.uint8), exposed


def _beam(attenuation: np.ndarray, taken: Acquisition, camera: Camera) -> np.ndarray:
    """Radiation behind the hand as a fraction of the open beam: primary, unsharp, and scattered."""
    primary = np.exp(-attenuation)
    primary = cv2.GaussianBlur(primary, (0, 0), max(0.45, taken.blur * camera.pixels_per_unit))
    scattered = _wide_blur(primary, 0.12 * camera.pixels_per_unit)
    return (primary + np.float32(taken.scatter) * scattered) / np.float32(1 + taken.scatter)


def _develop(
    received: np.ndarray, subject: np.ndarray, taken: Acquisition, camera: Camera
) -> np.ndarray:
    """The detector's curve and its software: radiation -> grey values, float32.

    `subject` bool [height, width] is the tissue whose densest parts become white.
    """
    density = -np.log(np.maximum(received, np.float32(1e-3)))
    broad = _wide_blur(density, 0.07 * camera.pixels_per_unit)
    density = density + np.float32(taken.detail) * (density - broad)
    densest = float(np.percentile(density[subject][::7], 99.5)) if subject.any() else 1.0
    shown = np.clip(density / max(densest, 1e-3), 0, 1.15) ** np.float32(taken.gamma)
    return np.float32(taken.black) + np.float32(taken.white - taken.black) * shown


def _wide_blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with a large sigma, computed on a coarse copy."""
    coarse = max(1, int(sigma / 4))
    return _coarser(plane, coarse, sigma / coarse)


def _coarser(plane: np.ndarray, factor: int, sigma: float = 0.0) -> np.ndarray:
    """Resampled through a copy `factor` times coarser, there blurred by `sigma` of its pixels."""
    size = tuple(max(1, round(side / factor)) for side in plane.shape[::-1])
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    if sigma:
        small = cv2.GaussianBlur(small, (0, 0), sigma)
    return cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
