"""Endless samples for the hand localizer: whole hands, and negatives.

Everything random comes from one generator. A matrix is [2, 3], as OpenCV takes it.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from bone_age_tf.data import processing
from bone_age_tf.preprocessing.localizer.network import FITTED, IMAGE_CLASSES, POINTS, VIEW
from bone_age_tf.training.localizer.crops import cut, tight_crop
from bone_age_tf.training.localizer.examples import Example
from bone_age_tf.training.localizer.negatives import not_a_hand

PROCESSED_SHARE = 0.5
"""Share of pictures with other grey levels, as other devices process them."""
TIGHT_SHARE = 0.3
"""Share of whole hands with the picture's edge close to them."""
BORDER_SHARE = 0.15
"""Share of pictures with a border of one grey around them."""
REGISTERED_SHARE = 0.06
"""Share of whole hands without background, as in registered data sets."""
BRIGHTENED_SHARE = 0.08
"""Share of whole hands with a brighter background."""

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
    tilt: float
    """Sine of the angle between hand and detector; NaN without a whole hand."""


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
            return whole_hand(self._example(), rng, tight_share=TIGHT_SHARE)
        kind = rng.choice(["other", "cut", "two"], p=[0.3, 0.54, 0.16])
        if kind == "other":
            return _nothing(not_a_hand(self._example(), rng), rng)
        if kind == "cut":
            return cut_hand(self._example(), rng)
        count = 3 if rng.random() < 0.1 else 2
        return _two_hands([self._example() for _ in range(count)], rng)

    def _example(self) -> Example:
        group = self._groups[int(self._rng.choice(len(self._groups), p=self._shares))]
        return group[int(self._rng.integers(len(group)))]


# === Whole hands ===


def whole_hand(example: Example, rng: np.random.Generator, *, tight_share: float) -> Sample:
    """The radiograph turned, mirrored, zoomed and shifted, with all of its key points inside.

    `tight_share` of them are cropped before, so that the picture's edge is close to the hand.
    """
    if rng.random() < tight_share:
        example = tight_crop(example, rng)
    example, inverted = _grey_levels(example, rng)
    matrix = _fitting(example.image.shape)
    for _ in range(12):
        tried = _similarity(example.image.shape, rng)
        points = _move(example.points, tried)
        known = points[~np.isnan(points).any(axis=1)]
        if ((known > 2) & (known < np.array(VIEW[::-1]) - 3)).all():
            matrix = tried
            break
    return _sample(example, matrix, HAND, inverted, rng)


def _fitting(shape: tuple[int, ...]) -> np.ndarray:
    """The letterbox: [2, 3], pixels of the image to pixels of the view."""
    scale = FITTED * min(VIEW[0] / shape[0], VIEW[1] / shape[1])
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
    image_class: int,
    inverted: bool,
    rng: np.random.Generator,
) -> Sample:
    view = _noise(_warp(example.image, matrix), rng)
    mask = np.zeros(VIEW, np.uint8) if example.mask is None else _warp(example.mask, matrix)
    return Sample(
        view[..., np.newaxis],
        (mask[..., np.newaxis] / 255).astype(np.float32),
        0.0 if example.mask is None else 1.0,
        _move(example.points, matrix).astype(np.float32),
        image_class,
        inverted,
        example.tilt if image_class == HAND else np.nan,
    )


# === Grey levels ===


def _grey_levels(
    example: Example, rng: np.random.Generator, *, is_hand: bool = True
) -> tuple[Example, bool]:
    """Other grey levels and perhaps a border; and whether bone is dark."""
    image = example.image
    if rng.random() < PROCESSED_SHARE:
        image = random_processing(image, rng)
    image, inverted = _exposure(image, rng)
    chance = rng.random()
    if is_hand and example.mask is not None and chance < REGISTERED_SHARE:
        return dataclasses.replace(
            example, image=np.where(example.mask > 127, image, np.uint8(0))
        ), inverted
    if is_hand and example.mask is not None and chance < REGISTERED_SHARE + BRIGHTENED_SHARE:
        image = _brightened(image, example.mask, rng)
    changed = dataclasses.replace(example, image=image)
    return (_bordered(changed, rng) if rng.random() < BORDER_SHARE else changed), inverted


def random_processing(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture, uint8, with the grey levels of another device."""
    grey = processing.random_processing(image.astype(np.float32) / 255, rng)
    return np.round(grey * 255).astype(np.uint8)


def _exposure(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Gamma, contrast, brightness and polarity."""
    curve = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3))
    low, span = rng.uniform(0, 0.3), rng.uniform(0.25, 1.0)
    curve = low * (1 - span) + span * curve
    inverted = bool(rng.random() < 0.12)
    if inverted:
        curve = 1 - curve
    return cv2.LUT(image, np.round(255 * curve).astype(np.uint8)), inverted


def _brightened(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The background as bright as soft tissue or brighter, as where the beam hardly reached."""
    grey = float(np.quantile(image[mask > 127], rng.uniform(0.05, 0.9))) if mask.any() else 0.0
    ground = np.full(image.shape, grey, np.float32) + 0.3 * image
    share = cv2.GaussianBlur(mask, (0, 0), 1.5).astype(np.float32) / 255
    return np.clip(share * image + (1 - share) * np.maximum(ground, image), 0, 255).astype(np.uint8)


def _bordered(example: Example, rng: np.random.Generator) -> Example:
    grey = int(rng.choice([0, 0, 255, 255, int(rng.integers(256))]))
    sides = np.round(rng.uniform(0.01, 0.12) * max(example.image.shape)) * np.ones(4)
    if rng.random() < 0.4:  # not on every side
        sides *= rng.random(4) < 0.6
    top, bottom, left, right = sides.astype(int).tolist()

    def widen(plane: np.ndarray, value: int) -> np.ndarray:
        return cv2.copyMakeBorder(
            plane, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(value,) * 4
        )

    mask, points = example.mask, example.points
    return dataclasses.replace(
        example,
        image=widen(example.image, grey),
        mask=None if mask is None else widen(mask, 0),
        points=None if points is None else points + np.array([left, top]),
    )


def _noise(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.25:
        view = cv2.GaussianBlur(view, (0, 0), float(rng.uniform(0.4, 1.3)))
    if rng.random() < 0.35:
        grain = rng.normal(0, rng.uniform(1, 6), view.shape)
        view = np.clip(view + grain, 0, 255).astype(np.uint8)
    return view


# === Negatives ===


def cut_hand(example: Example, rng: np.random.Generator) -> Sample:
    """A hand that is partly outside of the image; the key points that are seen are kept."""
    rest = cut(example, rng)
    if rest is None:
        return _nothing(not_a_hand(example, rng), rng)
    rest, inverted = _grey_levels(rest, rng, is_hand=False)
    return _sample(rest, _similarity(rest.image.shape, rng), NO_WHOLE_HAND, inverted, rng)


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
    together, inverted = _grey_levels(together, rng, is_hand=False)
    return _sample(together, _similarity(together.image.shape, rng), TWO_HANDS, inverted, rng)


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
    example, inverted = _grey_levels(example, rng, is_hand=False)
    return _sample(example, _similarity(example.image.shape, rng), NOT_A_HAND, inverted, rng)
