"""How far a network that saw only drawn hands finds the key points of real ones.

    BONE_AGE_REAL_DATA=... python benchmarks/phantom_key_points.py --phantoms 6000 --epochs 10

A small U-Net learns heat maps of six key points from varied phantoms, then reads the annotated
radiographs of `rsna-bone-age/key_points.csv`, of which it has seen none. Errors are in % of the
distance from the capitate to the middle fingertip. `--save FILE` draws the worst and the median.
"""

import argparse
import csv
import multiprocessing
import os
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers

from bone_age_tf.data_prep.phantom import draw

NAMES = ("middle_tip", "thumb_tip", "capitate", "index_mcp", "little_mcp", "wrist")
FRAME = (208, 160)
STRIDE = 2
SIGMA = 1.5


def letterbox(image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The radiograph in the frame, stretched between two percentiles, and its points there."""
    scale = min(FRAME[0] / image.shape[0], FRAME[1] / image.shape[1])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    low, high = np.percentile(small, (1, 99.5))
    small = np.clip((small - low) / max(high - low, 1.0), 0, 1) * 255
    frame = np.zeros(FRAME, np.uint8)
    top, left = (FRAME[0] - size[1]) // 2, (FRAME[1] - size[0]) // 2
    frame[top : top + size[1], left : left + size[0]] = small.astype(np.uint8)
    return frame, (points + 0.5) * scale - 0.5 + [left, top]


def phantom(number: int) -> tuple[np.ndarray, np.ndarray]:
    """One phantom in the frame and its points."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([77, number])
    style = "varied" if rng.random() < 0.9 else "clean"
    image, truth = draw(float(rng.integers(8, 229)), "FM"[number % 2], rng, size=320, style=style)
    return letterbox(image, np.array([truth.key_points[name] for name in NAMES]))


def heat_maps(points: np.ndarray) -> np.ndarray:
    """float32 [height, width, 6] at the network's stride, each map adding up to 1."""
    rows, columns = np.mgrid[: FRAME[0] // STRIDE, : FRAME[1] // STRIDE]
    at = (points + 0.5) / STRIDE - 0.5
    square = (columns[..., None] - at[:, 0]) ** 2 + (rows[..., None] - at[:, 1]) ** 2
    maps = np.exp(-square / (2 * SIGMA**2)) + 1e-12
    return (maps / maps.sum((0, 1))).astype(np.float32)


class Batches(keras.utils.PyDataset):
    """Phantoms with their heat maps, shuffled every epoch."""

    def __init__(self, images: np.ndarray, points: np.ndarray, size: int = 16) -> None:
        super().__init__()
        self._images, self._points, self._size = images, points, size
        self._rng = np.random.default_rng(0)
        self._order = self._rng.permutation(len(images))

    def __len__(self) -> int:
        return len(self._images) // self._size

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[number * self._size : (number + 1) * self._size]
        maps = np.stack([heat_maps(self._points[i]) for i in chosen])
        return self._images[chosen][..., None], maps.reshape(self._size, -1, len(NAMES))

    def on_epoch_end(self) -> None:
        """Another order for the next epoch."""
        self._rng.shuffle(self._order)


def build() -> keras.Model:
    """U-Net: [N, *FRAME, 1] uint8 -> logits [N, pixels, 6] at half the resolution."""

    def block(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))
        return x

    image = layers.Input((*FRAME, 1))
    x = layers.Rescaling(1 / 127.5, -1.0)(image)
    x = layers.Conv2D(16, 5, strides=2, padding="same", activation="relu")(x)
    kept = []
    for filters in (24, 32, 64):
        x = block(x, filters)
        kept.append(x)
        x = layers.MaxPooling2D(2, padding="same")(x)
    x = block(block(x, 96), 96)
    for skip in reversed(kept):
        x = layers.UpSampling2D(2)(x)
        x = layers.Concatenate()([x, skip])
        x = block(x, skip.shape[-1])
    x = layers.Conv2D(len(NAMES), 1, dtype="float32")(x)
    return keras.Model(image, layers.Reshape((-1, len(NAMES)), dtype="float32")(x))


def loss(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of each map over its pixels."""
    return -keras.ops.mean(keras.ops.sum(true * keras.ops.log_softmax(logits, axis=1), axis=1))


def locate(logits: np.ndarray) -> np.ndarray:
    """Logits [pixels, 6] -> points [6, 2] of the frame: mean of the map around its highest pixel."""
    height, width = FRAME[0] // STRIDE, FRAME[1] // STRIDE
    rows, columns = np.mgrid[:height, :width]
    points = []
    for plane in logits.reshape(height, width, -1).transpose(2, 0, 1):
        row, column = np.unravel_index(plane.argmax(), plane.shape)
        near = (np.abs(rows - row) <= 4) & (np.abs(columns - column) <= 4)
        weight = np.exp(plane - plane.max()) * near
        at = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
        points.append((at + 0.5) * STRIDE - 0.5)
    return np.array(points)


def real_radiographs(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Identifier, frame and points (missing ones NaN) of each annotated radiograph."""
    found: dict[str, np.ndarray] = {}
    with (folder / "key_points.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            points = found.setdefault(row["id"], np.full((len(NAMES), 2), np.nan))
            points[NAMES.index(row["point"])] = float(row["x"]), float(row["y"])
    images = folder / "boneage-training-dataset"
    read = {name: cv2.imread(str(images / f"{name}.png"), 0) for name in found}
    return [(name, *letterbox(read[name], points)) for name, points in found.items()]


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantoms", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--save", type=Path)
    chosen = parser.parse_args()
    real = real_radiographs(Path(os.environ["BONE_AGE_REAL_DATA"]) / "rsna-bone-age")
    with multiprocessing.get_context("spawn").Pool() as pool:
        drawn = pool.map(phantom, range(chosen.phantoms), chunksize=50)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build()
    batches = Batches(np.stack([image for image, _ in drawn]), np.stack([p for _, p in drawn]))
    steps = len(batches) * chosen.epochs
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=2e-3, warmup_steps=200)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0), loss=loss)
    model.fit(batches, epochs=chosen.epochs, verbose=2)
    report(model, real, chosen.save)


def report(model: keras.Model, real: list, save: Path | None) -> None:
    """Print the errors on the real radiographs."""
    logits = model.predict(np.stack([image for _, image, _ in real])[..., None], verbose=0)
    found = np.stack([locate(one) for one in np.asarray(logits, np.float32)])
    true = np.stack([points for _, _, points in real])
    unit = np.hypot(*(true[:, 0] - true[:, 2]).T)[:, None]
    error = 100 * np.hypot(*np.moveaxis(found - true, 2, 0)) / unit
    print(f"{len(real)} real radiographs; error in % of capitate - middle fingertip")
    print("point         n  median  90 %  95 %  over 10 %")
    for column, name in (*enumerate(NAMES), (slice(None), "all")):
        one = error[:, column]
        one = one[~np.isnan(one)]
        middle, ninety, most = np.percentile(one, (50, 90, 95))
        print(
            f"{name:11} {one.size:4} {middle:7.2f} {ninety:5.1f} {most:5.1f} {100 * (one > 10).mean():8.1f} %"
        )
    if save:
        order = np.argsort(np.nanmax(error, axis=1))
        shown = [*order[-14:], *order[len(order) // 2 : len(order) // 2 + 7]]
        tiles = []
        for index in shown:
            name, image, points = real[index]
            tile = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
            tile = cv2.resize(tile, None, fx=2, fy=2)
            for at, colour in ((points, (0, 255, 0)), (found[index], (0, 0, 255))):
                for x, y in at[~np.isnan(at).any(1)]:
                    cv2.circle(tile, (round(2 * x), round(2 * y)), 4, colour, 1)
            cv2.putText(tile, name, (4, 14), 0, 0.5, (0, 255, 255), 1)
            tiles.append(tile)
        rows = [np.hstack(tiles[i : i + 7]) for i in range(0, len(tiles), 7)]
        cv2.imwrite(str(save), np.vstack(rows))


if __name__ == "__main__":
    main()
