"""Limits of the exposed field: collimation, and the borders of the detector or the film."""

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom.scene import Scene
from bone_age_tf.data_prep.phantom.skeleton import rotation

FAR = 6.0
"""In hand units: beyond the edge of the picture."""


def collimate(
    grey: np.ndarray, kind: str, scene: Scene, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The picture with limits of the beam, and where it is exposed, uint8 [height, width], 1 inside.

    The field holds the hand with the ends of radius and ulna; it may cut the forearm.
    """
    inside = _field(scene, rng)
    soft = cv2.GaussianBlur(inside, (0, 0), max(0.8, 0.004 * scene.unit))
    exposed = (soft > 0.5).astype(np.uint8)
    level = float(grey.max())
    if kind == "shutter":
        return grey * soft, exposed
    if kind == "unexposed":
        return _mix(grey, soft, np.float32(rng.uniform(0.75, 1.0) * level)), exposed
    lit = _mix(grey, soft, _surroundings(grey, scene, rng))
    if kind == "frame":
        line = _line(inside, scene, rng)
        lit += line * np.float32(rng.uniform(0.15, 0.6)) * (np.float32(level) - lit)
    return lit, exposed


def _mix(grey: np.ndarray, share: np.ndarray, other: np.ndarray | np.float32) -> np.ndarray:
    return grey * share + other * (1 - share)


def _surroundings(grey: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The grey of scattered radiation around the field: about that of the background, uneven, noisy."""
    beside = grey[scene.mask == 0][::13]
    background = float(np.median(beside)) if beside.size else 0.0
    level = background * rng.uniform(0.2, 1.15) + rng.uniform(0, 14)
    slope = rng.normal(0, 0.07, 2) * level
    rows = np.linspace(-0.5, 0.5, grey.shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-0.5, 0.5, grey.shape[1], dtype=np.float32)
    plane = np.float32(level) + np.float32(slope[0]) * rows + np.float32(slope[1]) * columns
    grain = rng.standard_normal(grey.shape, dtype=np.float32)
    return np.maximum(plane + np.float32(rng.uniform(0, 1.5)) * grain, 0)


def _line(inside: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The bright edge that edge enhancement makes of a field's limit, 0 to 1."""
    width = max(1, round(rng.uniform(0.01, 0.04) * scene.unit))
    box = np.ones((width + 2, width + 2), np.uint8)
    edge = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, box)
    return cv2.GaussianBlur(edge, (0, 0), width / 2)


def _field(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """float32 [height, width]: 1 inside a rectangle, often slanted, that holds `scene.outline`."""
    slanted = rng.random() < 0.3
    turned = rotation(float(rng.uniform(-28, 28) if slanted else rng.normal(0, 2)))
    seen, elbow = scene.outline @ turned.T, turned @ scene.towards_elbow
    limits = np.stack([seen.min(axis=0), seen.max(axis=0)])
    for side, sign in ((0, -1), (1, 1)):
        for axis in (0, 1):
            limits[side, axis] += sign * scene.unit * _slack(sign * elbow[axis], rng)
    (left, top), (right, bottom) = limits
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) @ turned
    field = np.zeros(scene.mask.shape, np.uint8)
    cv2.fillPoly(field, [np.round(corners * 16).astype(np.int32)], (255,), cv2.LINE_AA, shift=4)
    return field.astype(np.float32) / 255


def _slack(towards_elbow: float, rng: np.random.Generator) -> float:
    """Distance of the field's limit from the hand on one side, in hand units."""
    beyond, near, share = rng.random(), rng.uniform(0.0, 0.3), rng.uniform(0.0, 1.0)
    if towards_elbow > 0.5:
        return FAR if beyond < 0.45 else 0.02 + 0.7 * float(share) ** 2
    return FAR if beyond < 0.1 else float(near)


def border(
    grey: np.ndarray, kind: str, scene: Scene, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The picture with the border of its film or detector, and where the picture is left, uint8.

    `kind` as in `Acquisition.border`.
    """
    if kind == "glow":
        return _glow(grey, scene, rng), np.ones_like(scene.mask)
    if kind == "corner":
        return _corner(grey, scene, rng)
    film = np.zeros_like(scene.mask)
    low, high = scene.outline.min(axis=0), scene.outline.max(axis=0)
    room = np.concatenate([low, scene.size - 1 - high])
    most = np.inf if kind == "film" else 0.12 * max(grey.shape)
    widths = np.clip(rng.uniform(0.2, 0.9, 4) * room, 0, most)
    left, top, right, bottom = widths.round().astype(int)
    if rng.random() < 0.6:  # the forearm is cut by the picture's edge
        bottom = round(float(rng.choice([0.0, 0.04])) * grey.shape[0])
    film[top : scene.mask.shape[0] - bottom, left : scene.mask.shape[1] - right] = 1
    around = 0.0 if kind == "film" else max(float(grey.max()), 235.0)
    return np.where(film > 0, grey, np.float32(around)), film


def _glow(grey: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """White at the edges of the picture that fades inwards, as local contrast enhancement leaves it."""
    reach = float(rng.uniform(0.008, 0.05)) * scene.unit
    strength = rng.uniform(0.4, 1.1, 4) * (rng.random(4) < 0.8)
    dark = [
        (1 - np.minimum(strength[axis] * _fading(length, reach), 1))
        * (1 - np.minimum(strength[axis + 2] * _fading(length, reach)[::-1], 1))
        for axis, length in enumerate(grey.shape)
    ]
    kept = np.outer(*dark).astype(np.float32)
    return _mix(grey, kept, np.float32(max(float(grey.max()), 200.0)))


def _fading(length: int, reach: float) -> np.ndarray:
    return np.exp(-np.arange(length) / max(reach, 0.5))


def _corner(
    grey: np.ndarray, scene: Scene, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A white triangle in the corner where least of the hand is: there no radiation came."""
    shares = rng.uniform(0.08, 0.4, 2) * scene.size
    triangles = []
    for at in ((0, 0), (1, 0), (0, 1), (1, 1)):
        inwards = 1 - 2 * np.array(at)
        corner = np.array(at) * scene.size
        triangles.append(corner + np.outer([0, 1, 0], inwards * shares) * [1, 0]
                         + np.outer([0, 0, 1], inwards * shares) * [0, 1])  # fmt: skip
    chosen = min(triangles, key=scene.covered)
    left = np.ones_like(scene.mask)
    cv2.fillPoly(left, [np.round(chosen).astype(np.int32)], (0,))
    return np.where(left > 0, grey, np.float32(max(float(grey.max()), 240.0))), left
