"""Artefacts besides the hand: markers, collimation, film borders, an adult's finger."""

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom.rendering import Camera

LETTERS = "ABCDEFGHJKLMNPRSTVW"


class Artefacts:
    """Draws artefacts into one image; all random numbers come from the given generator."""

    def __init__(self, rng: np.random.Generator, camera: Camera, mask: np.ndarray) -> None:
        self._rng = rng
        self._height, self._width = camera.height, camera.width
        self._unit = camera.pixels_per_unit
        self._mask = mask

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

    def collimate(self, grey: np.ndarray, kind: str) -> np.ndarray:
        """Limits of the beam: `shutter`, `frame` or `unexposed` (see `Acquisition.collimation`)."""
        inside = self._tilted_field()
        soft = cv2.GaussianBlur(inside, (0, 0), max(0.8, 0.004 * self._unit))
        if kind == "shutter":
            return grey * soft
        level = float(grey.max())
        if kind == "unexposed":
            return grey * soft + np.float32(self._rng.uniform(0.75, 1.0) * level) * (1 - soft)
        width = max(1, round(self._rng.uniform(0.01, 0.04) * self._unit))
        edge = cv2.morphologyEx(
            inside, cv2.MORPH_GRADIENT, np.ones((width + 2, width + 2), np.uint8)
        )
        edge = cv2.GaussianBlur(edge, (0, 0), width / 2)
        around = np.float32(self._rng.uniform(0.0, 0.35) * level)
        lit = grey * soft + around * (1 - soft)
        return lit + edge * np.float32(self._rng.uniform(0.15, 0.6)) * (np.float32(level) - lit)

    def _tilted_field(self) -> np.ndarray:
        """float32 [height, width]: 1 inside a rectangle, slightly turned, that holds most of the hand."""
        rows, columns = np.nonzero(self._mask)
        if rows.size == 0:
            return np.ones(self._mask.shape, np.float32)
        left, right, top = columns.min(), columns.max(), rows.min()
        slack = self._rng.uniform(0.0, 0.25, 4) * self._unit
        low = np.array([left - slack[0], top - slack[1]])
        high = np.array(
            [right + slack[2], self._height * self._rng.uniform(0.93, 1.05) + slack[3] * 0.2]
        )
        box = cv2.RotatedRect(
            tuple((low + high) / 2), tuple(high - low), float(self._rng.normal(0, 2.0))
        )
        field = np.zeros(self._mask.shape, np.float32)
        cv2.fillPoly(field, [np.round(box.points()).astype(np.int32)], (1.0,))
        return field

    def border(self, grey: np.ndarray) -> np.ndarray:
        """Black around the film where there is space beside the hand."""
        rows, columns = np.nonzero(self._mask)
        if rows.size == 0:
            return grey
        limits = (rows.min(), columns.min(), self._width - 1 - columns.max())
        top, left, right = (round(self._rng.uniform(0.2, 0.9) * max(limit, 0)) for limit in limits)
        bottom = round(self._rng.choice([0.0, 0.04]) * self._height)
        framed = np.zeros_like(grey)
        inner = (slice(top, self._height - bottom), slice(left, self._width - right))
        framed[inner] = grey[inner]
        return framed

    def holder(self) -> np.ndarray:
        """Attenuation of an adult's finger that reaches in from an edge, float32 [height, width]."""
        side = int(self._rng.integers(3))
        along = self._rng.uniform(0.05, 0.95)
        starts = (
            (0.0, along * self._height),
            (float(self._width), along * self._height),
            (along * self._width, 0.0),
        )
        start = np.array(starts[side])
        towards = np.array([self._width / 2, self._height / 2]) - start
        towards = towards / np.hypot(*towards)
        end = start + towards * self._unit * self._rng.uniform(0.1, 0.3)
        skin = np.zeros(self._mask.shape, np.uint8)
        bone = np.zeros(self._mask.shape, np.uint8)
        first, last = (
            tuple(np.round(start).astype(int).tolist()),
            tuple(np.round(end).astype(int).tolist()),
        )
        inner = tuple(np.round(end - towards * 0.05 * self._unit).astype(int).tolist())
        cv2.line(skin, first, last, (1,), max(1, round(0.17 * self._unit)), cv2.LINE_8)
        cv2.line(bone, first, inner, (1,), max(1, round(0.065 * self._unit)), cv2.LINE_8)
        return _rounded(skin, 0.45) + _rounded(bone, 0.55)


def _rounded(mask: np.ndarray, most: float) -> np.ndarray:
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    share = distance / max(float(distance.max()), 1.0)
    return np.float32(most) * np.sqrt(share * (2 - share))


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
