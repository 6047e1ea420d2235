"""Endless samples for the hand localizer: whole hands, and negatives.

Everything random comes from one generator. A matrix is [2, 3], as OpenCV takes it.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from bone_age_tf.preprocessing.localizer.network import IMAGE_CLASSES, POINTS, VIEW
from bone_age_tf.training.localizer.examples import Example
from bone_age_tf.training.localizer.negatives import not_a_hand

HAND, NOT_A_HAND, NO_WHOLE_HAND, TWO_HANDS = range(len(IMAGE_CLASSES))


@dataclasses.dataclass(frozen=True)
class Sample:
    """One input of the network with its targets."""

    view: np.ndarray
    """uint8 [*VIEW, 1], before `network_input`."""
    mask: np.ndarray
    """float32 [*VIEW, 1], 0 to 1."""
    mask_weight: float
    """0 where no mask is known."""
    points: np.ndarray
    """float32 [points, 2] in pixels of the view; NaN where there is no target."""
    image_class: int
    inverted: bool


class Sampler:
    """Draws samples endlessly: whole hands, and negatives that are not one whole hand."""

    def __init__(
        self,
        groups: Sequence[tuple[float, Sequence[Example]]],
        seed: int | Sequence[int],
        *,
        negative_share: float = 0.3,
    ) -> None:
        """`groups` are shares with examples; `negative_share` is the share of pictures that are not one whole hand."""
        self._shares = np.array([share for share, _ in groups]) / sum(s for s, _ in groups)
        self._groups = [list(examples) for _, examples in groups]
        self._negative_share = negative_share
        self._rng = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[Sample]:
        while True:
            yield self.draw()

    def draw(self) -> Sample:
        """The next sample."""
        rng = self._rng
        if rng.random() >= self._negative_share:
            return _whole_hand(self._example(), rng)
        kind = rng.choice(["other", "cut", "two"], p=[0.42, 0.34, 0.24])
        if kind == "other":
            return _nothing(not_a_hand(self._example(), rng), rng)
        if kind == "cut":
            return _cut_hand(self._example(), rng)
        count = 3 if rng.random() < 0.1 else 2
        return _two_hands([self._example() for _ in range(count)], rng)

    def _example(self) -> Example:
        group = self._groups[int(self._rng.choice(len(self._groups), p=self._shares))]
        return group[int(self._rng.integers(len(group)))]


# === Whole hands ===


def _whole_hand(example: Example, rng: np.random.Generator) -> Sample:
    """The radiograph turned, mirrored, zoomed and shifted, with all of its key points inside."""
    for _ in range(12):
        matrix = _similarity(example.image.shape, rng)
        points = _move(example.points, matrix)
        known = points[~np.isnan(points).any(axis=1)]
        if ((known > 2) & (known < np.array(VIEW[::-1]) - 3)).all():
            return _sample(example, matrix, points, HAND, rng)
    matrix = _fitting(example.image.shape)
    return _sample(example, matrix, _move(example.points, matrix), HAND, rng)


def _fitting(shape: tuple[int, ...]) -> np.ndarray:
    """The letterbox: [2, 3], pixels of the image to pixels of the view."""
    scale = min(VIEW[0] / shape[0], VIEW[1] / shape[1])
    shift = (np.array(VIEW[::-1]) - scale * np.array(shape[1::-1])) / 2 + 0.5 * scale - 0.5
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _similarity(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The letterbox followed by a random similarity about the centre of the view."""
    chance = rng.random()
    angle = rng.normal(0, 9)
    if chance < 0.15:
        angle = rng.uniform(-180, 180)
    elif chance < 0.45:
        angle = rng.uniform(-60, 60)
    zoom = np.exp(rng.normal(0, 0.16))
    if rng.random() < 0.12:  # a small hand in a large picture is a whole hand, too
        zoom = rng.uniform(0.4, 0.8)
    shift = rng.normal(0, 0.06, 2) * VIEW[::-1]
    flip = -1.0 if rng.random() < 0.4 else 1.0
    radians = np.deg2rad(angle)
    turn = zoom * np.array(
        [[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]
    )
    turn[:, 0] *= flip
    centre = (np.array(VIEW[::-1]) - 1) / 2
    letterbox = _fitting(shape)
    return np.column_stack(
        [turn @ letterbox[:, :2], turn @ (letterbox[:, 2] - centre) + centre + shift]
    )


def _move(points: np.ndarray | None, matrix: np.ndarray) -> np.ndarray:
    if points is None:
        return np.full((len(POINTS), 2), np.nan)
    return points @ matrix[:, :2].T + matrix[:, 2]


def _warp(image: np.ndarray, matrix: np.ndarray, border: int = 0) -> np.ndarray:
    return cv2.warpAffine(
        image, matrix, VIEW[::-1], flags=cv2.INTER_LINEAR, borderValue=(border,) * 4
    )


def _sample(
    example: Example,
    matrix: np.ndarray,
    points: np.ndarray,
    image_class: int,
    rng: np.random.Generator,
) -> Sample:
    image, inverted = _exposure(example.image, rng)
    if image_class == HAND and example.mask is not None and rng.random() < 0.06:
        image = np.where(example.mask > 127, image, np.uint8(0))  # as in registered data sets
    view = _noise(_warp(image, matrix), rng)
    mask = np.zeros(VIEW, np.uint8) if example.mask is None else _warp(example.mask, matrix)
    return Sample(
        view[..., np.newaxis],
        (mask[..., np.newaxis] / 255).astype(np.float32),
        0.0 if example.mask is None else 1.0,
        points.astype(np.float32),
        image_class,
        inverted,
    )


def _exposure(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Gamma, contrast, brightness and polarity."""
    curve = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3))
    low, span = rng.uniform(0, 0.3), rng.uniform(0.25, 1.0)
    curve = low * (1 - span) + span * curve
    inverted = bool(rng.random() < 0.12)
    if inverted:
        curve = 1 - curve
    return cv2.LUT(image, np.round(255 * curve).astype(np.uint8)), inverted


def _noise(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.25:
        view = cv2.GaussianBlur(view, (0, 0), float(rng.uniform(0.4, 1.3)))
    if rng.random() < 0.35:
        grain = rng.normal(0, rng.uniform(1, 6), view.shape)
        view = np.clip(view + grain, 0, 255).astype(np.uint8)
    return view


# === Negatives ===


def _cut_hand(example: Example, rng: np.random.Generator) -> Sample:
    """A hand that is partly outside of the image."""
    if example.points is None or np.isnan(example.points).any():
        return _nothing(not_a_hand(example, rng), rng)
    tip, _, capitate, *_ = example.points
    axis = tip - capitate
    unit = float(np.hypot(*axis))
    axis = axis / unit
    if rng.random() < 0.6:  # along the picture's own edges, as a detector cuts
        axis = np.where(np.abs(axis) == np.abs(axis).max(), np.sign(axis), 0.0)
    across = np.array([-axis[1], axis[0]])
    side = str(rng.choice(["fingers", "wrist", "side", "window"], p=[0.34, 0.28, 0.2, 0.18]))
    rows, columns = np.mgrid[: example.image.shape[0], : example.image.shape[1]]
    at = np.stack([columns, rows], axis=-1) - capitate
    along, aside = at @ axis / unit, at @ across / unit
    if side == "fingers":
        keep = along < rng.uniform(-0.1, 0.85)
    elif side == "wrist":
        keep = along > rng.uniform(0.02, 0.7)
    elif side == "side":
        keep = np.sign(rng.normal()) * aside > rng.uniform(-0.12, 0.2)
    else:
        middle = rng.uniform((-0.4, -0.4), (0.4, 1.0))
        half = rng.uniform(0.1, 0.35)
        keep = (np.abs(aside - middle[0]) < half) & (np.abs(along - middle[1]) < half)
    if keep.sum() < 0.01 * keep.size:
        return _nothing(not_a_hand(example, rng), rng)
    shown = np.argwhere(keep)
    (top, left), (bottom, right) = shown.min(axis=0), shown.max(axis=0) + 1
    part = slice(top, bottom), slice(left, right)
    blank = 0 if rng.random() < 0.6 else int(np.median(example.image))
    image = np.where(keep, example.image, np.uint8(blank))[part]
    mask = None if example.mask is None else np.where(keep, example.mask, np.uint8(0))[part]
    rest = Example(example.id, image, example.scale, mask)
    return _sample(
        rest, _similarity(image.shape, rng), np.full((len(POINTS), 2), np.nan), NO_WHOLE_HAND, rng
    )


def _two_hands(examples: Sequence[Example], rng: np.random.Generator) -> Sample:
    """Several radiographs in one image: side by side or stacked, mirrored, rotated by 180 degrees, overlapping."""
    axis = 1 if rng.random() < 0.85 else 0
    height, width = examples[0].image.shape
    parts = [_part(example, (width, height), rng) for example in examples]
    overlap = round(rng.uniform(0.05, 0.4) * parts[0].shape[axis]) if rng.random() < 0.4 else 0
    joined = parts[0]
    for part in parts[1:]:  # where edges overlap the brighter one shows
        room = np.zeros_like(np.take(joined, range(overlap, part.shape[axis]), axis))
        before = np.zeros_like(np.take(joined, range(joined.shape[axis] - overlap), axis))
        joined = np.maximum(
            np.concatenate([joined, room], axis), np.concatenate([before, part], axis)
        )
    has_mask = all(example.mask is not None for example in examples)
    together = Example(
        examples[0].id,
        np.ascontiguousarray(joined[..., 0]),
        examples[0].scale,
        np.ascontiguousarray(joined[..., 1]) if has_mask else None,
    )
    nowhere = np.full((len(POINTS), 2), np.nan)
    return _sample(together, _similarity(together.image.shape, rng), nowhere, TWO_HANDS, rng)


def _part(example: Example, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """uint8 [height, width, 2]: a radiograph with its own exposure, and its mask."""
    mask = example.mask if example.mask is not None else np.zeros_like(example.image)
    bright = np.round(example.image * rng.uniform(0.4, 1.0)).astype(np.uint8)
    both = cv2.resize(np.stack([bright, mask], axis=-1), size, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        both = both[:, ::-1]
    return both[::-1, ::-1] if rng.random() < 0.12 else both


def _nothing(picture: np.ndarray, rng: np.random.Generator) -> Sample:
    """A picture without a hand."""
    example = Example("", picture, 1.0, np.zeros_like(picture))
    nowhere = np.full((len(POINTS), 2), np.nan)
    return _sample(example, _similarity(picture.shape, rng), nowhere, NOT_A_HAND, rng)
