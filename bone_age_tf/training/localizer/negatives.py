"""Negatives for the localizer, images without a hand: noise, text, scenes, other bones."""

from collections.abc import Sequence

import cv2
import numpy as np

from bone_age_tf.training.localizer.examples import SIDE, Example
from bone_age_tf.training.localizer.other_bones import other_body_part


def not_a_hand(example: Example, rng: np.random.Generator) -> np.ndarray:
    """uint8 [height, width] of one of many kinds."""
    kinds = (_grain, _gradient, _shapes, _text, _stripes, _other_bones, _foot, _scene)
    chance = rng.random()
    if chance < 0.15 and example.mask is not None:
        return _without_hand(example, rng)
    if chance < 0.26:
        return _shuffled(example.image, rng)
    if chance < 0.66:
        return other_body_part(rng)
    return kinds[int(rng.integers(len(kinds)))](rng)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(180, SIDE)), int(rng.integers(150, SIDE))


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Noise, white to cloudy."""
    height, width = _size(rng)
    coarse = int(rng.choice([1, 1, 2, 6, 20, 60]))
    small = rng.normal(0, 1, (height // coarse + 2, width // coarse + 2)).astype(np.float32)
    return _to_grey(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), rng)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    height, width = _size(rng)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    plane = rng.normal() * rows + rng.normal() * columns
    if rng.random() < 0.5:
        plane = np.hypot(rows - rng.random(), columns - rng.random())
    return _to_grey(plane.astype(np.float32), rng)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    height, width = _size(rng)
    rows, columns = np.mgrid[:height, :width]
    period, angle = rng.uniform(4, 80), rng.uniform(0, np.pi)
    plane = np.sin((np.cos(angle) * rows + np.sin(angle) * columns) * 2 * np.pi / period)
    if rng.random() < 0.4:
        plane = plane * np.sin((np.cos(angle) * columns - np.sin(angle) * rows) * 6.28 / period)
    if rng.random() < 0.5:
        plane = np.sign(plane)
    return _to_grey(plane.astype(np.float32), rng)


def _shapes(rng: np.random.Generator) -> np.ndarray:
    height, width = _size(rng)
    picture = np.full((height, width), int(rng.integers(256)), np.uint8)
    for _ in range(int(rng.integers(1, 16))):
        _shape(picture, rng)
    return picture


def _shape(picture: np.ndarray, rng: np.random.Generator) -> None:
    height, width = picture.shape
    at = rng.integers(0, (width, height))
    size = rng.integers(4, max(width, height) // 2, 2)
    grey, thick = (int(rng.integers(256)),), int(rng.choice([-1, -1, 1, 3, 8]))
    kind = int(rng.integers(4))
    if kind == 0:
        cv2.rectangle(picture, at.tolist(), (at + size).tolist(), grey, thick)
    elif kind == 1:
        cv2.ellipse(
            picture, at.tolist(), (size // 2).tolist(), int(rng.integers(180)), 0, 360, grey, thick
        )
    elif kind == 2:
        corners = at + rng.normal(0, size.mean() / 2, (int(rng.integers(3, 9)), 2))
        cv2.fillPoly(picture, [corners.astype(np.int32)], grey)
    else:
        other = rng.integers(0, (width, height))
        cv2.line(picture, at.tolist(), other.tolist(), grey, max(thick, 1))


def _text(rng: np.random.Generator) -> np.ndarray:
    height, width = _size(rng)
    is_dark = rng.random() < 0.5
    picture = np.full((height, width), 15 if is_dark else 240, np.uint8)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ 0123456789   "
    tall = int(rng.integers(6, 70))
    row = tall
    while row < height:
        line = "".join(rng.choice(list(letters), int(rng.integers(1, 60))))
        face, left = int(rng.integers(8)), int(rng.integers(-10, 40))
        grey = (int(rng.integers(150, 256) if is_dark else rng.integers(0, 110)),)
        cv2.putText(
            picture, line, (left, row), face, tall / 30, grey, max(1, tall // 12), cv2.LINE_AA
        )
        row += int(tall * rng.uniform(1.1, 2.5))
    return picture


def _other_bones(rng: np.random.Generator) -> np.ndarray:
    """Bright-rimmed bars and discs in soft tissue: part of a skeleton, but no hand."""
    height, width = _size(rng)
    plane = np.zeros((height, width), np.float32)
    soft = np.zeros((height, width), np.uint8)
    direction = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(1, 4))):
        _bar(soft, rng, direction + rng.normal(0, 0.2), (0.3, 1.2), (0.15, 0.6))
    plane += 0.5 * cv2.GaussianBlur(soft, (0, 0), 3).astype(np.float32) / 255
    for _ in range(int(rng.integers(1, 14))):
        bone = np.zeros((height, width), np.uint8)
        if rng.random() < 0.75:
            _bar(bone, rng, direction + rng.normal(0, 0.4), (0.08, 0.9), (0.02, 0.14))
        else:
            centre, axes = rng.integers(0, (width, height)), rng.integers(4, width // 3, 2)
            thick = int(rng.choice([-1, 3, 6]))
            cv2.ellipse(
                bone,
                centre.tolist(),
                axes.tolist(),
                int(rng.integers(180)),
                0,
                int(rng.choice([360, 200])),
                (255,),
                thick,
            )
        depth = cv2.distanceTransform((bone > 0).astype(np.uint8), cv2.DIST_L2, 3)
        share = depth / max(float(depth.max()), 1.0)
        plane += np.float32(rng.uniform(0.2, 0.7)) * (np.sqrt(share) * (1.3 - share))
    grain = rng.normal(0, 0.02, plane.shape).astype(np.float32)
    return _to_grey(cv2.GaussianBlur(plane, (0, 0), 1) + grain, rng, keep_order=True)


def _foot(rng: np.random.Generator) -> np.ndarray:
    """Rays that lie side by side and end in short toes, behind them the large bones of a foot."""
    height, width = _size(rng)
    soft = np.zeros((height, width), np.uint8)
    plane = np.zeros((height, width), np.float32)
    broad = rng.uniform(0.25, 0.45) * width
    left, spread = (width - broad) / 2, rng.uniform(0.0, 0.15)
    middle, thick = width / 2, max(2, round(broad / 8))
    toes, heads, bases = (share * height for share in (0.12, 0.3, rng.uniform(0.5, 0.62)))
    cv2.ellipse(
        soft,
        (int(middle), int(height * 0.55)),
        (int(broad * 0.62), int(height * 0.5)),
        0,
        0,
        360,
        (255,),
        -1,
    )
    plane += 0.4 * cv2.GaussianBlur(soft, (0, 0), 3).astype(np.float32) / 255
    for ray in range(5):
        column = left + broad * ray / 4
        lean = (column - middle) * spread
        drop = height * 0.025 * (ray - 1) ** 2
        spans = [(toes + drop, heads - 4 + drop), (heads + drop, bases)]
        for first, last in spans:
            start = (int(column + lean), int(first))
            _bone(plane, start, (int(column - lean), int(last)), thick, rng)
    for _ in range(int(rng.integers(3, 7))):
        at = rng.uniform((left, bases), (left + broad, height * 0.95)).astype(int)
        _bone(plane, at.tolist(), (at + rng.integers(2, 25, 2)).tolist(), 3 * thick, rng)
    plane += rng.normal(0, 0.02, plane.shape).astype(np.float32)
    return _to_grey(cv2.GaussianBlur(plane, (0, 0), 1), rng, keep_order=True)


def _bone(
    plane: np.ndarray,
    first: Sequence[int],
    last: Sequence[int],
    thick: int,
    rng: np.random.Generator,
) -> None:
    """Adds a bar that is densest at its rim."""
    bar = np.zeros(plane.shape, np.uint8)
    cv2.line(bar, first, last, (1,), thick)
    depth = cv2.distanceTransform(bar, cv2.DIST_L2, 3)
    share = depth / max(float(depth.max()), 1.0)
    plane += np.float32(rng.uniform(0.3, 0.7)) * (np.sqrt(share) * (1.3 - share))


def _bar(
    picture: np.ndarray,
    rng: np.random.Generator,
    direction: float,
    lengths: tuple[float, float],
    widths: tuple[float, float],
) -> None:
    height, width = picture.shape
    start = rng.uniform(0, (width, height))
    end = start + rng.uniform(*lengths) * height * np.array([np.sin(direction), np.cos(direction)])
    thick = max(1, round(rng.uniform(*widths) * width))
    cv2.line(picture, start.astype(int).tolist(), end.astype(int).tolist(), (255,), thick)


def _scene(rng: np.random.Generator) -> np.ndarray:
    """Shaded blobs on a cloudy ground, as in photographs."""
    picture = _grain(rng).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(2, 15)))
    height, width = picture.shape
    rows, columns = np.mgrid[:height, :width]
    for _ in range(int(rng.integers(2, 12))):
        centre, radius = rng.uniform(0, (height, width)), rng.uniform(8, height / 3)
        stretch, angle = np.exp(rng.normal(0, 0.6)), rng.uniform(0, np.pi)
        dy, dx = rows - centre[0], columns - centre[1]
        along = (np.cos(angle) * dx + np.sin(angle) * dy) / (radius * stretch)
        across = (np.cos(angle) * dy - np.sin(angle) * dx) / (radius / stretch)
        square = along**2 + across**2
        light = 0.6 + 0.4 * (along * rng.normal() + across * rng.normal())
        shaded = rng.uniform(40, 255) * light
        picture = np.where(square < 1, shaded, picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _without_hand(example: Example, rng: np.random.Generator) -> np.ndarray:
    """The radiograph with the hand painted over: markers, borders and ground are left."""
    assert example.mask is not None
    wide = cv2.dilate(example.mask, np.ones((9, 9), np.uint8)) > 20
    ground = example.image[~wide]
    level = int(np.median(ground)) if ground.size else 0
    grain = np.clip(rng.normal(level, 3, example.image.shape), 0, 255).astype(np.uint8)
    return np.where(wide, grain, example.image)


def _shuffled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The radiograph in pieces: bone and skin everywhere, no hand."""
    parts = int(rng.integers(2, 6))
    height, width = image.shape[0] // parts, image.shape[1] // parts
    tiles = [
        image[r * height : (r + 1) * height, c * width : (c + 1) * width]
        for r in range(parts)
        for c in range(parts)
    ]
    order = rng.permutation(len(tiles))
    if parts == 2:  # a permutation of four may leave the hand as it was
        order = np.roll(np.arange(4), 2)
    return np.vstack(
        [np.hstack([tiles[i] for i in order[r * parts : (r + 1) * parts]]) for r in range(parts)]
    )


def _to_grey(
    plane: np.ndarray, rng: np.random.Generator, *, keep_order: bool = False
) -> np.ndarray:
    low, high = float(plane.min()), float(plane.max())
    share = (plane - low) / max(high - low, 1e-6)
    floor, ceiling = rng.uniform(0, 90), rng.uniform(120, 255)
    grey = floor + (ceiling - floor) * share
    if not keep_order and rng.random() < 0.5:
        grey = 255 - grey
    return np.round(np.clip(grey, 0, 255)).astype(np.uint8)
