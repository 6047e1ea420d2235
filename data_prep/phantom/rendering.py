"""Outlines -> attenuation: thickness of soft tissue and bone under every pixel.

A bone is a tube of cortical bone around trabecular bone. Its chord under a pixel follows from the
distance to its edge, as in a cylinder: the shaft gets its bright rims and the ends their even grey.
Everything is rendered at twice the resolution and averaged.
"""

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom.bones import Bone
from bone_age_tf.data_prep.phantom.soft_tissue import SoftPart

FINER = 2
LABELS_FINER = 4
EDGE_OF_A_FINE_FILL = 143
"""Of 255: half a pixel covered, and what a fill adds because it holds its edge."""
CORTICAL_PER_MM = 0.085
TRABECULAR_PER_MM = 0.0165
SOFT_PER_MM = 0.021
"""Effective attenuation at about 55 kV, after the tissue has hardened the beam."""
TRABECULA = 0.0090
"""Distance of neighbouring trabeculae in hand units."""
_TILE = 256
_WAVE = 9.0  # pixels of the tile


@dataclasses.dataclass(frozen=True)
class Camera:
    """Hand units -> pixels of the picture (x = column, y = row; integers are pixel centres)."""

    matrix: np.ndarray
    """float [2, 3]."""
    height: int
    width: int

    @property
    def pixels_per_unit(self) -> float:
        """Length of one hand unit in pixels."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def project(self, points: np.ndarray) -> np.ndarray:
        """float [..., 2] in hand units -> float [..., 2] in pixels."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def finer(self) -> "Camera":
        """The same view in pixels of half the size."""
        matrix = self.matrix * FINER
        matrix[:, 2] += (FINER - 1) / 2
        return Camera(matrix, self.height * FINER, self.width * FINER)


def bone_attenuation(
    bones: Sequence[Bone], camera: Camera, millimetres: float, rng: np.random.Generator
) -> np.ndarray:
    """Attenuation (natural logarithm) by bone, float32 [height, width].

    `millimetres` is the length of a hand unit.
    """
    fine = camera.finer()
    plane = np.zeros((fine.height, fine.width), np.float32)
    for bone in bones:
        offset = rng.integers(0, _TILE, 2)
        _add_bone(plane, bone, fine, millimetres, offset)
    return cv2.resize(plane, (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def label_map(bones: Sequence[Bone], camera: Camera, labels: Sequence[str]) -> np.ndarray:
    """uint8 [height, width]: 0 background, 1 + position of the bone's name in `labels`.

    A pixel belongs to a bone that covers half of it; where bones overlap, to the later one.
    """
    labelled = np.zeros((camera.height, camera.width), np.uint8)
    for bone in bones:
        outlines = [camera.project(outline) for outline in bone.outlines]
        window = _window(outlines, camera)
        if window is None:
            continue
        low, high = window
        size = tuple((high - low).tolist())
        fine = np.zeros((size[1] * LABELS_FINER, size[0] * LABELS_FINER), np.uint8)
        for outline in outlines:
            _fill(fine, (outline - low + 0.5) * LABELS_FINER - 0.5, 255)
        covered = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
        part = labelled[low[1] : high[1], low[0] : high[0]]
        part[covered > EDGE_OF_A_FINE_FILL] = 1 + labels.index(bone.name)
    return labelled


def _window(outlines: Sequence[np.ndarray], camera: Camera) -> tuple[np.ndarray, np.ndarray] | None:
    """First and last column and row of the picture that outlines reach; None where outside."""
    every = np.concatenate(outlines)
    low = np.maximum(np.floor(every.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(every.max(axis=0)).astype(int) + 3, (camera.width, camera.height))
    return None if (high <= low).any() else (low, high)


def _add_bone(
    plane: np.ndarray, bone: Bone, camera: Camera, millimetres: float, offset: np.ndarray
) -> None:
    outlines = [camera.project(outline) for outline in bone.outlines]
    window = _window(outlines, camera)
    if window is None:
        return
    low, high = window
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    for outline in outlines:
        _fill(mask, outline - low, 1)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) - np.float32(1)  # a fill holds its edge
    depth = np.maximum(depth, 0) / np.float32(camera.pixels_per_unit)
    along, across = _bone_coordinates(bone, camera, low, mask.shape)
    attenuation = _attenuation(bone, depth, along, across, offset) * np.float32(millimetres)
    plane[low[1] : high[1], low[0] : high[0]] += attenuation * mask


def _bone_coordinates(
    bone: Bone, camera: Camera, corner: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each pixel from the bone's origin, along its axis and across, in hand units."""
    inverse = np.linalg.inv(camera.matrix[:, :2])
    across_axis = np.array([bone.axis[1], -bone.axis[0]])
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    grids = []
    for axis in (bone.axis, across_axis):
        per_pixel = axis @ inverse
        constant = per_pixel @ (corner - camera.matrix[:, 2]) - axis @ bone.origin
        grid = (per_pixel[1] * rows)[:, None] + (per_pixel[0] * columns + constant)[None, :]
        grids.append(grid.astype(np.float32))
    return grids[0], grids[1]


def _attenuation(
    bone: Bone, depth: np.ndarray, along: np.ndarray, across: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    thick, thin = bone.cortex
    middle = np.float32(0.5 * bone.length if bone.length < 1 else 0.45)
    shaft = np.exp(-(((along - middle) / np.float32(0.62 * middle)) ** 4))
    cortex = np.float32(thin) + np.float32(max(thick - thin, 0)) * shaft
    radius = np.float32(bone.half_depth)
    outer = _chord(depth, radius)
    inner = _chord(np.maximum(depth - cortex, 0), np.maximum(radius - cortex, np.float32(1e-4)))
    texture = _texture(along * (1 - np.float32(0.45) * shaft), across, offset)
    trabecular = inner * (1 - np.float32(0.7) * shaft)
    result = (
        np.float32(CORTICAL_PER_MM) * (outer - inner) + np.float32(TRABECULAR_PER_MM) * trabecular
    )
    result *= 1 + np.float32(0.15) * texture
    for line in bone.lines:
        band = np.exp(-(((along - np.float32(line.distance)) / np.float32(0.0042)) ** 2))
        result += np.float32(0.020 * line.strength * CORTICAL_PER_MM) * band
    return result


def _chord(depth: np.ndarray, radius: np.ndarray | np.float32) -> np.ndarray:
    """Length of the beam's way through a rounded body at a distance from its edge."""
    inside = np.minimum(depth, radius)
    return 2 * np.sqrt(inside * (2 * radius - inside))


def _texture(along: np.ndarray, across: np.ndarray, offset: np.ndarray) -> np.ndarray:
    scale = np.float32(_WAVE / TRABECULA)
    row = (along * scale + np.float32(offset[0])).astype(np.int32) & (_TILE - 1)
    column = (across * scale + np.float32(offset[1])).astype(np.int32) & (_TILE - 1)
    return _tile()[row, column]


@functools.cache
def _tile() -> np.ndarray:
    """A net of bright lines that repeats without a seam, mean 0, float32 [256, 256]."""
    noise = np.fft.fft2(np.random.default_rng(0).standard_normal((_TILE, _TILE)))
    wave = np.hypot(*np.meshgrid(np.fft.fftfreq(_TILE), np.fft.fftfreq(_TILE)))

    def band(middle: float) -> np.ndarray:
        waves = np.real(np.fft.ifft2(noise * np.exp(-(((wave - middle) / (0.6 * middle)) ** 2))))
        return waves / waves.std()

    net = np.tanh(1.0 - 2.2 * np.abs(band(0.6 / _WAVE)))
    net = (net - net.mean()) / net.std() + 0.35 * band(0.16 / _WAVE)
    return net.astype(np.float32)


# === Soft tissue ===


def hand_mask(parts: Sequence[SoftPart], camera: Camera) -> np.ndarray:
    """uint8 [height, width], 1 where there is hand or forearm; the webs between fingers rounded."""
    units = camera.pixels_per_unit
    margin = round(0.2 * units)
    shape = (camera.height + 2 * margin, camera.width + 2 * margin)
    palm, hand = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for part in parts:
        _fill(hand, camera.project(part.outline) + margin, 1)
        if part.is_palm:
            _fill(palm, camera.project(part.outline) + margin, 1)
    hand |= _rounded(palm, 0.055 * units, 0.030 * units)
    hand = _rounded(hand, 0.014 * units, 0.010 * units, shrink=0.5)  # a fill holds its edge
    return np.ascontiguousarray(hand[margin:-margin, margin:-margin])


def parts_mask(parts: Sequence[SoftPart], camera: Camera) -> np.ndarray:
    """uint8 [height, width], 1 where any part is; nothing is rounded."""
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for part in parts:
        _fill(mask, camera.project(part.outline), 1)
    return mask


def _rounded(mask: np.ndarray, notch: float, corner: float, shrink: float = 0.0) -> np.ndarray:
    """Notches narrower than twice `notch` filled, corners smoothed over `corner`, all in pixels."""
    filled = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) < notch
    inside = cv2.distanceTransform(filled.astype(np.uint8), cv2.DIST_L2, 5) - shrink
    soft = cv2.GaussianBlur((inside >= notch).astype(np.float32), (0, 0), max(corner, 0.5))
    return (soft > 0.5).astype(np.uint8)


def soft_attenuation(
    parts: Sequence[SoftPart], mask: np.ndarray, camera: Camera, millimetres: float
) -> np.ndarray:
    """Attenuation (natural logarithm) by soft tissue, float32 [height, width]."""
    units = camera.pixels_per_unit
    depths = np.zeros(mask.shape, np.float32)
    for part in parts:
        _fill(depths, camera.project(part.outline), part.half_depth)
    for share in (0.10, 0.08):
        depths = cv2.blur(depths, (max(1, round(share * units)),) * 2)
    depths = np.maximum(depths, 0.03)
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, borderType=cv2.BORDER_REPLICATE)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] / np.float32(units)
    return _chord(inside, depths) * np.float32(SOFT_PER_MM * millimetres)


def _fill(target: np.ndarray, polygon: np.ndarray, value: float) -> None:
    points = np.round(polygon * 16).astype(np.int32)
    cv2.fillPoly(target, [points], color=float(value), lineType=cv2.LINE_8, shift=4)
