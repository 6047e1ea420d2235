"""Where the hand lies in the picture: what artefacts must spare, cross or cover."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bone_age_tf.data_prep.phantom.rendering import Camera
from bone_age_tf.data_prep.phantom.skeleton import RAYS, Point, Segment
from bone_age_tf.data_prep.phantom.soft_tissue import SoftPart

HAND_ENDS = -0.15
WRIST_ENDS = -0.25
"""In hand units: the carpus ends, and the ends of radius and ulna are complete."""
FOREARM_HALF_WIDTH = 0.16


@dataclasses.dataclass(frozen=True)
class Scene:
    """The hand in pixels of the picture (x = column, y = row)."""

    camera: Camera
    mask: np.ndarray
    """uint8 [height, width], 1 where there is hand or forearm."""
    outline: np.ndarray
    """float [n, 2]: the hand with the ends of radius and ulna, which no artefact hides."""
    wrist: Point
    towards_elbow: Point
    """Unit vector."""
    knuckles: Point
    """Middle of the proximal phalanges."""
    fingertips: np.ndarray
    """float [5, 2], the thumb first."""
    millimetres: float
    """Length of a hand unit."""

    @property
    def unit(self) -> float:
        """Length of a hand unit in pixels."""
        return self.camera.pixels_per_unit

    @property
    def size(self) -> np.ndarray:
        """Width and height of the picture."""
        return np.array([self.camera.width, self.camera.height])

    def covered(self, polygon: np.ndarray) -> float:
        """Share of some points of a polygon, within its convex hull, that lie on the hand."""
        weights = np.random.default_rng(0).dirichlet(np.ones(len(polygon)), 200)
        at = np.round(weights @ polygon).astype(int)
        inside = ((at >= 0) & (at < self.size)).all(axis=1)
        return float(self.mask[at[inside, 1], at[inside, 0]].sum() / len(at))


def place(
    parts: Sequence[SoftPart],
    segments: Mapping[str, Segment],
    mask: np.ndarray,
    camera: Camera,
    millimetres: float,
) -> Scene:
    """The scene of a hand whose soft parts and segments are given in hand units."""
    every = np.concatenate([part.outline for part in parts])
    radius, ulna = segments["radius"], segments["ulna"]
    wrist = 0.5 * (radius.head + ulna.head)
    ends = wrist + np.array([[-FOREARM_HALF_WIDTH, 0], [FOREARM_HALF_WIDTH, 0]])
    ends[:, 1] = WRIST_ENDS
    outline = np.concatenate([every[every[:, 1] > HAND_ENDS], ends])
    elbow = camera.matrix[:, :2] @ -(radius.axis + ulna.axis)
    phalanges = [segments[f"proximal_{ray}"] for ray in RAYS[1:]]
    middles = np.array([0.5 * (phalanx.base + phalanx.head) for phalanx in phalanges])
    tips = np.array([segments[f"distal_{ray}"].head for ray in RAYS])
    return Scene(
        camera=camera,
        mask=mask,
        outline=camera.project(outline),
        wrist=camera.project(wrist),
        towards_elbow=elbow / np.hypot(*elbow),
        knuckles=camera.project(middles.mean(axis=0)),
        fingertips=camera.project(tips),
        millimetres=millimetres,
    )
