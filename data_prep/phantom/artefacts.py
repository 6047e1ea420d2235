"""Artefacts in the beam besides the hand: lead markers, tape, plates, foam and straps."""

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom.scene import Scene
from bone_age_tf.data_prep.phantom.skeleton import turn

LETTERS = "ABCDEFGHJKLMNPRSTVW"


class Artefacts:
    """Draws artefacts into one image; all random numbers come from the given generator."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        self._rng = rng
        self._scene = scene
        self._height, self._width = scene.mask.shape
        self._unit = scene.unit
        self._mask = scene.mask

    def mark(self, grey: np.ndarray) -> np.ndarray:
        """A marker of lead letters, often on a plate, where there is least hand."""
        tall = float(self._rng.uniform(0.07, 0.15)) * self._unit
        plate = np.zeros((round(2.6 * tall), round(1.7 * tall)), np.uint8)
        if self._rng.random() < 0.6:
            plate[:] = self._rng.integers(10, 36)
            cv2.circle(
                plate, (plate.shape[1] // 2, round(0.18 * tall)), round(0.09 * tall), (0,), -1
            )
        self._letters(plate, "L" if self._rng.random() < 0.93 else "R", 0.95 * tall, 1.35 * tall)
        initials = "".join(self._rng.choice(list(LETTERS), self._rng.integers(2, 4)))
        if self._rng.random() < 0.75:
            self._letters(plate, initials, 0.5 * tall, 2.2 * tall)
        turned = float(self._rng.choice([0, 0, 0, 90, -90, 180]) + self._rng.normal(0, 18))
        stamp = _rotated(plate.astype(np.float32) / 255, turned)
        if self._rng.random() < 0.12:
            stamp = stamp[:, ::-1]
        row, column = self._free_place(stamp.shape)
        return _blend(grey, stamp, row, column)

    def _letters(self, plate: np.ndarray, text: str, tall: float, baseline: float) -> None:
        face = int(self._rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX]))
        thick = max(1, round(tall * self._rng.uniform(0.10, 0.2)))
        (wide, high), _ = cv2.getTextSize(text, face, 1.0, thick)
        scale = min(tall / high, 0.92 * plate.shape[1] / wide)
        left = round((plate.shape[1] - wide * scale) / 2)
        cv2.putText(plate, text, (left, round(baseline)), face, scale, (255,), thick, cv2.LINE_AA)

    def _free_place(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """The one of twelve positions that covers least of the hand."""
        rows = self._rng.integers(-shape[0] // 4, max(1, self._height - 3 * shape[0] // 4), 12)
        columns = self._rng.integers(-shape[1] // 4, max(1, self._width - 3 * shape[1] // 4), 12)
        places = list(zip(rows.tolist(), columns.tolist(), strict=True))
        covered = [
            int(self._mask[max(r, 0) : r + shape[0], max(c, 0) : c + shape[1]].sum())
            for r, c in places
        ]
        return places[int(np.argmin(covered))]

    def tape(self) -> np.ndarray:
        """Attenuation of one to three strips of tape over forearm, fingers or palm."""
        plane = np.zeros(self._mask.shape, np.float32)
        for _ in range(int(self._rng.choice([1, 1, 2, 3]))):
            share = float(self._rng.choice([-1, 0, 1]) + self._rng.normal(0, 0.2))
            on = self._scene.wrist + share * (self._scene.knuckles - self._scene.wrist)
            half_length = float(self._rng.choice([0.35, 0.7, 4.0]) * self._rng.uniform(0.7, 1.2))
            half_width = float(self._rng.uniform(6, 13)) / self._scene.millimetres
            strip = self._across(on, half_length, half_width, tilt=22)
            _add(plane, strip, float(self._rng.uniform(0.012, 0.05)))
        return plane

    def immobiliser(self, kind: str) -> np.ndarray:
        """Attenuation of a `plate` (Plexiglas) with its edges, of `foam` or of a `strap` at the wrist."""
        return {"plate": self._plate, "foam": self._foam, "strap": self._strap}[kind]()

    def _plate(self) -> np.ndarray:
        plane = np.zeros(self._mask.shape, np.float32)
        end = 0.5 * self._scene.size + self._rng.uniform(-0.4, 0.4, 2) * self._scene.size
        half = np.array([self._rng.choice([0.5, 1.0, 4.0]), self._rng.uniform(0.25, 1.0)])
        sheet = self._across(end, *(half * self._rng.uniform(0.8, 1.3, 2)), tilt=6)
        _add(plane, sheet, float(self._rng.uniform(0.03, 0.14)))
        rim = np.zeros(self._mask.shape, np.float32)
        thick = max(1, round(float(self._rng.uniform(0.003, 0.012)) * self._unit))
        cv2.polylines(rim, [np.round(sheet).astype(np.int32)], True, (1.0,), thick)
        return plane + np.float32(self._rng.choice([0, 0, 0.05, 0.1])) * rim

    def _foam(self) -> np.ndarray:
        """A sponge beside or under the hand: light, thinner towards one end, full of bubbles."""
        plane = np.zeros(self._mask.shape, np.float32)
        on = self._scene.wrist + self._rng.normal(0, 0.6, 2) * self._unit
        block = self._across(on, *self._rng.uniform((0.4, 0.2), (1.6, 0.7)), tilt=20)
        _add(plane, block, float(self._rng.uniform(0.02, 0.07)))
        coarse = max(1, round(0.006 * self._unit))
        small = (self._height // coarse + 1, self._width // coarse + 1)
        bubbles = self._rng.standard_normal(small, dtype=np.float32)
        bubbles = cv2.resize(bubbles, (self._width, self._height), interpolation=cv2.INTER_LINEAR)
        first, last = self._rng.uniform(0.5, 1, 2)
        wedge = np.linspace(first, last, self._height, dtype=np.float32)
        return plane * (1 + np.float32(0.22) * bubbles) * wedge[:, None]

    def _strap(self) -> np.ndarray:
        """A bandage or a strap around the forearm, with dense seams and folds."""
        plane = np.zeros(self._mask.shape, np.float32)
        elbow = self._scene.towards_elbow
        on = self._scene.wrist + self._rng.uniform(0.1, 0.45) * self._unit * elbow
        half_length, half_width = self._rng.uniform(0.19, 0.27), self._rng.uniform(0.05, 0.2)
        strap = self._across(on, half_length, half_width, tilt=10)
        strap += self._rng.normal(0, 0.012 * self._unit, strap.shape)
        dense = float(self._rng.uniform(0.04, 0.16))
        _add(plane, strap, dense)
        along, across = strap[1] - strap[0], strap[3] - strap[0]
        for share in (*self._rng.uniform(0, 1, int(self._rng.integers(0, 4))), 0.04, 0.96):
            first = strap[0] + share * across
            fold = np.array(
                [first, first + along, first + along + 0.05 * across, first + 0.05 * across]
            )
            _add(plane, fold, dense * float(self._rng.uniform(0.2, 0.8)))
        return plane

    def _across(
        self, on: np.ndarray, half_length: float, half_width: float, *, tilt: float
    ) -> np.ndarray:
        """A strip float [4, 2] across the forearm's direction, in hand units, tilted at random."""
        along = turn(self._scene.towards_elbow, 90 + float(self._rng.normal(0, tilt)))
        side = turn(along, 90)
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_length, half_width)
        return on + self._unit * (corners @ np.stack([along, side]))


def _add(plane: np.ndarray, polygon: np.ndarray, value: float) -> None:
    """Add a filled polygon to a plane."""
    filled = np.zeros(plane.shape, np.float32)
    cv2.fillPoly(filled, [np.round(polygon).astype(np.int32)], (value,))
    plane += filled


def _rotated(stamp: np.ndarray, degrees: float) -> np.ndarray:
    side = int(np.ceil(np.hypot(*stamp.shape)))
    matrix = cv2.getRotationMatrix2D((stamp.shape[1] / 2, stamp.shape[0] / 2), degrees, 1.0)
    matrix[:, 2] += (side - np.array(stamp.shape[::-1])) / 2
    return cv2.warpAffine(stamp, matrix, (side, side), flags=cv2.INTER_LINEAR)


def _blend(grey: np.ndarray, stamp: np.ndarray, row: int, column: int) -> np.ndarray:
    """Lay a stamp (0: nothing, 1: lead) over the picture; what lies outside is cut off."""
    top, left = max(row, 0), max(column, 0)
    bottom, right = (
        min(row + stamp.shape[0], grey.shape[0]),
        min(column + stamp.shape[1], grey.shape[1]),
    )
    if bottom <= top or right <= left:
        return grey
    part = stamp[top - row : bottom - row, left - column : right - column]
    result = grey.copy()
    under = result[top:bottom, left:right]
    result[top:bottom, left:right] = under + part * (np.float32(max(250.0, grey.max())) - under)
    return result
