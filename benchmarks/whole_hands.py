"""What the quality control accepts: grey levels of other devices, tight crops, cut hands, turned hands.

    bone-age-tf phantom --output flat --count 150 --size 512 --seed 901 --style varied --ages 0:240
    bone-age-tf phantom --output oblique --count 160 --size 512 --seed 903 --style varied --ages 0:240 --out-of-plane 0:90
    BONE_AGE_REAL_DATA=... python benchmarks/whole_hands.py --flat flat --oblique oblique [--localizer RUN] [--ids FILE]

`--ids` names radiographs of `rsna-bone-age` that the localizer was not trained on, one id a line. Crops and cuts are
those of `training/localizer/crops.py`, made from the key points and mask that the localizer finds in the whole picture
(real radiographs) or from the truth (phantoms).
"""

import argparse
import collections
import csv
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import tensorflow as tf

from bone_age_tf.config import SHIPPED_LOCALIZER
from bone_age_tf.data import processing
from bone_age_tf.preprocessing import geometry, pipeline
from bone_age_tf.preprocessing.localizer import weights
from bone_age_tf.preprocessing.rejections import OK
from bone_age_tf.training.localizer import crops
from bone_age_tf.training.localizer.examples import Example, read_examples

Kind = Callable[[np.ndarray], np.ndarray]
PROCESSED: dict[str, Kind] = {
    "as it is": lambda p: p,
    "CLAHE, clip 2": lambda p: processing.clahe(p, 2),
    "CLAHE, clip 4": lambda p: processing.clahe(p, 4),
    "equalised": processing.equalised,
    "unsharp mask": lambda p: processing.unsharp(p, 1.5, 6),
    "film curve": lambda p: processing.film_curve(p, 0.55, 7),
    "multi-scale (not trained on)": lambda p: processing.multiscale(p, 0.7),
    "white border, 6 %": lambda p: processing.bordered(p, 0.06, 1.0),
    "grey border, 6 %": lambda p: processing.bordered(p, 0.06, 0.5),
    "black border, 6 %": lambda p: processing.bordered(p, 0.06, 0.0),
    "collimated by 2 %, grey": lambda p: processing.collimated(p, 0.02, 0.4),
}
ANGLES = ((0, 10), (10, 20), (20, 30), (30, 45), (45, 60), (60, 91))


class Examined:
    """Status, key points and mask of pictures uint8 [height, width]."""

    def __init__(self, setting: str) -> None:
        network = weights.load(setting)

        @tf.function(input_signature=[tf.TensorSpec((None, None), tf.uint8)], autograph=False)
        def examine(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
            levels = geometry.pyramid(tf.cast(image[..., tf.newaxis], tf.float32) * 257.0)
            found = pipeline.examine(levels, network)
            return found.status, found.hand.points, found.hand.found.mask, found.hand.to_original

        self._examine = examine

    def status(self, image: np.ndarray) -> str:
        """`ok` or the reason."""
        return self._examine(image)[0].numpy().decode()

    def example(self, name: str, image: np.ndarray) -> Example:
        """The picture with what is found in it."""
        _, points, mask, matrix = (part.numpy() for part in self._examine(image))
        whole = cv2.warpAffine(mask[..., 0], matrix, image.shape[::-1]) > 0.5
        return Example(name, image, 1.0, np.uint8(255) * whole.astype(np.uint8), points)


def show(name: str, statuses: Iterable[str]) -> None:
    """Print the share that is rejected, and the reasons."""
    found = collections.Counter(statuses)
    count = found.total()
    reasons = ", ".join(f"{reason} {n}" for reason, n in found.most_common() if reason != OK)
    print(f"{name:34} rejected {count - found[OK]:4} of {count:4}   {reasons}", flush=True)


def show_crops(examined: Examined, name: str, examples: Sequence[Example]) -> None:
    """Tight crops, and cuts by where and how deep."""
    rng = np.random.default_rng(0)
    with mock.patch.multiple(crops, SHUTTER_SHARE=0.0, TIGHT_SHARE=1.0):
        tight = [crops.tight_crop(example, rng) for example in examples]
    show(f"{name}: tight crop", (examined.status(crop.image) for crop in tight))
    for kind in ("fingers", "side", "wrist"):
        for word, depths in zip(("shallow", "deep"), crops.CUTS[kind][1:], strict=True):
            only = {kind: (1.0, depths, depths)}
            with mock.patch.multiple(crops, SHUTTER_SHARE=0.0, CUTS=only):
                cuts = [crops.cut(example, rng) for example in examples]
            kept = [rest.image for rest in cuts if rest is not None]
            show(f"{name}: {kind} cut, {word}", map(examined.status, kept))


def real_radiographs(ids: Path | None) -> dict[str, np.ndarray]:
    """Id -> picture; all of them, or those that the file names."""
    folder = Path(os.environ["BONE_AGE_REAL_DATA"]) / "rsna-bone-age"
    with (folder / "boneage-training-dataset.csv").open(newline="") as stream:
        names = [row["id"] for row in csv.DictReader(stream)]
    chosen = set(ids.read_text().split()) if ids else set(names)
    paths = {n: folder / "boneage-training-dataset" / f"{n}.png" for n in names if n in chosen}
    return {n: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for n, path in paths.items()}


def main() -> None:
    """Examine everything and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flat", required=True)
    parser.add_argument("--oblique", required=True)
    parser.add_argument("--localizer", default=SHIPPED_LOCALIZER)
    parser.add_argument("--ids", type=Path)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    examined = Examined(chosen.localizer)
    flat = read_examples(chosen.flat)
    show("phantoms, flat", (examined.status(example.image) for example in flat))
    show_crops(examined, "phantoms", flat)
    oblique = read_examples(chosen.oblique)
    degrees = np.degrees(np.arcsin([example.tilt for example in oblique]))
    for low, high in ANGLES:
        inside = [e for e, angle in zip(oblique, degrees, strict=True) if low <= angle < high]
        show(f"phantoms, {low} to {high} degrees", (examined.status(e.image) for e in inside))
    if "BONE_AGE_REAL_DATA" not in os.environ:
        return
    real = real_radiographs(chosen.ids)
    for name, kind in PROCESSED.items():
        grey = (kind(image.astype(np.float32) / 255) for image in real.values())
        changed = (np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8) for picture in grey)
        show(f"radiographs, {name}", map(examined.status, changed))
    whole = [n for n, image in real.items() if examined.status(image) == OK]
    show_crops(examined, "radiographs", [examined.example(n, real[n]) for n in whole])


if __name__ == "__main__":
    main()
