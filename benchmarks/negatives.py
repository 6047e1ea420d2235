"""Generate 200 negatives: images that are not a radiograph of exactly one whole hand, to test rejection.

    python benchmarks/negatives.py OUTPUT [--seed 0]
    BONE_AGE_REAL_DATA=... python benchmarks/negatives.py OUTPUT --real OUTPUT_REAL

They imitate files sent by mistake: other anatomy, photographs, documents, two hands, a hand cut off by the
edge of the film, a thumbnail. `index.csv` holds `file,kind,expected`, where `expected` is the expected reason
for rejection. All images are synthetic; `--real` also makes 60 negatives from annotated radiographs. All files
are PNG; the photographs were compressed as JPEG once.
"""

import argparse
import csv
import itertools
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom import draw

Rng = np.random.Generator
Shape = str | Sequence | np.ndarray
Radii = Sequence | float | None
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
FINGERS = ("index", "middle", "ring", "little")


# Shared by many kinds --------------------------------------------------------------------------


def clouds(rng: Rng, height: int, width: int, coarsest: int = 3, octaves: int = 6) -> np.ndarray:
    """Smooth noise, float32 [height, width], 0 to 1; `coarsest` cells in the first octave."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = min(coarsest * 2**octave, height, width)
        grid = rng.random((cells, cells), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return (total - total.min()) / max(float(np.ptp(total)), 1e-6)


def coordinates(points: str | Sequence | np.ndarray) -> np.ndarray:
    """float64 [points, 2] of "x,y x,y ..." or of pairs."""
    if isinstance(points, str):
        return np.array([pair.split(",") for pair in points.split()], float)
    return np.asarray(points, float)


def smooth(outline: np.ndarray) -> np.ndarray:
    """Smooth a closed outline (three iterations of corner cutting)."""
    for _ in range(3):
        ahead = np.roll(outline, -1, axis=0)
        both = np.stack([0.75 * outline + 0.25 * ahead, 0.25 * outline + 0.75 * ahead], axis=1)
        outline = both.reshape(-1, 2)
    return outline


def words(rng: Rng, count: int) -> str:
    """`count` random words."""
    letters = list("aaabcdeeeefghiiijklmnnooprrsstttuuvwz")
    return " ".join("".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(count))


def write(image: np.ndarray, text: str, at: tuple[int, int], size: float, ink: tuple) -> None:
    """Write text on the image with its lower left corner `at` this point."""
    thick = max(1, round(1.7 * size))
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)


def shade(image: np.ndarray, mask: np.ndarray, colour: tuple, relief: float = 0.35) -> None:
    """Fill the mask [height, width] as a rounded body lit from the upper left."""
    depth = cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, 5)
    bump = cv2.GaussianBlur(np.sqrt(depth), (0, 0), 0.006 * len(image) + 1)
    rise, run = np.gradient(bump)
    light = np.clip(0.85 + relief * 8 * (run + rise), 0.35, 1.25)
    filled = np.clip(np.asarray(colour, np.float32) * light[..., None], 0, 255)
    soft = cv2.GaussianBlur((mask > 0).astype(np.float32), (0, 0), 1.0)[..., None]
    image[:] = (filled * soft + image * (1 - soft)).astype(np.uint8)


def oval(x: float, y: float, across: float, down: float, turn: float = 0) -> np.ndarray:
    """Outline of an ellipse with these half axes, rotated by `turn` degrees."""
    angle, turned = np.linspace(0, 2 * np.pi, 60, endpoint=False), np.radians(turn)
    a, b = across * np.cos(angle), down * np.sin(angle)
    cosine, sine = np.cos(turned), np.sin(turned)
    return np.stack([x + a * cosine - b * sine, y + a * sine + b * cosine], axis=1)


class Scene:
    """A colour image under construction: sky or wall above, ground below, shaded bodies in front.

    Coordinates are in units of `unit` pixels around `origin`.
    """

    def __init__(self, rng: Rng, top: tuple, bottom: tuple, horizon: float) -> None:
        self.height, self.width = int(rng.integers(620, 900)), int(rng.integers(620, 1100))
        ramp = np.linspace(0.75, 1.15, self.height)[:, None, None]
        above = np.arange(self.height)[:, None, None] < horizon * self.height
        uneven = 0.9 + 0.2 * clouds(rng, self.height, self.width, 4)[..., None]
        filled = np.where(above, np.array(top), np.array(bottom)) * ramp * uneven
        self.image = np.clip(filled, 0, 255).astype(np.uint8)
        self.origin, self.unit = np.zeros(2), 1.0

    def stand(self, x: float, y: float, unit: float) -> None:
        """Set the origin (as fractions of the image's width and height) and the unit for what follows."""
        self.origin, self.unit = np.array([x * self.width, y * self.height]), unit * self.height

    def body(self, points: str | np.ndarray, colour: tuple, relief: float = 0.35) -> None:
        """A shaded body with this outline."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.pixels(points)], 255)
        shade(self.image, mask, colour, relief)

    def oval(
        self, x: float, y: float, across: float, down: float, colour: tuple, relief: float = 0.35
    ) -> None:
        """A shaded ellipse."""
        self.body(oval(x, y, across, down), colour, relief)

    def line(self, points: str | np.ndarray, colour: tuple, thick: float) -> None:
        """A line through these points."""
        width = max(1, round(thick * self.unit))
        cv2.polylines(self.image, [self.pixels(points)], False, colour, width, cv2.LINE_AA)

    def pixels(self, points: str | np.ndarray) -> np.ndarray:
        """int32 [points, 2]."""
        return np.round(coordinates(points) * self.unit + self.origin).astype(np.int32)


def photograph(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Add camera noise and JPEG artefacts; two in five become greyscale."""
    noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
    read = cv2.imdecode(cv2.imencode(".jpg", noisy, quality)[1], cv2.IMREAD_COLOR)
    return cv2.cvtColor(read, cv2.COLOR_BGR2GRAY) if rng.random() < 0.4 else read


def colour_of(rng: Rng, strongest: int = 256) -> tuple:
    """Any colour, no more saturated than `strongest`."""
    hue = np.array(
        [[[rng.integers(180), rng.integers(strongest // 2, strongest), rng.integers(110, 256)]]]
    )
    return tuple(cv2.cvtColor(hue.astype(np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist())


class Plate:
    """A radiograph under construction: attenuation is accumulated, then exposed.

    Places are (x, y) in picture heights, x from the middle and y from the top. A shape is a closed
    outline or, with `radii` at equal steps of the way, a tube along a path.
    """

    def __init__(self, rng: Rng, low: float, high: float) -> None:
        """`low` to `high`: width over height."""
        self.rng, self.height, self.width = rng, 840, round(840 * rng.uniform(low, high))
        self.attenuation = np.zeros((self.height, self.width), np.float32)
        self._trabeculae = clouds(rng, self.height, self.width, 60, 4)
        self._build = rng.normal(1, 0.05, 2)

    def tissue(
        self, shape: Shape, depth: float, radii: Radii = None, sides: Sequence = (1,)
    ) -> None:
        """Add soft tissue (or, with a negative depth, air) that is thickest in its middle."""
        for side in sides:
            inside = cv2.distanceTransform(self._mask(shape, radii, side), cv2.DIST_L2, 5)
            inside /= max(float(inside.max()), 1.0)
            thick = cv2.GaussianBlur(np.sqrt(1 - (1 - inside) ** 2), (0, 0), 3)
            self.attenuation += depth * thick * (0.9 + 0.2 * self._trabeculae)

    def bone(
        self,
        shape: Shape,
        density: float = 0.6,
        radii: Radii = None,
        cortex: float = 0.008,
        sides: Sequence = (1,),
    ) -> None:
        """Add a bone, spongy inside with a denser rim, to these sides (-1 mirrored)."""
        size = 2 * max(1, round(cortex * self.height)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        for side in sides:
            mask = self._mask(shape, radii, side)
            rim = (mask - cv2.erode(mask, kernel)).astype(np.float32) / 255
            whole = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.2)
            rim = cv2.GaussianBlur(rim, (0, 0), 1.5)
            self.attenuation += density * (whole * (0.35 + 0.5 * self._trabeculae) + 0.5 * rim)

    def shaft(self, path: Shape, middle: float, ends: float, density: float) -> None:
        """Add a long bone that is wider at its ends."""
        self.bone(path, density, (ends, middle * 1.1, middle, middle * 1.1, ends))

    def expose(self) -> np.ndarray:
        """The radiograph, uint8; randomly rotated, mirrored, faint, inverted, collimated or with markers."""
        rng, turn = self.rng, float(self.rng.normal(0, 6))
        middle = (self.width / 2, self.height / 2)
        matrix = cv2.getRotationMatrix2D(middle, turn, float(rng.uniform(0.85, 1.1)))
        size = (self.width, self.height)
        edge = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_CONSTANT
        thick = cv2.warpAffine(np.maximum(self.attenuation, 0), matrix, size, borderMode=edge)
        grey = 1 - np.exp(-thick * rng.uniform(0.8, 1.5))
        grey += rng.uniform(0, 0.2) * cv2.GaussianBlur(grey, (0, 0), 40)
        grey = (grey / grey.max()) ** rng.uniform(0.8, 1.4) + rng.normal(0, 0.015, grey.shape)
        black = rng.uniform(0, 60)
        image = np.clip(black + grey * (rng.uniform(150, 250) - black), 0, 255).astype(np.uint8)
        image = image[:, ::-1].copy() if rng.random() < 0.3 else image
        if rng.random() < 0.5:
            at = (round(rng.uniform(0.05, 0.85) * self.width), round(0.1 * self.height))
            write(image, str(rng.choice(list("LR"))), at, 1.6, WHITE)
        if rng.random() < 0.25:
            border = round(rng.uniform(0.02, 0.08) * self.height)
            image = cv2.copyMakeBorder(image, *[border] * 4, cv2.BORDER_CONSTANT, value=0)
        return 255 - image if rng.random() < 0.1 else image

    def _mask(self, shape: Shape, radii: Radii, side: int) -> np.ndarray:
        points = coordinates(shape) * self._build
        points = (points + self.rng.normal(0, 0.003, points.shape)) * [side, 1]
        points = points * self.height + [self.width / 2, 0]
        mask = np.zeros(self.attenuation.shape, np.uint8)
        if radii is None:
            return cv2.fillPoly(mask, [np.round(smooth(points)).astype(np.int32)], 255)
        way = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
        at = np.linspace(0, way[-1], 160)
        radius = np.interp(at, np.linspace(0, way[-1], np.size(radii)), np.atleast_1d(radii))
        columns, rows = (np.interp(at, way, points[:, axis]) for axis in (0, 1))
        for x, y, r in zip(columns, rows, radius, strict=True):
            cv2.circle(mask, (round(x), round(y)), max(1, round(r * self.height)), 255, -1)
        return mask


# Noise, patterns, documents --------------------------------------------------------------------


def noise(rng: Rng, number: int) -> np.ndarray:
    """White, salt and pepper, clouds, smoke, lines of a broken detector."""
    height, width = (int(n) for n in rng.integers(400, 900, 2))
    white = rng.random((height, width))
    if number % 5 == 0:
        grey = white
    elif number % 5 == 1:
        grey = np.select([white < 0.12, white > 0.88], [0.0, 1.0], float(rng.uniform(0.2, 0.8)))
    elif number % 5 == 2:
        grey = clouds(rng, height, width, int(rng.integers(2, 9)), 7)
    elif number % 5 == 3:
        grey = clouds(rng, height, width, 3, 2) ** 3
    else:
        grey = 0.3 + 0.3 * rng.random((height, 1)) + 0.2 * rng.random((1, width)) + 0.1 * white
    return (grey * 255).astype(np.uint8)


def pattern(rng: Rng, number: int) -> np.ndarray:
    """Ramps, checkerboards, stripes, rings, a test chart, tiles."""
    height, width = (int(n) for n in rng.integers(400, 900, 2))
    rows, columns = np.mgrid[:height, :width]
    step, angle = int(rng.integers(14, 80)), rng.uniform(0, np.pi)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    middle = np.hypot(rows - height * rng.random(), columns - width * rng.random())
    choices = (
        (along - along.min()) / np.ptp(along),
        (rows // step + columns // step) % 2,
        0.5 + 0.5 * np.sin(2 * np.pi * along / step),
        0.5 + 0.5 * np.cos(2 * np.pi * middle / step),
        columns * 11 // width / 10 * (rows < height * 0.7) + rng.random() * (rows >= height * 0.7),
        1 - middle / middle.max(),
        ((rows % step < 4) | ((columns + step // 2 * (rows // step % 2)) % step < 4)) * 0.7 + 0.2,
        (np.sin(middle / 9) * np.sin(along / 11) > 0) * 0.9,
    )
    return (np.clip(choices[number % len(choices)], 0, 1) * 255).astype(np.uint8)


def text_page(rng: Rng, number: int) -> np.ndarray:
    """A scanned letter with head, paragraphs and signature; some lie crooked, one is in colour."""
    page = np.full((1130, 800), rng.integers(225, 256), np.uint8)
    size, y = float(rng.uniform(0.42, 0.8)), 150
    write(page, words(rng, 3).title(), (70, 90), 1.1, BLACK)
    cv2.line(page, (70, 110), (730, 110), 0, 2)
    while y < 900:
        last = rng.random() < 0.2
        line = words(rng, 16)[: int((20 if last else 36) / size)]
        write(page, line, (70, y), size, (int(rng.integers(0, 60)),))
        y += round(size * (75 if last else 42))
    path = np.cumsum(rng.normal([5, 0], [5, 14], (40, 2)), axis=0)
    cv2.polylines(
        page, [(path + np.array([450, 1000])).astype(np.int32)], False, 40, 2, cv2.LINE_AA
    )
    turn = cv2.getRotationMatrix2D((400, 565), float(rng.normal(0, 4)) if number % 2 else 0, 1)
    page = cv2.warpAffine(page, turn, (800, 1130), borderValue=int(rng.integers(0, 256)))
    page = (page * (0.8 + 0.2 * clouds(rng, *page.shape, 2, 2))).astype(np.uint8)
    if number == 3:
        page = cv2.applyColorMap(page, cv2.COLORMAP_BONE)
    return page


def screenshot(rng: Rng, number: int) -> np.ndarray:
    """A window with a table, a form, or a viewer of radiographs that shows none."""
    dark = number % 3 == 2
    paper, ink = ((45, 40, 38), (200, 200, 200)) if dark else ((250, 250, 250), (30, 30, 30))
    image = np.full((760, 1200, 3), colour_of(rng), np.uint8)
    cv2.rectangle(image, (40, 40), (1160, 720), paper, -1)
    cv2.rectangle(image, (40, 40), (1160, 84), (190, 150, 110), -1)
    write(image, words(rng, 3), (60, 70), 0.7, WHITE)
    for button in range(3):
        cv2.circle(image, (1060 + 35 * button, 62), 10, colour_of(rng), -1, cv2.LINE_AA)
    if number % 3 == 0:
        for row, y in enumerate(range(90, 690, 34)):
            back = (225, 225, 225) if row == 0 else (250, 245, 238) if row % 2 else paper
            cv2.rectangle(image, (50, y), (1150, y + 34), back, -1)
            for x in range(50, 1150, 180):
                entry = words(rng, 2)[:13] if x < 400 or row == 0 else f"{rng.normal(50, 30):.2f}"
                cv2.rectangle(image, (x, y), (min(x + 180, 1150), y + 34), (190, 190, 190), 1)
                write(image, entry, (x + 8, y + 24), 0.55, ink)
    elif number % 3 == 1:
        for y in range(130, 680, 60):
            write(image, words(rng, 2)[:18] + ":", (80, y + 26), 0.65, ink)
            cv2.rectangle(
                image, (400, y), (int(rng.integers(560, 1100)), y + 36), (150, 150, 150), 2
            )
            if rng.random() < 0.7:
                write(image, words(rng, 1), (412, y + 26), 0.65, (160, 60, 20))
    else:
        for x, y in ((50, 96), (480, 96), (50, 410), (480, 410)):
            cv2.rectangle(image, (x, y), (x + 420, y + 304), BLACK, -1)
            cv2.rectangle(image, (x, y), (x + 420, y + 304), (90, 90, 90), 1)
            write(image, words(rng, 2), (x + 10, y + 24), 0.5, ink)
        for y in range(120, 700, 30):
            write(image, words(rng, 4)[:20], (920, y), 0.5, ink)
    return image


def qr_code(rng: Rng, number: int) -> np.ndarray:
    """Squares like a QR code, or a bar code with its digits."""
    if number % 3 == 2:
        bars = np.repeat(rng.integers(0, 2, 95), 6).astype(np.uint8) * 255
        image = cv2.copyMakeBorder(np.tile(bars, (260, 1)), 60, 110, 70, 70, 0, value=255)
        write(image, "".join(map(str, rng.integers(0, 10, 13))), (170, 385), 1.5, BLACK)
        return image
    cells = int(rng.choice([21, 29, 37, 45]))
    code = rng.integers(0, 2, (cells, cells)).astype(np.uint8)
    for top, left in ((0, 0), (0, cells - 7), (cells - 7, 0)):
        code[max(top - 1, 0) : top + 8, max(left - 1, 0) : left + 8] = 1
        code[top : top + 7, left : left + 7] = 0
        code[top + 1 : top + 6, left + 1 : left + 6] = 1
        code[top + 2 : top + 5, left + 2 : left + 5] = 0
    large = np.kron(code, np.full((14, 14), 255, np.uint8))
    return cv2.copyMakeBorder(large, *rng.integers(30, 120, 4).tolist(), 0, value=255)


def chart(rng: Rng, number: int) -> np.ndarray:
    """Lines, bars, dots, a pie, centile curves of growth."""
    image = np.full((700, 900, 3), 255, np.uint8)
    if number % 5 == 3:
        ends = np.append(0, np.cumsum(rng.dirichlet(np.full(5, 3.0))) * 360)
        for start, end in itertools.pairwise(ends):
            cv2.ellipse(image, (400, 370), (250, 250), 0, start, end, colour_of(rng), -1)
        write(image, words(rng, 4), (200, 80), 1.0, BLACK)
        return image
    for step in range(7):
        cv2.line(image, (90, 620 - 85 * step), (850, 620 - 85 * step), (215, 215, 215), 1)
        write(image, str(20 * step), (40, 626 - 85 * step), 0.5, BLACK)
        write(image, str(2 * step), (90 + 120 * step, 650), 0.5, BLACK)
    x = np.linspace(90, 850, 40)
    for line in range(7 if number % 5 == 4 else 3):
        ink = colour_of(rng)
        walk = 400 - np.cumsum(rng.normal(0, 16, 40)) + 60 * line
        centile = 600 - 330 * (1 - np.exp(-(x - 90) / 300)) - 22 * line * (x / 600)
        y = np.clip(centile if number % 5 == 4 else walk, 110, 618)
        for n, at in enumerate(np.stack([x, y], axis=1).astype(int)):
            if number % 5 == 2:
                cv2.circle(image, tuple(at + rng.integers(-20, 20, 2)), 5, ink, -1, cv2.LINE_AA)
            elif number % 5 == 1 and n % 6 == line:
                cv2.rectangle(image, tuple(at), (int(at[0]) + 19, 620), ink, -1)
        if number % 5 in (0, 4):
            cv2.polylines(image, [np.stack([x, y], 1).astype(np.int32)], False, ink, 2, cv2.LINE_AA)
    cv2.polylines(image, [np.array([[90, 100], [90, 620], [850, 620]])], False, BLACK, 2)
    write(image, words(rng, 4), (240, 70), 0.9, BLACK)
    return image


# Photographs -----------------------------------------------------------------------------------


def landscape(rng: Rng, number: int) -> np.ndarray:
    """Sun or moon over hills, with houses and trees."""
    night = number % 4 == 3
    scene = Scene(rng, (60, 35, 20) if night else (235, 190, 130), (60, 120, 70), 0.6)
    scene.stand(rng.uniform(0.1, 0.9), 0.16, 0.05)
    scene.oval(0, 0, 1, 1, (200, 225, 230) if night else (90, 225, 255), 0)
    wide = scene.width / scene.height
    for level in (0.45, 0.55):
        scene.stand(0, level, 1)
        ridge = 0.2 * (clouds(rng, 8, scene.width, 4, 5)[0] - 0.5)
        hill = np.stack([np.linspace(0, wide, scene.width), ridge], axis=1)
        green = tuple((np.array([70, 150, 100]) * rng.uniform(0.4, 1.3, 3)).tolist())
        scene.body(np.vstack([hill, [[wide, 1], [0, 1]]]), green, 0.02)
    for x in rng.uniform(0, 0.85, rng.integers(1, 4)):
        scene.stand(x, rng.uniform(0.62, 0.75), rng.uniform(0.1, 0.2))
        scene.body("0,0 1,0 1,1 0,1", (175, 200, 215), 0.01)
        scene.body("-0.1,0 1.1,0 .5,-.5", (50, 60, 150))
        scene.body(".55,.5 .8,.5 .8,1 .55,1", (40, 50, 60), 0.05)
    for x in rng.uniform(0, 1, rng.integers(2, 7)):
        scene.stand(x, rng.uniform(0.6, 0.8), rng.uniform(0.05, 0.1))
        scene.oval(0, 1, 0.15, 1.6, (40, 70, 100))
        scene.oval(0, -0.5, 1, rng.uniform(1, 1.6), (45, 110, 50))
    return photograph(rng, scene.image)


def face(rng: Rng, number: int) -> np.ndarray:
    """A portrait; the last two wear glasses."""
    scene = Scene(rng, colour_of(rng, 120), colour_of(rng, 120), float(rng.uniform(0.8, 1.2)))
    scene.stand(rng.uniform(0.4, 0.6), 0.47, rng.uniform(0.22, 0.3))
    skin = tuple((np.array([150, 185, 235]) * rng.uniform(0.45, 1.05)).tolist())
    hair = tuple(rng.integers(10, 110, 3).tolist())
    scene.oval(0, -0.1, 0.95, 1.3, hair)
    scene.oval(0, 2.4, 1.9, 1.0, colour_of(rng))
    scene.oval(0, 1.1, 0.38, 0.6, skin)
    scene.oval(0, 0, 0.8, 1.08, skin, 0.15)
    iris = colour_of(rng)
    for side in (-1, 1):
        scene.oval(side * 0.82, 0, 0.1, 0.2, skin)
        scene.oval(side * 0.33, -0.15, 0.16, 0.09, (240, 240, 240), 0.1)
        scene.oval(side * 0.33, -0.15, 0.07, 0.08, iris, 0.1)
        scene.oval(side * 0.33, -0.15, 0.03, 0.03, BLACK)
        scene.oval(side * 0.33, -0.34, 0.2, 0.04, hair)
        if number > 4:
            scene.line(oval(side * 0.33, -0.13, 0.27, 0.22), (30, 30, 30), 0.03)
    scene.oval(0, 0.18, 0.12, 0.24, skin, 0.5)
    scene.oval(0, 0.6, 0.3, rng.uniform(0.04, 0.12), (80, 70, 170), 0.2)
    scene.body(smooth(coordinates("-.8,-.3 -.6,-.9 0,-1.3 .6,-.9 .8,-.3 0,-.7")), hair)
    return photograph(rng, scene.image)


def car(rng: Rng, number: int) -> np.ndarray:
    """A car on a road, seen from the side."""
    scene = Scene(rng, (220, 195, 160), (95, 95, 95), 0.62)
    wide = scene.width / scene.height
    scene.stand(rng.uniform(0.42, 0.58), 0.7, wide * rng.uniform(0.07, 0.1))
    scene.oval(0, 1.5, 4.4, 0.3, (45, 45, 45), 0)
    body = "-4,.9 -4.1,-.3 -2.6,-.7 -1.5,-1.9 1.2,-1.9 2.4,-.7 4,-.4 4.2,.9"
    scene.body(smooth(coordinates(body)), colour_of(rng))
    scene.body("-2.1,-.75 -1.3,-1.6 -.2,-1.6 -.2,-.75", (120, 100, 80), 0.05)
    scene.body(".1,-.75 .1,-1.6 1,-1.6 1.9,-.75", (120, 100, 80), 0.05)
    for x in (-2.5, 2.4):
        for radius, grey in ((0.85, 25), (0.45, 180), (0.12, 60)):
            scene.oval(x, 0.8, radius, radius, (grey, grey, grey))
    scene.oval(3.9, 0, 0.2, 0.2, (170, 240, 255))
    if number % 2:
        scene.line("-20,2.4 20,2.4", (230, 230, 230), 0.12)
    return photograph(rng, scene.image)


def cat(rng: Rng, number: int) -> np.ndarray:
    """A sitting cat; every other one has stripes."""
    scene = Scene(rng, colour_of(rng, 150), (90, 130, 160), 0.75)
    scene.stand(rng.uniform(0.4, 0.6), 0.34, rng.uniform(0.13, 0.17))
    fur = tuple((np.array([90, 140, 190]) * rng.uniform(0.3, 1.2)).tolist())
    way = np.linspace(0, 1, 20)
    scene.line(np.stack([1 + 1.2 * way, 3.5 - 2.2 * way**2], axis=1), fur, 0.35)
    scene.oval(0, 2.3, 1.25, 1.75, fur)
    for y in np.linspace(1.2, 3.0, 5) if number % 2 else ():
        scene.oval(0, y, 0.9, 0.09, tuple(0.55 * c for c in fur))
    for side in (-1, 1):
        scene.body(coordinates(".9,-.2 .8,-1.35 .15,-.75") * [side, 1], fur)
        scene.oval(side * 0.6, 3.8, 0.45, 0.3, fur)
    scene.oval(0, 0, 1, 0.9, fur)
    for side in (-1, 1):
        scene.oval(side * 0.4, -0.1, 0.2, 0.2, (90, 220, 190), 0.1)
        scene.oval(side * 0.4, -0.1, 0.05, 0.18, BLACK)
        for y in (0.25, 0.4, 0.55):
            scene.line(np.array([[side * 0.2, 0.35], [side * 1.5, y]]), (240, 240, 240), 0.02)
    scene.oval(0, 0.28, 0.12, 0.08, (120, 110, 200))
    return photograph(rng, scene.image)


def spheres(rng: Rng, number: int) -> np.ndarray:
    """Balls on a chequered table."""
    scene = Scene(rng, (120, 110, 100), (150, 160, 170), 0.45)
    rows, columns = np.mgrid[: scene.height, : scene.width] / scene.height
    depth = np.maximum(rows - 0.45, 0.001)
    across = (columns - columns.mean()) / depth * 3 + 50
    dark = ((0.6 / depth).astype(int) + across.astype(int)) % 2 == 1
    scene.image[dark & (rows > 0.47)] //= 2
    for y in np.sort(rng.uniform(0.5, 0.8, 3 + number)):
        radius = float(rng.uniform(0.05, 0.16))
        scene.stand(rng.uniform(0.1, 0.9), y, radius)
        scene.oval(0.5, 0.9, 1.1, 0.3, (40, 40, 40), 0)
        right = columns / radius - scene.origin[0] / scene.unit
        down = (rows - y) / radius
        up = np.sqrt(np.maximum(1 - right**2 - down**2, 0))
        light = np.maximum(0.58 * up - 0.5 * right - 0.64 * down, 0)[..., None]
        ball = (0.2 + 0.8 * light) * np.array(colour_of(rng)) + 255 * light**30
        scene.image[up > 0] = np.minimum(ball, 255)[up > 0]
    return photograph(rng, scene.image)


def boneless_hand(rng: Rng, number: int) -> np.ndarray:
    """A traced hand, a turkey made of one, a glove, a photograph of a hand."""
    _, truth = phantom(rng, "clean")
    points = {name: np.array(at) for name, at in truth.key_points.items()}
    height, width = truth.mask.shape
    image = np.full((height, width, 3), WHITE, np.uint8)
    contours = cv2.findContours(truth.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    rows, columns = np.mgrid[:height, :width]
    if number % 4 < 2:
        for finger in FINGERS if number % 4 == 1 else ():
            x, y = points[f"{finger}_tip"]
            reach = 0.9 * np.hypot(*(points[f"{finger}_tip"] - points[f"{finger}_pip"]))
            image[(np.hypot(columns - x, rows - y) < reach) & (truth.mask > 0)] = colour_of(rng)
        cv2.drawContours(image, contours, -1, (60, 40, 30), 7, cv2.LINE_AA)
        if number % 4 == 1:
            x, y = np.round(points["thumb_tip"]).astype(int).tolist()
            cv2.circle(image, (x - 8, y + 22), 7, BLACK, -1)
            beak = np.array([[x + 8, y + 20], [x + 50, y + 32], [x + 8, y + 48]])
            cv2.fillPoly(image, [beak], (0, 150, 255))
        return image
    table = np.array([70, 110, 150]) * (0.7 + 0.4 * clouds(rng, height, width, 3)[..., None])
    image[:] = table.astype(np.uint8)
    if number % 4 == 2:
        shade(image, cv2.dilate(truth.mask, np.ones((15, 15), np.uint8)), colour_of(rng))
        knitted = (rows > points["capitate"][1]) & (rows % 26 < 9) & (truth.mask > 0)
        image[knitted] //= 2
        return photograph(rng, image)
    skin = np.array([150, 180, 230]) * rng.uniform(0.5, 1.0)
    shade(image, truth.mask, tuple(skin.tolist()))
    for finger in (*FINGERS, "thumb"):
        joint = points["thumb_ip" if finger == "thumb" else f"{finger}_dip"]
        along = points[f"{finger}_tip"] - joint
        long, turn = float(np.hypot(*along)), float(np.degrees(np.arctan2(along[1], along[0])))
        nail = np.zeros((height, width), np.uint8)
        outline = oval(*(joint + 0.8 * along), 0.3 * long, 0.2 * long, turn)
        cv2.fillPoly(nail, [outline.astype(np.int32)], 255)
        shade(image, nail, tuple((skin + 25).tolist()), 0.1)
    return photograph(rng, image)


# Other anatomy ---------------------------------------------------------------------------------


def chest(rng: Rng, _: int) -> np.ndarray:
    """Ribs, spine, lungs and heart from the front."""
    plate = Plate(rng, 0.85, 1.15)
    plate.tissue("-.15,0 .15,0 .5,.12 .46,1.1 -.46,1.1 -.5,.12", 1.1)
    plate.tissue(".09,.14 .22,.1 .36,.4 .4,.78 .22,.72 .08,.76", -0.75, sides=(-1, 1))
    angle = np.linspace(0, np.pi * 0.95, 30)
    for rib in range(10):
        across = 0.03 + (0.17 + 0.25 * np.sqrt((rib + 1) / 10)) * np.sin(angle)
        down = 0.1 + 0.068 * rib + (0.1 + 0.006 * rib) * (1 - np.cos(angle))
        arc = np.stack([across, down], axis=1)
        plate.bone(arc, 0.22, (0.012, 0.011, 0.008), 0.004, sides=(-1, 1))
    plate.bone(".04,.16 .2,.12 .34,.09", 0.4, 0.015, sides=(-1, 1))
    plate.tissue("-.1,.42 .08,.36 .26,.68 .12,.78 -.1,.76", 0.7)
    for y in np.arange(0.02, 1, 0.062):
        plate.bone([(-0.045, y), (0.045, y), (0.042, y + 0.05), (-0.042, y + 0.05)], 0.35)
    return plate.expose()


def foot(rng: Rng, number: int) -> np.ndarray:
    """A foot from above, every third one from the side."""
    if number % 3 == 2:
        return _foot_from_the_side(Plate(rng, 1.1, 1.4))
    plate = Plate(rng, 0.55, 0.8)
    outline = "-.1,1.1 -.14,.8 -.2,.5 -.22,.28 -.1,.1 .05,.04 .17,.03 .19,.3 .14,.6 .13,1.1"
    plate.tissue(outline, 0.7)
    for ray in range(5):
        x, tip = 0.13 - 0.075 * ray, 0.3 + 0.022 * (ray - 1) ** 2
        thick = 0.012 if ray else 0.024
        path = [(0.09 - 0.045 * ray, 0.58 + 0.012 * ray), (x, tip + 0.02)]
        plate.shaft(path, thick, thick * 1.5, 0.7)
        for length in (0.075, 0.035, 0.03) if ray else (0.11, 0.07):
            plate.tissue([(x, tip), (x, tip - length)], 0.35, thick * 2.1)
            path = [(x, tip - 0.012), (x, tip - length + 0.008)]
            plate.shaft(path, thick * 0.7, thick * 1.15, 0.6)
            tip -= length + 0.004
    for x, y in coordinates(".09,.63 .045,.63 .01,.64"):
        plate.bone(oval(x, y, 0.028, 0.036))
    for x, y in coordinates("-.065,.68 .055,.7 .05,.79"):
        plate.bone(oval(x, y, 0.055, 0.05))
    plate.bone("-.08,.74 0,.73 .03,.98 -.06,1", 0.5)
    return plate.expose()


def _foot_from_the_side(plate: Plate) -> np.ndarray:
    plate.tissue("-.32,-.2 -.02,-.2 0,.4 .5,.68 .52,.82 -.45,.84 -.42,.5", 0.8)
    plate.shaft("-.12,-.1 -.12,.4", 0.05, 0.085, 0.7)
    plate.shaft("-.2,-.1 -.2,.44", 0.02, 0.03, 0.5)
    plate.bone("-.2,.45 0,.43 .04,.55 -.18,.58", 0.8)
    plate.bone("-.42,.6 -.12,.57 .02,.62 0,.7 -.38,.78", 0.8)
    for x, y in coordinates(".08,.56 .1,.64 .16,.6"):
        plate.bone(oval(x, y, 0.04, 0.045))
    for ray in range(4):
        x, y = 0.02 * ray, 0.012 * ray
        plate.shaft([(0.18, 0.62 + 2.5 * y), (0.38 - x, 0.73 + y)], 0.016, 0.026, 0.5)
        plate.shaft([(0.42 - x, 0.76), (0.49 - x, 0.78)], 0.013, 0.018, 0.5)
    return plate.expose()


def long_bone(rng: Rng, number: int) -> np.ndarray:
    """A knee, a bent elbow, a forearm without its hand, a hip, a broken lower leg."""
    plate = Plate(rng, *((0.95, 1.05) if number % 5 == 1 else (0.5, 0.8)))
    if number % 5 == 0:
        plate.tissue("0,-.1 0,1.1", 0.9, (0.3, 0.25, 0.22, 0.22))
        plate.bone("-.02,-.1 -.01,.42", 0.7, (0.06, 0.055, 0.065, 0.11), 0.014)
        plate.bone(oval(0.075, 0.43, 0.075, 0.065), 0.3, sides=(-1, 1))
        plate.bone("0,.59 0,1.1", 0.7, (0.11, 0.065, 0.055, 0.055), 0.014)
        plate.shaft("-.14,.62 -.12,1.15", 0.022, 0.04, 0.5)
        plate.bone(oval(0, 0.4, 0.07, 0.08), 0.3)
    elif number % 5 == 1:
        plate.tissue("-.25,-.1 -.25,.7 .6,.72", 0.9, (0.17, 0.15, 0.17, 0.14, 0.11))
        plate.bone("-.25,-.1 -.24,.62", 0.8, (0.055, 0.045, 0.05, 0.08), 0.014)
        plate.bone("-.36,.68 -.2,.75 .6,.76", 0.7, (0.05, 0.06, 0.04, 0.03), 0.012)
        plate.bone("-.14,.64 0,.67 .6,.68", 0.6, (0.05, 0.03, 0.035, 0.04), 0.012)
    elif number % 5 == 2:
        plate.tissue("0,-.1 0,1.1", 0.8, (0.14, 0.17, 0.21, 0.2))
        plate.bone(".07,-.1 .1,.5 .05,1.1", 0.7, (0.05, 0.042, 0.035), 0.014)
        plate.bone("-.06,-.1 -.08,.5 -.04,1.1", 0.7, (0.03, 0.035, 0.05), 0.014)
    elif number % 5 == 3:
        plate.tissue("-.05,-.1 .05,1.1", 0.9, (0.5, 0.35, 0.28))
        plate.bone("-.4,0 -.1,-.1 -.06,.25 -.3,.36")
        plate.bone(oval(-0.12, 0.27, 0.085, 0.085), 0.7)
        plate.bone("-.1,.28 .07,.4 .04,1.1", 0.8, (0.06, 0.075, 0.06, 0.055), 0.016)
    else:
        plate.tissue("0,-.1 0,1.1", 0.8, (0.2, 0.22, 0.16, 0.14))
        gap = float(rng.uniform(0.02, 0.05))
        for x, radius in ((0.04, 0.045), (-0.09, 0.018)):
            plate.bone([(x, -0.1), (x, 0.5)], 0.8, radius, 0.013)
            broken = [(x + 0.7 * radius + gap, 0.56), (x + gap / 2, 1.1)]
            plate.bone(broken, 0.8, radius, 0.013)
    return plate.expose()


def skull(rng: Rng, number: int) -> np.ndarray:
    """A head from the front or from the side."""
    plate = Plate(rng, 0.8, 1.0)
    if number % 2:
        neck, nape = "-.2,1.1 -.2,.75 -.4,.5 -.3,.1 0,.04", ".32,.15 .4,.45 .42,.6 .38,.95 .12,.9"
        plate.tissue(f"{neck} {nape} .05,1.1", 0.8)
        plate.bone(oval(-0.01, 0.36, 0.36, 0.29), 0.9, cortex=0.018)
        plate.bone("0,.5 .3,.42 .36,.55 .37,.73 .2,.75 .06,.66", 0.5, cortex=0.01)
        plate.bone(".02,.6 .06,.82 .33,.89", 0.7, (0.04, 0.05, 0.045))
        plate.tissue(oval(0.27, 0.52, 0.055, 0.05), -0.5)
        for x in np.arange(0.18, 0.34, 0.03):
            plate.bone([(x, 0.74), (x, 0.84)], 0.6, 0.013, 0.004)
        for y in np.arange(0.68, 1.1, 0.07):
            plate.bone(coordinates("-.12,.01 -.02,0 -.02,.05 -.12,.06") + np.array([0, y]), 0.5)
        return plate.expose()
    plate.tissue("-.16,1.1 -.34,.6 -.34,.2 0,.02 .34,.2 .34,.6 .16,1.1", 0.7)
    plate.bone(oval(0, 0.38, 0.3, 0.32), 0.9, cortex=0.018)
    plate.bone("-.24,.55 .24,.55 .22,.82 .1,.96 -.1,.96 -.22,.82", 0.5, cortex=0.012)
    plate.tissue(oval(0.12, 0.48, 0.085, 0.07), -0.7, sides=(-1, 1))
    plate.bone(oval(0.12, 0.48, 0.09, 0.075), 0.5, 0.006, 0.003, sides=(-1, 1))
    plate.tissue(oval(0.13, 0.64, 0.06, 0.06), -0.4, sides=(-1, 1))
    plate.tissue("0,.5 .06,.68 -.06,.68", -0.7)
    for x in np.linspace(-0.11, 0.11, 9):
        for y in (0.76, 0.83):
            plate.bone([(x, y), (x, y + 0.04)], 0.7, 0.011, 0.004)
    return plate.expose()


def teeth(rng: Rng, number: int) -> np.ndarray:
    """A panoramic radiograph of both jaws, every third one a film of a few teeth."""
    close = number % 3 == 2
    plate = Plate(rng, *((1.25, 1.35) if close else (1.7, 2.1)))
    count, reach, sag, jaw, long = (
        (7, 0.55, 0.02, 0.16, 0.36) if close else (16, 0.6, 0.13, 0.1, 0.2)
    )
    plate.tissue("-1.2,-.2 1.2,-.2 1.2,1.2 -1.2,1.2", 0.4)
    arch = np.linspace(-1, 1, 40)
    for level in (0.24, 0.74):
        curve = np.stack([arch * (reach + 0.15), level + sag * (1 - arch**2)], axis=1)
        plate.bone(curve, 0.5, jaw)
    if not close:
        plate.bone(".7,.75 .82,.45 .84,.15", 0.5, (0.1, 0.09, 0.05), sides=(-1, 1))
    for place in np.linspace(-1, 1, count):
        wide = 0.085 if close else 0.026 + 0.014 * abs(place) ** 0.5
        for sign in (-1, 1):
            x, y = place * reach, 0.5 + sag * (1 - place**2) + sign * (0.012 + 0.9 * wide)
            root = [(x, y), (x + rng.normal(0, 0.008), y + sign * (long - 0.9 * wide))]
            plate.bone(root, 0.6, (wide * 0.9, wide * 0.8, wide * 0.3), 0.004)
            filling = 1.5 * (rng.random() < 0.15)
            plate.bone(oval(x, y, wide, 0.9 * wide), 1.0 + filling)
    return plate.expose()


def pelvis(rng: Rng, _: int) -> np.ndarray:
    """Both hips, sacrum and the upper ends of the femora."""
    plate = Plate(rng, 1.1, 1.35)
    plate.tissue("-.55,-.2 .55,-.2 .66,.5 .6,1.2 -.6,1.2 -.66,.5", 1.0)
    plate.bone("-.13,.15 .13,.15 .07,.4 0,.5 -.07,.4", 0.5)
    for y in (-0.02, 0.07):
        plate.bone(coordinates("-.07,0 .07,0 .07,.07 -.07,.07") + np.array([0, y]), 0.5)
    both = (-1, 1)
    wing = ".08,.2 .18,.06 .38,.02 .47,.18 .4,.36 .36,.56 .24,.62 .19,.5 .15,.38"
    plate.bone(wing, 0.6, cortex=0.014, sides=both)
    plate.bone(".27,.58 .12,.58 .03,.64 .03,.72", 0.4, (0.05, 0.03, 0.03), sides=both)
    plate.bone(".27,.6 .22,.78 .15,.84 .03,.72", 0.4, (0.045, 0.035, 0.025), sides=both)
    plate.bone(oval(0.32, 0.54, 0.08, 0.08), 0.6, sides=both)
    plate.bone(".33,.55 .45,.64 .41,1.15", 0.7, (0.05, 0.065, 0.055, 0.05), 0.014, sides=both)
    return plate.expose()


def ultrasound(rng: Rng, _: int) -> np.ndarray:
    """A fan of speckle with a dark cyst and the machine's writing."""
    height, width = 720, 960
    rows, columns = np.mgrid[:height, :width]
    down, across = rows + 60, columns - width / 2
    distance, angle = np.hypot(down, across), np.arctan2(across, down)
    fan = (np.abs(angle) < rng.uniform(0.5, 0.75)) & (distance > 140) & (distance < 720)
    layers = 0.5 + 0.5 * np.sin(distance / rng.uniform(18, 40) + 3 * clouds(rng, height, width, 3))
    speckle = cv2.GaussianBlur(rng.rayleigh(0.5, (height, width)), (0, 0), 1.5)
    grey = speckle * (0.3 + 0.7 * layers * clouds(rng, height, width, 5)) * (1.1 - distance / 900)
    cyst = np.hypot(columns - rng.uniform(380, 580), (rows - rng.uniform(250, 450)) * 1.4)
    grey *= np.clip((cyst - rng.uniform(50, 90)) / 15, 0.08, 1)
    image = np.where(fan, np.clip(grey * 380, 0, 255), 4).astype(np.uint8)
    for line in range(4):
        write(image, words(rng, 2)[:14].upper(), (20, 40 + 26 * line), 0.55, (200,))
    return image


# Hands that are not exactly one whole hand -----------------------------------------------------


def phantom(rng: Rng, style: str) -> tuple:
    """A phantom of an upright hand, and its ground truth."""
    while True:
        months, sex = float(rng.integers(12, 229)), str(rng.choice(["F", "M"]))
        image, truth = draw(months, sex, rng, size=720, style=style)
        if abs(truth.acquisition.rotation_degrees) < 12 and truth.acquisition.fill > 0.6:
            return image, truth


def some_phantom(rng: Rng, number: int) -> tuple:
    """A phantom: two of three `clean`, the third `varied`."""
    image, truth = phantom(rng, "varied" if number % 3 == 2 else "clean")
    return image, truth, {name: np.array(at) for name, at in truth.key_points.items()}


def levels(points: dict[str, np.ndarray], joint: str) -> np.ndarray:
    """The row of this joint for each of the four fingers."""
    return np.array([points[f"{finger}_{joint}"][1] for finger in FINGERS])


def between(rng: Rng, start: float, end: float, low: float, high: float) -> int:
    """A random position at `low` to `high` of the way from start to end."""
    return round(float(start + rng.uniform(low, high) * (end - start)))


def two_hands(rng: Rng, number: int) -> np.ndarray:
    """Both of a child, two children, crossed hands, head to tail, a sheet, adult and child."""
    (one, _), (two, _) = phantom(rng, "clean"), phantom(rng, "clean")
    height, width = one.shape
    two = cv2.resize(two, (width, height))
    if number % 6 == 0:
        joined = np.hstack([one, one[:, ::-1]])
        write(joined, "L", (30, 70), 1.8, WHITE)
        write(joined, "R", (2 * width - 70, 70), 1.8, WHITE)
        return joined
    if number % 6 == 1:
        pair = [phantom(rng, "varied")[0] for _ in range(2)]
        return np.hstack([cv2.resize(image, (width, height)) for image in pair])
    if number % 6 == 2:
        step = round(rng.uniform(0.35, 0.65) * width)
        light = np.ones((2, height, width + step))
        light[0, :, :width] -= one / 255
        light[1, :, step:] -= two[:, :: -1 if rng.random() < 0.6 else 1] / 255
        return (255 * (1 - light.prod(axis=0))).astype(np.uint8)
    if number % 6 == 3:
        pair = [one, two[::-1, ::-1]]
        return np.vstack(pair) if rng.random() < 0.5 else np.hstack(pair)
    if number % 6 == 4:
        hands = [cv2.resize(phantom(rng, "varied")[0], (400, 500)) for _ in range(6)]
        return np.vstack([np.hstack(hands[:3]), np.hstack(hands[3:])])
    small = np.full_like(one, one[0, 0])
    share = float(rng.uniform(0.5, 0.7))
    child = cv2.resize(two, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    small[height - len(child) :, : child.shape[1]] = child
    return np.hstack([one, small])


def fingers_cut(rng: Rng, number: int) -> np.ndarray:
    """The end phalanges of at least three fingers, or all of the fingers, lie outside the film."""
    image, _, points = some_phantom(rng, number)
    last = float(np.sort(levels(points, "dip"))[2])
    row = between(rng, last, float(levels(points, "mcp").max()), 0.0, 0.9)
    if number % 4 == 3:
        image[:row] = image.min()
        return image
    return image[row:]


def wrist_cut(rng: Rng, number: int) -> np.ndarray:
    """Wrist and carpals lie outside the film."""
    image, _, points = some_phantom(rng, number)
    first = float(levels(points, "cmc").min())
    row = between(rng, first, float(levels(points, "mcp").mean()), 0.0, 0.8)
    if number % 4 == 3:
        image[row:] = image.min()
        return image
    return image[:row]


def half_hand(rng: Rng, number: int) -> np.ndarray:
    """One side of a hand, cut lengthwise through the middle or the ring finger."""
    image, _, points = some_phantom(rng, number)
    column = round(float(points["middle_mcp" if number % 2 else "ring_mcp"][0]))
    thumb_right = points["thumb_tip"][0] > column
    return image[:, :column] if (number % 4 < 2) == thumb_right else image[:, column:]


def one_finger(rng: Rng, number: int) -> np.ndarray:
    """A radiograph of one finger."""
    image, _, points = some_phantom(rng, number)
    name = ("index", "middle", "thumb", "little", "ring")[number % 5]
    tip, base = points[f"{name}_tip"], points[f"{name}_mcp"]
    length, middle = float(np.hypot(*(tip - base))), (tip + base) / 2
    turn = float(np.degrees(np.arctan2(*(base - tip))))
    matrix = cv2.getRotationMatrix2D(middle.tolist(), -turn, 1)
    size = (round(rng.uniform(0.35, 0.5) * length), round(rng.uniform(1.1, 1.3) * length))
    matrix[:, 2] += np.array(size) / 2 - middle
    return cv2.warpAffine(image, matrix, size)


def carpals_only(rng: Rng, number: int) -> np.ndarray:
    """Carpals and the ends of the forearm, without a finger."""
    image, _, points = some_phantom(rng, number)
    mcp, capitate = float(levels(points, "mcp").mean()), points["capitate"]
    unit = float(capitate[1] - mcp)
    left = max(0, round(float(capitate[0] - rng.uniform(0.8, 1.3) * unit)))
    return image[between(rng, mcp, capitate[1], 0.3, 0.7) :, left : round(left + 2.2 * unit)]


def tiny_hand(rng: Rng, number: int) -> np.ndarray:
    """A hand of 30 to 60 pixels in a large picture: black, grey, a page, a window."""
    image, truth = phantom(rng, "clean")
    rows = np.flatnonzero(truth.mask.any(axis=1))
    share = float(rng.uniform(30, 60)) / (rows[-1] - rows[0])
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    kinds = (lambda: np.full(rng.integers(500, 1400, 2), small[0, 0], np.uint8),) * 2
    picture = (*kinds, lambda: text_page(rng, 0), lambda: screenshot(rng, 2)[..., 0])[number % 4]()
    if number % 4 == 1:
        grey = np.clip(rng.normal(40, 3, picture.shape) - 40 + picture, 0, 255)
        picture = cv2.copyMakeBorder(grey.astype(np.uint8), 30, 30, 30, 30, 0, value=90)
    top, left = (round(float(rng.uniform(0.2, 0.6) * n)) for n in picture.shape)
    picture[top : top + len(small), left : left + small.shape[1]] = small
    return picture


def blank(rng: Rng, number: int) -> np.ndarray:
    """Nothing but one grey, with a trace of noise or shading, or a marker's letter."""
    height, width = (int(n) for n in rng.integers(300, 1200, 2))
    image = np.full((height, width), (0, 255, 128, 9, 30, 200)[number % 6], np.float64)
    if number % 6 == 3:
        image += rng.integers(-1, 2, image.shape)
    elif number % 6 == 5:
        image += np.linspace(-2, 2, width)
    grey = image.astype(np.uint8)
    if number % 6 == 4:
        write(grey, "L", (width // 8, height // 5), height / 500, WHITE)
    return grey


Maker = Callable[[Rng, int], np.ndarray]
KINDS: dict[str, tuple[Maker, str, int]] = {
    "noise": (noise, "not_a_hand", 10),
    "pattern": (pattern, "not_a_hand", 8),
    "text_page": (text_page, "not_a_hand", 7),
    "screenshot": (screenshot, "not_a_hand", 6),
    "qr_code": (qr_code, "not_a_hand", 5),
    "chart": (chart, "not_a_hand", 7),
    "landscape": (landscape, "not_a_hand", 7),
    "face": (face, "not_a_hand", 7),
    "car": (car, "not_a_hand", 5),
    "cat": (cat, "not_a_hand", 5),
    "spheres": (spheres, "not_a_hand", 5),
    "boneless_hand": (boneless_hand, "not_a_hand", 8),
    "chest": (chest, "not_a_hand", 8),
    "foot": (foot, "not_a_hand", 10),
    "long_bone": (long_bone, "not_a_hand", 10),
    "skull": (skull, "not_a_hand", 6),
    "teeth": (teeth, "not_a_hand", 6),
    "pelvis": (pelvis, "not_a_hand", 6),
    "ultrasound": (ultrasound, "not_a_hand", 4),
    "two_hands": (two_hands, "two_hands", 14),
    "fingers_cut": (fingers_cut, "no_whole_hand", 13),
    "wrist_cut": (wrist_cut, "no_whole_hand", 11),
    "half_hand": (half_hand, "no_whole_hand", 8),
    "one_finger": (one_finger, "no_whole_hand", 5),
    "carpals_only": (carpals_only, "no_whole_hand", 5),
    "tiny_hand": (tiny_hand, "too_low_resolution", 8),
    "blank": (blank, "blank", 6),
}
"""Name -> (generator, expected reason for rejection, number of images)."""


def finish(rng: Rng, image: np.ndarray, expected: str) -> np.ndarray:
    """Resize to 300 to 1600 pixels per side; about one in ten greyscale images becomes 16-bit."""
    if expected not in ("too_low_resolution", "blank"):
        longest, shortest = max(image.shape[:2]), min(image.shape[:2])
        least = max(
            {"not_a_hand": 300, "two_hands": 900}.get(expected, 640), 300 * longest / shortest
        )
        scale = float(np.exp(rng.uniform(np.log(min(least, 1500)), np.log(1600)))) / longest
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
    if image.ndim == 2 and rng.random() < 0.12:
        return image.astype(np.uint16) * np.uint16(rng.choice([16, 257]))
    return image


def write_index(folder: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write `index.csv`."""
    with (folder / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "kind", "expected"), *rows])


def write_negatives(folder: Path, seed: int) -> None:
    """Write the 200 images and `index.csv` into the folder; the same seed gives the same images."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind, (make, expected, count) in KINDS.items():
        for number in range(count):
            rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
            name = f"{kind}-{number:02d}.png"
            cv2.imwrite(str(folder / name), finish(rng, make(rng, number), expected))
            rows.append((name, kind, expected))
    write_index(folder, rows)


def write_real_negatives(folder: Path, radiographs: Path, key_points: Path, seed: int) -> None:
    """Make negatives from 60 upright annotated radiographs: 20 without fingers, 20 without wrist, 20 pairs.

    `radiographs` holds `<id>.png`; `key_points` is the table `id,point,x,y` in their pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, np.ndarray]] = {}
    with key_points.open(newline="") as stream:
        for row in csv.DictReader(stream):
            at = np.array([float(row["x"]), float(row["y"])])
            found.setdefault(row["id"], {})[row["point"]] = at
    along = {name: points["capitate"] - points["middle_tip"] for name, points in found.items()}
    upright = [name for name in sorted(found) if abs(along[name][0]) < 0.25 * along[name][1]]
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(upright)[:60].tolist()
    images = {name: cv2.imread(str(radiographs / f"{name}.png"), 0) for name in chosen}
    rows = []

    def keep(kind: str, name: str, image: np.ndarray, expected: str) -> None:
        cv2.imwrite(str(folder / f"{kind}-{name}.png"), image)
        rows.append((f"{kind}-{name}.png", kind, expected))

    for number, name in enumerate(chosen):
        image, points = images[name], found[name]
        mcp = float(max(points["index_mcp"][1], points["little_mcp"][1]))
        if number < 20:
            row = between(rng, points["middle_tip"][1], mcp, 0.35, 0.85)
            keep("real_fingers_cut", name, image[row:], "no_whole_hand")
        elif number < 40:
            row = between(rng, points["capitate"][1], mcp, 0.3, 0.8)
            keep("real_wrist_cut", name, image[:row], "no_whole_hand")
        else:
            other = image if number % 2 else images[chosen[40 + (number + 1) % 20]]
            other = cv2.resize(other, (round(other.shape[1] * len(image) / len(other)), len(image)))
            keep("real_pair", name, np.hstack([image, other[:, ::-1]]), "two_hands")
    write_index(folder, rows)


def main() -> None:
    """Write the requested negatives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--real",
        type=Path,
        metavar="DIR",
        help="also write 60 negatives made from real radiographs",
    )
    chosen = parser.parse_args()
    if chosen.real and "BONE_AGE_REAL_DATA" not in os.environ:
        parser.error(
            "--real requires the environment variable BONE_AGE_REAL_DATA: the folder that contains rsna-bone-age/."
        )
    cv2.setNumThreads(1)
    write_negatives(chosen.output, chosen.seed)
    print(f"{sum(count for *_, count in KINDS.values())} images in {chosen.output}")
    if chosen.real:
        data = Path(os.environ["BONE_AGE_REAL_DATA"]) / "rsna-bone-age"
        images = data / "boneage-training-dataset"
        write_real_negatives(chosen.real, images, data / "key_points.csv", chosen.seed)
        print(f"60 negatives from real radiographs in {chosen.real}")


if __name__ == "__main__":
    main()
