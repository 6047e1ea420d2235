"""Negatives for the localizer: radiographs of other parts of the body, drawn from tubes and ovals.

Places are (x, y) in picture heights: x from the middle, y from the top. A tube is a path with a radius at
each of its points; an oval is a middle with two half axes. Both are mirrored where `pair` says so.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from bone_age_tf.training.localizer.examples import SIDE

Random = np.random.Generator
Path = Sequence[tuple[float, float, float]]
"""x, y, radius."""


class Plate:
    """A picture under construction: what attenuates is added up, then exposed."""

    def __init__(self, rng: Random, aspect: tuple[float, float]) -> None:
        """`aspect`: least and largest width over height."""
        self.rng, self.height = rng, int(rng.integers(220, SIDE))
        self.width = round(self.height * rng.uniform(*aspect))
        self.plane = np.zeros((self.height, self.width), np.float32)
        self._stretch = rng.normal(1, 0.08, 2)
        self._size = np.exp(rng.normal(0, 0.12))

    def flesh(self, *paths: Path, pair: bool = False, depth: float = 0.6) -> None:
        """Soft tissue, or air where `depth` is negative."""
        mask = self._mask(paths, pair)
        sigma = 0.012 * self.height
        self.plane += depth * cv2.GaussianBlur(mask, (0, 0), sigma).astype(np.float32) / 255

    def bone(
        self, *paths: Path, pair: bool = False, density: float = 0.5, cortex: float = 0.012
    ) -> None:
        """Spongy bone within a denser rim."""
        density *= np.exp(self.rng.normal(0, 0.2))
        mask = self._mask(paths, pair)
        wide = 2 * max(1, round(cortex * self.height * self.rng.uniform(0.6, 1.4))) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
        rim = cv2.GaussianBlur(mask - cv2.erode(mask, kernel), (0, 0), 1)
        soft = cv2.GaussianBlur(mask, (0, 0), 1)
        self.plane += np.float32(density) * (0.5 * soft + 0.6 * rim).astype(np.float32) / 255

    def expose(self) -> np.ndarray:
        """uint8 [height, width], turned, with grain, and sometimes with a lead letter."""
        rng = self.rng
        turn = rng.normal(0, 10) + rng.choice([0, 90, 180, 270], p=[0.79, 0.07, 0.07, 0.07])
        middle = (self.width / 2, self.height / 2)
        matrix = cv2.getRotationMatrix2D(middle, float(turn), float(rng.uniform(0.8, 1.15)))
        edge = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
        thick = cv2.warpAffine(self.plane, matrix, (self.width, self.height), borderMode=edge)
        grey = 1 - np.exp(-np.maximum(thick, 0) * rng.uniform(0.7, 1.8))
        grey += rng.normal(0, rng.uniform(0.005, 0.03), grey.shape)
        black = rng.uniform(0, 80)
        picture = np.clip(black + (rng.uniform(140, 255) - black) * grey, 0, 255).astype(np.uint8)
        if rng.random() < 0.4:
            at = (
                int(rng.uniform(0.03, 0.8) * self.width),
                int(rng.uniform(0.1, 0.95) * self.height),
            )
            cv2.putText(picture, str(rng.choice(["L", "R"])), at, 0, 0.8, (255,), 2, cv2.LINE_AA)
        return picture

    def _mask(self, paths: Sequence[Path], pair: bool) -> np.ndarray:
        mask = np.zeros(self.plane.shape, np.uint8)
        for path in paths:
            places = np.asarray(path, float) * (*self._stretch, 1)
            places[:, :2] += self.rng.normal(0, 0.006, places[:, :2].shape)
            for side in (1, -1) if pair else (1,):
                self._tube(mask, places * (side, 1, 1))
        return mask

    def _tube(self, mask: np.ndarray, places: np.ndarray) -> None:
        places = places * self._size
        at = places[:, :2] * self.height + (self.width / 2, 0)
        radii = np.maximum(places[:, 2] * self.height, 1)
        for first, last, one, other in zip(at[:-1], at[1:], radii[:-1], radii[1:], strict=True):
            along = last - first
            aside = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
            corners = [
                first + aside * one,
                last + aside * other,
                last - aside * other,
                first - aside * one,
            ]
            cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], (255,))
        for (x, y), radius in zip(at, radii, strict=True):
            cv2.circle(mask, (round(x), round(y)), round(radius), (255,), -1)


def _shoulder(rng: Random) -> np.ndarray:
    """Head and shaft of the humerus, scapula, clavicle and some ribs."""
    plate = Plate(rng, (0.8, 1.15))
    plate.flesh(
        [(-0.3, 0.2, 0.2), (-0.2, 1.1, 0.4)],
        [(0, 0.3, 0.22), (0.28, 0.45, 0.15), (0.34, 1.1, 0.13)],
    )
    plate.flesh([(-0.4, 0.5, 0.1), (-0.35, 1.1, 0.16)], depth=-0.3)
    plate.bone([(-0.05, 0.3, 0.03), (0.0, 0.45, 0.08), (-0.1, 0.85, 0.02)], density=0.3)
    plate.bone([(-0.5, 0.25, 0.025), (-0.2, 0.18, 0.02), (0.08, 0.2, 0.03)])
    plate.bone([(0.05, 0.25, 0.04), (0.17, 0.24, 0.03)])
    plate.bone(
        [(0.17, 0.36, 0.1), (0.24, 0.5, 0.055), (0.28, 1.15, 0.05)], density=0.6, cortex=0.016
    )
    for rib in range(int(rng.integers(3, 7))):
        y = 0.3 + 0.11 * rib
        plate.bone(
            [(-0.5, y, 0.014), (-0.25, y + 0.03, 0.013), (-0.12, y + 0.16, 0.012)], density=0.25
        )
    return plate.expose()


def _knee(rng: Random) -> np.ndarray:
    """From the front or from the side, one or both."""
    pair = rng.random() < 0.25
    plate = Plate(rng, (0.95, 1.25) if pair else (0.45, 0.8))
    x = 0.27 if pair else 0.0
    plate.flesh([(x, -0.1, 0.2), (x, 0.5, 0.17), (x, 1.1, 0.15)], pair=pair, depth=0.8)
    if rng.random() < 0.5 or pair:
        plate.bone(
            [(x, -0.1, 0.055), (x, 0.3, 0.06), (x, 0.42, 0.11)],
            [(x - 0.06, 0.44, 0.06), (x + 0.06, 0.44, 0.06)],
            pair=pair,
        )
        plate.bone(
            [(x - 0.05, 0.56, 0.055), (x + 0.05, 0.56, 0.055)],
            [(x, 0.58, 0.1), (x, 0.7, 0.06), (x, 1.1, 0.055)],
            pair=pair,
        )
        plate.bone([(x + 0.12, 0.64, 0.035), (x + 0.11, 1.1, 0.02)], pair=pair, density=0.4)
        plate.bone([(x, 0.38, 0.06), (x, 0.42, 0.06)], pair=pair, density=0.25)
    else:
        bend = rng.uniform(0, 0.3)
        plate.bone([(-bend - 0.05, -0.1, 0.055), (-0.04, 0.36, 0.07), (0.03, 0.45, 0.09)])
        plate.bone([(0, 0.58, 0.09), (-0.02, 0.7, 0.06), (-bend / 2, 1.1, 0.05)])
        plate.bone([(-0.09, 0.64, 0.03), (-0.1 - bend / 2, 1.1, 0.018)], density=0.4)
        plate.bone([(0.14, 0.36, 0.035), (0.15, 0.44, 0.03)])
    return plate.expose()


def _elbow(rng: Random) -> np.ndarray:
    """Bent or stretched: one bone above, two below."""
    plate = Plate(rng, (0.6, 1.2))
    angle = rng.uniform(0, 1.6)
    along = np.array([np.sin(angle), np.cos(angle)])
    aside = np.array([along[1], -along[0]])

    def ray(shift: float, *steps: tuple[float, float]) -> Path:
        places = [np.array([0, 0.5]) + shift * aside + along * step for step, _ in steps]
        return [(x, y, r) for (x, y), (_, r) in zip(places, steps, strict=True)]

    plate.flesh([(0, -0.1, 0.13), (0, 0.5, 0.13)], ray(0, (0, 0.13), (0.7, 0.1)), depth=0.7)
    plate.bone(
        [(0, -0.1, 0.05), (0, 0.35, 0.05), (0, 0.44, 0.08)],
        [(-0.06, 0.46, 0.045), (0.06, 0.46, 0.04)],
    )
    plate.bone(ray(0.045, (-0.03, 0.055), (0.1, 0.045), (0.7, 0.03)))
    plate.bone(ray(-0.05, (0.05, 0.04), (0.14, 0.028), (0.7, 0.035)))
    return plate.expose()


def _two_bones(rng: Random) -> np.ndarray:
    """A forearm or a lower leg without its end, or two of them, or an ankle."""
    pair = rng.random() < 0.4
    plate = Plate(rng, (0.7, 1.1) if pair else (0.35, 0.7))
    x, gap = (0.22 if pair else 0.0), rng.uniform(0.04, 0.08)
    thick, thin = rng.uniform(0.025, 0.055), rng.uniform(0.015, 0.035)
    low = rng.uniform(0.75, 1.2)
    plate.flesh([(x, -0.1, 0.16), (x, 0.4, 0.15), (x, 1.1, 0.1)], pair=pair, depth=0.7)
    plate.bone(
        [(x - gap, -0.1, thick), (x - gap * 1.1, 0.4, thick), (x - gap * 0.7, low, 1.6 * thick)],
        pair=pair,
    )
    plate.bone(
        [
            (x + gap, -0.1, thin),
            (x + gap * 1.1, 0.4, thin),
            (x + gap * 0.8, low + 0.02, 1.4 * thin),
        ],
        pair=pair,
    )
    if low < 0.9 and rng.random() < 0.7:
        plate.bone([(x - 0.05, low + 0.09, 0.05), (x + 0.04, low + 0.09, 0.05)], pair=pair)
        plate.bone([(x - 0.03, low + 0.2, 0.06), (x + 0.02, low + 0.22, 0.06)], pair=pair)
    return plate.expose()


def _long_bones(rng: Random) -> np.ndarray:
    """One thick bone or two side by side, as upper arms and thighs."""
    pair = rng.random() < 0.5
    plate = Plate(rng, (0.7, 1.2) if pair else (0.35, 0.8))
    x, thick, lean = (
        (rng.uniform(0.16, 0.3) if pair else 0.0),
        rng.uniform(0.03, 0.07),
        rng.normal(0, 0.06),
    )
    plate.flesh([(x + lean, -0.1, 0.2), (x, 1.1, 0.14)], pair=pair, depth=0.8)
    ends = rng.uniform(-0.1, 0.2), rng.uniform(0.8, 1.1)
    path = [(x + lean, ends[0], 2 * thick), (x + lean / 2, ends[0] + 0.15, 1.1 * thick)]
    plate.bone(
        [*path, (x, ends[1] - 0.15, 1.1 * thick), (x, ends[1], 2.2 * thick)],
        pair=pair,
        cortex=0.018,
    )
    return plate.expose()


def _pelvis(rng: Random) -> np.ndarray:
    """Wings, sacrum and hips, or one hip."""
    plate = Plate(rng, (0.5, 0.8) if rng.random() < 0.35 else (1.0, 1.35))
    x = 0.25 if plate.width < plate.height else 0.0
    plate.flesh([(0, 0.1, 0.55), (0, 0.9, 0.6)], depth=0.8)
    if not x:
        plate.bone([(0, -0.05, 0.06), (0, 0.2, 0.09), (0, 0.45, 0.04)], density=0.4)
    wing = [
        (0.13 - x, 0.3, 0.05),
        (0.26 - x, 0.18, 0.12),
        (0.34 - x, 0.3, 0.08),
        (0.3 - x, 0.48, 0.07),
    ]
    ring = [
        (0.28 - x, 0.55, 0.05),
        (0.14 - x, 0.58, 0.03),
        (0.04 - x, 0.66, 0.03),
        (0.16 - x, 0.82, 0.03),
        (0.27 - x, 0.62, 0.03),
    ]
    thigh = [
        (0.33 - x, 0.54, 0.075),
        (0.43 - x, 0.62, 0.06),
        (0.43 - x, 0.72, 0.055),
        (0.4 - x, 1.15, 0.05),
    ]
    for part in (wing, ring, thigh):
        plate.bone(part, pair=not x, density=0.45)
    return plate.expose()


def _skull(rng: Random) -> np.ndarray:
    """A head with orbits or from the side, jaw, teeth and neck."""
    plate = Plate(rng, (0.75, 1.0))
    side = rng.random() < 0.5
    lean = 0.12 if side else 0.0
    plate.flesh([(0, 0.35, 0.36), (lean, 0.75, 0.25), (0, 1.1, 0.17)], depth=0.5)
    plate.bone([(-lean, 0.36, 0.31), (lean / 2, 0.4, 0.3)], density=0.6, cortex=0.025)
    plate.bone(
        [
            (0.2 if not side else -0.02, 0.6, 0.03),
            (0.16, 0.82, 0.035),
            (0.02 + 2 * lean, 0.92, 0.04),
        ],
        pair=not side,
    )
    plate.flesh([(0.11 + lean, 0.5, 0.07), (0.13 + lean, 0.51, 0.06)], pair=not side, depth=-0.35)
    plate.flesh([(lean, 0.58, 0.03), (lean, 0.66, 0.05)], depth=-0.3)
    for tooth in np.linspace(-0.1, 0.1, int(rng.integers(4, 9))):
        plate.bone(
            [(tooth + 1.5 * lean, 0.74, 0.012), (tooth + 1.5 * lean, 0.84, 0.01)],
            density=0.5,
            cortex=0.004,
        )
    return plate.expose()


def _spine(rng: Random) -> np.ndarray:
    """Vertebrae one above the other, with or without ribs."""
    plate = Plate(rng, (0.4, 0.9))
    plate.flesh([(0, 0, 0.35), (0, 1, 0.35)], depth=0.6)
    tall, wide, bend = rng.uniform(0.05, 0.13), rng.uniform(0.03, 0.09), rng.normal(0, 0.1)
    for y in np.arange(-0.05, 1.1, tall):
        x = bend * np.sin(3 * y)
        plate.bone(
            [(x - wide, y, 0.4 * tall), (x + wide, y, 0.4 * tall)], density=0.5, cortex=0.006
        )
        if rng.random() < 0.8:
            plate.bone([(x, y, 0.012), (x, y + 0.4 * tall, 0.014)], density=0.3)
    if rng.random() < 0.5:
        _ribs(plate, wide)
    return plate.expose()


def _chest(rng: Random) -> np.ndarray:
    """Lungs, ribs, heart, collar bones and spine."""
    plate = Plate(rng, (0.8, 1.2))
    plate.flesh([(0, 0.1, 0.3), (0, 0.5, 0.45), (0, 1.1, 0.42)], depth=0.9)
    plate.flesh([(0.17, 0.2, 0.08), (0.24, 0.5, 0.14), (0.25, 0.72, 0.14)], pair=True, depth=-0.55)
    plate.flesh([(0.02, 0.45, 0.08), (0.1, 0.65, 0.13)], depth=0.4)
    plate.bone([(0.03, 0.14, 0.016), (0.2, 0.12, 0.013), (0.36, 0.06, 0.016)], pair=True)
    _ribs(plate, 0.05)
    for y in np.arange(0, 1.1, 0.07):
        plate.bone([(-0.03, y, 0.022), (0.03, y, 0.022)], density=0.3, cortex=0.005)
    return plate.expose()


def _ribs(plate: Plate, start: float) -> None:
    wide, gap = plate.rng.uniform(0.2, 0.4), plate.rng.uniform(0.06, 0.1)
    ribs = []
    for y in np.arange(0.1, 0.95, gap):
        reach = wide * min(1.0, 0.55 + 0.7 * y)
        ribs.append(
            [
                (start, y, 0.011),
                (0.7 * reach, y + 0.02, 0.012),
                (reach, y + 0.11, 0.011),
                (0.75 * reach, y + 0.2, 0.008),
            ]
        )
    plate.bone(*ribs, pair=True, density=0.3, cortex=0.004)


def _foot_from_the_side(rng: Random) -> np.ndarray:
    plate = Plate(rng, (0.9, 1.5))
    plate.flesh(
        [(-0.2, -0.1, 0.15), (-0.2, 0.5, 0.17)],
        [(-0.35, 0.68, 0.12), (0.1, 0.68, 0.13), (0.5, 0.78, 0.06)],
        depth=0.7,
    )
    plate.bone(
        [(-0.2, -0.1, 0.05), (-0.19, 0.4, 0.075)], [(-0.27, -0.1, 0.02), (-0.26, 0.46, 0.03)]
    )
    plate.bone(
        [(-0.22, 0.52, 0.07), (-0.05, 0.54, 0.05)], [(-0.4, 0.66, 0.07), (-0.08, 0.68, 0.05)]
    )
    plate.bone([(0.03, 0.57, 0.045), (0.03, 0.63, 0.04)], [(0.12, 0.62, 0.04), (0.12, 0.68, 0.03)])
    for ray in range(5):
        drop = 0.012 * ray
        plate.bone([(0.2, 0.66 + drop, 0.02), (0.4, 0.74 + drop, 0.022)], density=0.3)
        plate.bone([(0.43, 0.76 + drop, 0.016), (0.52, 0.79, 0.014)], density=0.3)
    return plate.expose()


KINDS: tuple[Callable[[Random], np.ndarray], ...] = (
    _shoulder,
    _knee,
    _elbow,
    _two_bones,
    _long_bones,
    _pelvis,
    _skull,
    _spine,
    _chest,
    _foot_from_the_side,
)


def other_body_part(rng: Random) -> np.ndarray:
    """uint8 [height, width] of one of `KINDS`."""
    return KINDS[int(rng.integers(len(KINDS)))](rng)
